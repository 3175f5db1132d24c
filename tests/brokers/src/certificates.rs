use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority that signs certificates, made anew for a test.
pub struct Authority {
    dir: PathBuf,
    name: String,
}

/// What a server shows, and the key of it.
pub struct Certificate {
    /// The certificate (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

impl Authority {
    /// Makes one; its files are in `dir` and begin with `name`.
    ///
    /// # Panics
    /// If openssl fails.
    #[must_use]
    pub fn new(dir: &Path, name: &str) -> Self {
        let (key, ca) = (format!("{name}.ca.key"), format!("{name}.ca.pem"));
        openssl(dir, &["req", "-x509", "-days", "2", "-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &ca], NEW_KEY);
        Self { dir: dir.to_owned(), name: name.to_owned() }
    }

    /// Its own certificate (PEM): what `CA_FILE` names.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir.join(format!("{}.ca.pem", self.name))
    }

    /// Signs a certificate for `names`, written as openssl does: `DNS:localhost,IP:127.0.0.1`.
    ///
    /// # Panics
    /// If openssl fails.
    #[must_use]
    pub fn sign(&self, name: &str, names: &str) -> Certificate {
        let file = |end: &str| format!("{}.{name}.{end}", self.name);
        openssl(&self.dir, &["req", "-subj", &format!("/CN={name}"), "-keyout", &file("key"), "-out", &file("csr")], NEW_KEY);
        std::fs::write(self.dir.join(file("ext")), format!("subjectAltName={names}\n")).expect("the folder can be written");
        let (ca, ca_key) = (format!("{}.ca.pem", self.name), format!("{}.ca.key", self.name));
        let signed = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-extfile", &file("ext")];
        openssl(&self.dir, &["x509", "-req", "-days", "2", "-in", &file("csr"), "-out", &file("pem")], &signed);
        Certificate { certificate: self.dir.join(file("pem")), key: self.dir.join(file("key")) }
    }
}

const NEW_KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn openssl(dir: &Path, arguments: &[&str], more: &[&str]) {
    let mut command = Command::new("openssl");
    let status = command.args(arguments).args(more).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("openssl, which `cargo xtask setup` installs").success(), "openssl {arguments:?}");
}
