//! Certificates for tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority that signs certificates of servers, made with the command `openssl`.
pub struct Authority {
    folder: PathBuf,
    name: String,
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

impl Authority {
    /// A new one; its files lie in `folder`.
    ///
    /// # Panics
    /// If `openssl` fails; `cargo xtask setup` installs it.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let authority = Self { folder: folder.to_owned(), name: name.to_owned() };
        authority.openssl(&format!("req -x509 -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem {KEY}"));
        authority
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// A certificate for `names` (`IP:127.0.0.1,DNS:localhost`) that it has signed, and the key of that.
    ///
    /// # Panics
    /// As [`Authority::new`].
    #[must_use]
    pub fn signs(&self, server: &str, names: &str) -> (PathBuf, PathBuf) {
        let (authority, at) = (&self.name, |what: &str| self.folder.join(format!("{server}.{what}")));
        std::fs::write(at("ext"), format!("subjectAltName={names}\n")).expect("the folder can be written");
        self.openssl(&format!("req -subj /CN={server} -keyout {server}.key -out {server}.csr {KEY}"));
        self.openssl(&format!(
            "x509 -req -days 2 -in {server}.csr -out {server}.pem -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -extfile {server}.ext"
        ));
        (at("pem"), at("key"))
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let status = command.args(arguments.split(' ')).current_dir(&self.folder).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("openssl, which `cargo xtask setup` installs").success(), "openssl {arguments}");
    }
}
