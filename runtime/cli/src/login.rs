//! User name and password of the streams on a command line, and none in it.

use crate::failure::Failure;
use gantry_credentials::{Credentials, has_credentials, redact, user_and_password};
use std::path::Path;

/// What opens the streams of a command.
pub struct Login(Option<Credentials>);

impl Login {
    /// Reads the file or the variable that the command line names.
    ///
    /// # Errors
    /// If it is not there or is no `user:password`.
    pub fn of(file: Option<&Path>, env: Option<&str>) -> Result<Self, Failure> {
        let file = file.map(|path| path.display().to_string());
        let found = user_and_password(file.as_deref(), env).map_err(|e| Failure::refused(e.to_string()).maybe_hint(e.hint()))?;
        Ok(Self(found))
    }

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
        let failure = Login::of(None, None).unwrap().address("rtsp://admin:hunter2@10.0.0.7/s").unwrap_err();
        let text = format!("{failure:?}");
        assert!(text.contains("rtsp://***@10.0.0.7/s") && text.contains("--credentials-file") && !text.contains("hunter2"), "{text}");
        assert_eq!(Login::of(None, None).unwrap().address("clips/a@b.mp4").unwrap(), "clips/a@b.mp4");
        assert!(Login::of(None, Some("GANTRY_TEST_NOT_SET")).is_err());
    }
}
