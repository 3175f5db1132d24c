//! User names, passwords and tokens, from a file that nobody else can read or from the environment.
//!
//! A node has the two parameters `CREDENTIALS_FILE` and `CREDENTIALS_ENV`. Neither holds the secret itself: graphs, command lines and
//! logs are for everybody to read. What is read here is never printed: [`Secret`] shows `***`, and no error has any of it.

mod address;
mod redact;

pub use address::has_credentials;
pub use redact::{redact, redact_in};

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest credentials file: a user name and a password, or a token.
const MAX_BYTES: u64 = 4096;

/// Why credentials could not be had: where they were looked for, and never what they are.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// Both a file and a variable are named.
    #[error("both `CREDENTIALS_FILE` and `CREDENTIALS_ENV` are set")]
    Both,
    /// The file cannot be read, or not as it is.
    #[error("credentials file `{}`: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The variable is not there.
    #[error("environment variable `{name}` with the credentials is not set")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// The variable has something else.
    #[error("environment variable `{name}` is not {wanted}")]
    Variable {
        /// Its name.
        name: String,
        /// What it should be.
        wanted: &'static str,
    },
}

impl CredentialsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Both => Some("leave one of them out".to_owned()),
            Self::File { hint, .. } => hint.clone(),
            Self::NotSet { .. } => Some("set it where dora's daemon (or `dora run`) is started: `user:password`".to_owned()),
            Self::Variable { .. } => None,
        }
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the far end alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A user name with its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// `user:password` from the place that is named; `None` if none is.
///
/// # Errors
/// [`CredentialsError`].
pub fn user_and_password(file: Option<&str>, env: Option<&str>) -> Result<Option<Credentials>, CredentialsError> {
    let Some(line) = line(file, env)? else { return Ok(None) };
    let parsed = line.reveal().split_once(':').filter(|(user, _)| !user.is_empty());
    let credentials = parsed.map(|(user, password)| Credentials { user: user.to_owned(), password: Secret(password.to_owned()) });
    credentials.map(Some).ok_or_else(|| wrong(file, env, "`user:password`"))
}

/// A token, one line of printable ASCII, from the place that is named; `None` if none is.
///
/// # Errors
/// [`CredentialsError`].
pub fn token(file: Option<&str>, env: Option<&str>) -> Result<Option<Secret>, CredentialsError> {
    let Some(line) = line(file, env)? else { return Ok(None) };
    let is_token = !line.reveal().is_empty() && line.reveal().bytes().all(|b| b.is_ascii_graphic());
    if is_token { Ok(Some(line)) } else { Err(wrong(file, env, "a token without spaces")) }
}

fn wrong(file: Option<&str>, env: Option<&str>, wanted: &'static str) -> CredentialsError {
    match (file, env) {
        (Some(file), _) => CredentialsError::File { path: file.into(), what: format!("its first line is not {wanted}"), hint: None },
        (None, name) => CredentialsError::Variable { name: name.unwrap_or_default().to_owned(), wanted },
    }
}

/// The first line of the file, or the variable.
fn line(file: Option<&str>, env: Option<&str>) -> Result<Option<Secret>, CredentialsError> {
    match (file, env) {
        (None, None) => Ok(None),
        (Some(file), None) => of_file(Path::new(file)).map(Some),
        (None, Some(name)) => {
            let text = std::env::var(name).map_err(|_| CredentialsError::NotSet { name: name.to_owned() })?;
            Ok(Some(Secret(text)))
        }
        (Some(_), Some(_)) => Err(CredentialsError::Both),
    }
}

fn of_file(path: &Path) -> Result<Secret, CredentialsError> {
    let fault = |what: String, hint: Option<String>| CredentialsError::File { path: path.to_owned(), what, hint };
    let meta = std::fs::metadata(path)
        .map_err(|e| fault(e.to_string().to_lowercase(), Some("write `user:password` into it, mode 0600".to_owned())))?;
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(fault(format!("others may read it (mode {mode:04o})"), Some(format!("chmod 600 {}", path.display()))));
    }
    if meta.len() > MAX_BYTES {
        return Err(fault(format!("{} bytes, at most {MAX_BYTES} are read", meta.len()), None));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fault(e.to_string().to_lowercase(), None))?;
    Ok(Secret(text.lines().next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_others_may_read_is_refused_and_nothing_shows_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sink.credentials");
        let name = path.to_str();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::write(&path, "admin:s3cret:word\n").unwrap();
        mode(0o640);
        let error = user_and_password(name, None).unwrap_err();
        assert!(error.to_string().contains("mode 0640") && error.hint().unwrap().starts_with("chmod 600"), "{error}");
        mode(0o600);
        let found = user_and_password(name, None).unwrap().unwrap();
        assert_eq!((found.user.as_str(), found.password.reveal()), ("admin", "s3cret:word"));
        assert!(!format!("{found:?}").contains("s3cret"));
        assert_eq!(token(name, None).unwrap().unwrap().reveal(), "admin:s3cret:word");
        for text in ["no colon", ":nobody", ""] {
            std::fs::write(&path, text).unwrap();
            let error = user_and_password(name, None).unwrap_err().to_string();
            assert!(error.ends_with("its first line is not `user:password`"), "{error}");
        }
        std::fs::write(&path, "two words").unwrap();
        assert!(!token(name, None).unwrap_err().to_string().contains("words"));
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(token(name, None).unwrap_err().to_string().contains("5000 bytes"));
    }

    #[test]
    fn one_place_is_named_or_none() {
        assert_eq!(user_and_password(None, None).unwrap(), None);
        assert!(matches!(user_and_password(Some("a"), Some("B")), Err(CredentialsError::Both)));
        let error = token(None, Some("GANTRY_TEST_NOT_SET")).unwrap_err();
        assert!(error.to_string().contains("GANTRY_TEST_NOT_SET") && error.hint().is_some(), "{error}");
        // A variable that every test has, and that is no `user:password`.
        let error = user_and_password(None, Some("CARGO_PKG_NAME")).unwrap_err();
        assert_eq!(error.to_string(), "environment variable `CARGO_PKG_NAME` is not `user:password`");
        assert_eq!(token(None, Some("CARGO_PKG_NAME")).unwrap().unwrap().reveal(), "gantry-credentials");
    }
}
