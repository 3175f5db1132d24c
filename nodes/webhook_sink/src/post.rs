//! One request per reading.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_credentials::{Credentials, Secret};
use gantry_node::Fault;
use gantry_sink::{Entry, FarEnd, Sent, Trouble};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderValue, Response, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Answers that are about this one request: the same again would get the same answer.
const REFUSALS: [u16; 5] = [400, 409, 413, 415, 422];

/// The value of the header, which nothing prints.
pub(crate) struct Authorization(HeaderValue);

impl Authorization {
    pub fn basic(credentials: &Credentials) -> Option<Self> {
        let pair = format!("{}:{}", credentials.user, credentials.password.reveal());
        Self::of(&format!("Basic {}", STANDARD.encode(pair)))
    }

    pub fn bearer(token: &Secret) -> Option<Self> {
        Self::of(&format!("Bearer {}", token.reveal()))
    }

    fn of(value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

/// The web server.
pub struct Server {
    agent: Agent,
    uri: Uri,
    authorization: Option<Authorization>,
}

impl Server {
    /// Nothing is sent yet.
    pub(crate) fn new(url: &str, authorization: Option<Authorization>, ca: Option<&Path>, timeout: Duration) -> Result<Self, Fault> {
        let uri = address(url)?;
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca {
            if uri.scheme_str() != Some("https") {
                return Err(Fault::new("`CA_FILE` is given, and `URL` is not reached over TLS")
                    .hint("write `https://host/path`, or leave out `CA_FILE`"));
            }
            tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates(path)?)));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), uri, authorization })
    }

    fn post(&self, entry: &Entry) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.post(&self.uri).header(CONTENT_TYPE, "application/json").header("Idempotency-Key", entry.key.as_str());
        if let Some(Authorization(value)) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let mut response = request.send(&entry.body[..])?;
        // Read to its end, or the connection cannot be used again.
        let _ = response.body_mut().with_config().limit(64 << 10).read_to_vec();
        Ok(response)
    }
}

impl FarEnd for Server {
    fn send(&mut self, entries: &[Entry]) -> Sent {
        for (taken, entry) in entries.iter().enumerate() {
            match self.post(entry) {
                Ok(response) if response.status().is_success() => {}
                Ok(response) => return Sent { taken, trouble: Some(judged(response.status(), retry_after(&response))) },
                Err(error) => return Sent::away(taken, error.to_string()),
            }
        }
        Sent::all(entries)
    }
}

/// What an answer other than success means.
fn judged(status: StatusCode, after: Option<Duration>) -> Trouble {
    let why = match status.as_u16() {
        401 | 403 => format!("{status}; look at the credentials"),
        300..=399 => format!("{status}; redirects are not followed, name the new address in `URL`"),
        _ => status.to_string(),
    };
    if REFUSALS.contains(&status.as_u16()) { Trouble::Refused { why } } else { Trouble::Away { why, after } }
}

/// Of the two forms (RFC 9110, 10.2.3) the one in seconds.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn address(url: &str) -> Result<Uri, Fault> {
    // A text that is no address may have a password anywhere; it is not repeated.
    let uri: Uri = url.parse().map_err(|e| Fault::new(format!("`URL` is no address: {e}")).hint("write `https://host/path`"))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.is_empty() {
        return Err(Fault::new("`URL` is no address of a web server").hint("write `https://host/path` or `http://host/path`"));
    }
    if authority.contains('@') {
        return Err(Fault::new("`URL` has a user name or password in it, and graph files are for everybody to read")
            .hint("set `AUTH: basic` and name a file of mode 0600 with `user:password` in `CREDENTIALS_FILE`"));
    }
    Ok(uri)
}

fn certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, Fault> {
    let fault = |what: String| Fault::new(format!("`CA_FILE` `{}`: {what}", path.display())).hint("name a file of certificates in PEM");
    let pem = std::fs::read(path).map_err(|e| fault(e.to_string().to_lowercase()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| fault(e.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(fault("has no certificate".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_about_the_reading_itself_put_it_aside() {
        for code in 300..=599 {
            let status = StatusCode::from_u16(code).unwrap();
            let refused = matches!(judged(status, None), Trouble::Refused { .. });
            assert_eq!(refused, REFUSALS.contains(&code), "{status}");
        }
    }

    #[test]
    fn addresses_are_of_web_servers_and_have_no_password() {
        assert!(address("https://results.example/readings?site=4").is_ok());
        for url in ["ftp://h/x", "readings", "https://", "http://user:s3cret@h/x", "http://a b:s3cret@h/"] {
            let fault = address(url).unwrap_err();
            assert!(!fault.to_string().contains("s3cret") && fault.hint_text().is_some(), "{fault}");
        }
    }
}
