//! Where a source is, and the user name and password that open it, which nobody else gets to see.

use gantry_credentials::{Credentials, has_credentials, redact, user_and_password};
use gantry_media::device_path;
use gantry_node::Fault;

/// A path or an address. What is printed of it has no password.
#[derive(Clone)]
pub struct Address {
    full: String,
    name: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.name)
    }
}

impl Address {
    /// `source` with the credentials of a file or of an environment variable, if one is named.
    ///
    /// # Errors
    /// Both are named, or the credentials cannot be had: says where they were looked for and never what they are.
    pub fn new(source: &str, credentials_file: Option<&str>, credentials_env: Option<&str>) -> Result<Self, Fault> {
        let credentials = user_and_password(credentials_file, credentials_env).map_err(|e| {
            let hint = e.hint();
            Fault::from(e).maybe_hint(hint)
        })?;
        let full = match &credentials {
            Some(credentials) => with_credentials(source, credentials)?,
            None => source.to_owned(),
        };
        Ok(Self { name: redact(&full), full })
    }

    /// For FFmpeg alone: it has the password.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.full
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a path.
    #[must_use]
    pub fn is_file(&self) -> bool {
        !self.is_device() && (!self.full.contains("://") || self.full.starts_with("file:"))
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        let scheme = self.full.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        scheme.is_some_and(|scheme| scheme == "rtsps" || scheme == "https")
    }

    /// Whether it is a camera at this machine.
    #[must_use]
    pub fn is_device(&self) -> bool {
        device_path(&self.full).is_some()
    }
}

fn with_credentials(source: &str, credentials: &Credentials) -> Result<String, Fault> {
    let fault = |what: &str| Fault::new(format!("`{}`: {what}", redact(source)));
    if has_credentials(source) {
        return Err(fault("the address has credentials of its own").hint("write the address without `user:password@`"));
    }
    credentials.in_address(source).ok_or_else(|| fault("a file needs no credentials"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn credentials_come_from_a_private_file_and_are_never_printed() {
        let path = std::env::temp_dir().join(format!("gantry-credentials-{}", std::process::id()));
        std::fs::write(&path, "admin:p@ss/w:rd\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let open = || Address::new("rtsp://10.0.0.7/stream?x=1", Some(&path.to_string_lossy()), None);
        let fault = open().unwrap_err();
        assert!(fault.message().contains("mode 0640") && fault.hint_text().unwrap().starts_with("chmod 600"), "{fault}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let address = open().unwrap();
        assert_eq!(address.secret(), "rtsp://admin:p%40ss%2Fw%3Ard@10.0.0.7/stream?x=1");
        assert_eq!((address.name(), format!("{address:?}").contains("ss%2F")), ("rtsp://***@10.0.0.7/stream?***", false));
        std::fs::write(&path, "no colon").unwrap();
        assert!(!open().unwrap_err().to_string().contains("no colon"));
        std::fs::remove_file(&path).unwrap();
        assert!(open().unwrap_err().hint_text().is_some());
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(Address::new("rtsp://h/a", Some("a"), Some("B")).is_err());
        let unset = Address::new("rtsp://h/a", None, Some("GANTRY_TEST_NOT_SET")).unwrap_err();
        assert!(unset.message().contains("GANTRY_TEST_NOT_SET"), "{unset}");
        let path = std::env::temp_dir().join(format!("gantry-given-{}", std::process::id()));
        std::fs::write(&path, "u:p\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let given = user_and_password(path.to_str(), None).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!with_credentials("rtsp://a:secret@h/x", &given).unwrap_err().to_string().contains("secret"));
        assert!(with_credentials("clip.mp4", &given).is_err());
        let plain = Address::new("clip@2.mp4", None, None).unwrap();
        assert!(plain.is_file() && plain.name() == "clip@2.mp4");
    }
}
