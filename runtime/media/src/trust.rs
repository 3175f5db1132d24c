//! Which certificates of cameras are taken.

use crate::MediaError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Whether `path` is a file of certificates.
///
/// # Errors
/// [`MediaError::CaFile`] if not.
pub fn check_ca_file(path: &Path) -> Result<(), MediaError> {
    config(path).map(drop)
}

/// Takes what a certificate of `ca_file` has signed for the camera's name, and such a certificate itself: cameras show one that they have signed themselves.
///
/// # Errors
/// [`MediaError::CaFile`].
pub(crate) fn config(ca_file: &Path) -> Result<Arc<ClientConfig>, MediaError> {
    let fault = |why: String| MediaError::CaFile { path: ca_file.to_owned(), why };
    let mut roots = RootCertStore::empty();
    let mut pinned = Vec::new();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|e| fault(e.to_string()))? {
        let certificate = certificate.map_err(|e| fault(e.to_string()))?;
        roots.add(certificate.clone()).map_err(|e| fault(e.to_string()))?;
        pinned.push(certificate);
    }
    if pinned.is_empty() {
        return Err(fault("it has no certificate".to_owned()));
    }
    let provider = Arc::new(ring::default_provider());
    let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let verifier = Verifier { pinned, signed: signed.map_err(|e| fault(e.to_string()))?, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| fault(e.to_string()))?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()))
}

/// Why a handshake with `host` failed, in words for people.
pub(crate) fn reason(error: &Error, host: &str) -> Option<String> {
    let Error::InvalidCertificate(error) = error else { return None };
    Some(match error {
        CertificateError::UnknownIssuer => "no certificate of `CA_FILE` has signed it".to_owned(),
        CertificateError::NotValidForName => format!("it is not for `{host}`"),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("it is not for `{host}`, it names nobody")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("it is not for `{host}`, only for {}", presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", "))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; is the clock right?".to_owned()
        }
        other => other.to_string(),
    })
}

/// `DnsName("a.example")` as people write it.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    format!("`{}`", inner.trim_matches('"'))
}

#[derive(Debug)]
struct Verifier {
    pinned: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Byte for byte one that the user has named: whose it is, is known, whatever name stands in it.
        if self.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        self.signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
