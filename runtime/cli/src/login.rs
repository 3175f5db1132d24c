//! What opens the streams of a command line: user name and password, which do not stand in it, and whose certificates are taken.

use crate::failure::Failure;
use clap::Args;
use gantry_credentials::{Credentials, has_credentials, redact, user_and_password};
use gantry_media::OpenOptions;
use std::path::PathBuf;

/// Arguments of each command that opens streams.
#[derive(Args, Clone, Default)]
pub struct Access {
    /// File with `user:password` of the streams, readable by nobody else (mode 0600).
    #[arg(long, value_name = "FILE", conflicts_with = "credentials_env")]
    pub credentials_file: Option<PathBuf>,
    /// Name of an environment variable that holds `user:password` of the streams.
    #[arg(long, value_name = "NAME")]
    pub credentials_env: Option<String>,
    /// Certificate (PEM) of who signed those of the streams (`rtsps`, `https`), or the camera's own. Without it every certificate is taken.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl Access {
    /// Reads the file or the variable that the command line names.
    ///
    /// # Errors
    /// If it is not there or is no `user:password`.
    pub fn login(&self) -> Result<Login, Failure> {
        let file = self.credentials_file.as_ref().map(|path| path.display().to_string());
        let found = user_and_password(file.as_deref(), self.credentials_env.as_deref());
        Ok(Login(found.map_err(|e| Failure::refused(e.to_string()).maybe_hint(e.hint()))?))
    }

    /// How `source` is opened.
    ///
    /// # Errors
    /// If its certificate is to be checked, and it is a stream that shows none.
    pub fn options(&self, source: &str) -> Result<OpenOptions, Failure> {
        let scheme = source.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let ca_file = match (&self.ca_file, scheme.as_deref()) {
            (Some(file), Some("rtsps" | "https")) => Some(file.clone()),
            (Some(_), Some(_)) => {
                let what = format!("`--ca-file` is given and `{}` is not reached over TLS", redact(source));
                return Err(Failure::refused(what).hint("write `rtsps://` or `https://`, or leave `--ca-file` out"));
            }
            _ => None,
        };
        Ok(OpenOptions { ca_file, ..OpenOptions::default() })
    }
}

/// What opens the streams of a command.
pub struct Login(Option<Credentials>);

impl Login {
    /// A source with what opens it, for FFmpeg alone; files as they are.
    ///
    /// # Errors
    /// If the source itself has a password: everybody on the machine can read command lines.
    pub fn address(&self, source: &str) -> Result<String, Failure> {
        if has_credentials(source) {
            return Err(Failure::refused(format!("{}: the address has a user name or password in it, and command lines are for everybody to read", redact(source)))
                .hint("write the address without it, `user:password` into a file of mode 0600, and name that with `--credentials-file` (or a variable with `--credentials-env`); change the password, it may stand in the shell's history"));
        }
        Ok(self.0.as_ref().and_then(|credentials| credentials.in_address(source)).unwrap_or_else(|| source.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        let failure = Access::default().login().unwrap().address("rtsp://admin:hunter2@10.0.0.7/s").unwrap_err();
        let text = format!("{failure:?}");
        assert!(text.contains("rtsp://***@10.0.0.7/s") && text.contains("--credentials-file") && !text.contains("hunter2"), "{text}");
        assert_eq!(Access::default().login().unwrap().address("clips/a@b.mp4").unwrap(), "clips/a@b.mp4");
        assert!(Access { credentials_env: Some("GANTRY_TEST_NOT_SET".into()), ..Access::default() }.login().is_err());
    }

    #[test]
    fn certificates_are_checked_where_there_are_some() {
        let access = Access { ca_file: Some("ca.pem".into()), ..Access::default() };
        let ca_file = |source: &str| access.options(source).map(|options| options.ca_file);
        for stream in ["rtsps://camera/1", "HTTPS://camera/1"] {
            assert_eq!(ca_file(stream).unwrap(), access.ca_file);
        }
        assert_eq!(ca_file("clip.mp4").unwrap(), None);
        let failure = format!("{:?}", ca_file("rtsp://operator:canary@camera/1").unwrap_err());
        assert!(failure.contains("not reached over TLS") && !failure.contains("canary"), "{failure}");
    }
}
