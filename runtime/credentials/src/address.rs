//! Addresses and what opens them.

use crate::Credentials;

impl Credentials {
    /// `address` with user name and password, for the far end alone; `None` if it is none, or has some of its own.
    #[must_use]
    pub fn in_address(&self, address: &str) -> Option<String> {
        let (scheme, rest) = address.split_once("://").filter(|_| !has_credentials(address))?;
        Some(format!("{scheme}://{}:{}@{rest}", escaped(&self.user), escaped(self.password.reveal())))
    }
}

/// Whether `address` has a user name or password in it, which everybody can read who sees a command line or a graph.
#[must_use]
pub fn has_credentials(address: &str) -> bool {
    address.split_once("://").is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|host| host.contains('@')))
}

/// Everything but letters, digits and `-._~` as `%XX` (RFC 3986, 2.1), which FFmpeg undoes before it uses it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn credentials_go_into_an_address_once() {
        let credentials = Credentials { user: "admin".into(), password: Secret("p@ss/w:rd".into()) };
        assert_eq!(credentials.in_address("rtsp://10.0.0.7/s?x=1").as_deref(), Some("rtsp://admin:p%40ss%2Fw%3Ard@10.0.0.7/s?x=1"));
        assert_eq!(credentials.in_address("rtsp://a:b@h/x"), None);
        assert_eq!(credentials.in_address("clip.mp4"), None);
        assert!(has_credentials("rtsp://u:p@h/x") && has_credentials("http://u@h"));
        assert!(!has_credentials("rtsp://h/a@b") && !has_credentials("clip@2.mp4"));
    }
}
