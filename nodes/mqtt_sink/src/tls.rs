//! Whom to trust.

use gantry_node::Fault;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// Checks the broker against the certificates of `ca`, or against those that browsers trust.
pub(crate) fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Fault> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let fault =
                |what: String| Fault::new(format!("`CA_FILE` `{}`: {what}", path.display())).hint("name a file of certificates in PEM");
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fault(e.to_string()))? {
                roots.add(certificate.map_err(|e| fault(e.to_string()))?).map_err(|e| fault(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(fault("has no certificate".to_owned()));
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
