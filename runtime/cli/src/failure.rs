//! How a command ends when it does not succeed.

use std::process::ExitCode;

/// The job was started and failed.
pub const FAILED: u8 = 1;
/// What was asked cannot be done: bad arguments, missing files, a faulty graph.
pub const REFUSED: u8 = 2;
/// Readings differ, where `gantry compare --exit-code` was asked to say so.
pub const DIFFERENT: u8 = 3;
/// Ended by Ctrl-C; what was read until then is complete.
pub const INTERRUPTED: u8 = 130;

/// A message with its hint and the exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// The job failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: FAILED }
    }

    /// The request was refused.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: REFUSED }
    }

    /// The user ended it.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: INTERRUPTED }
    }

    /// All went well, and readings differ: an exit code without a message.
    pub fn different() -> Self {
        Self { message: String::new(), hint: None, code: DIFFERENT }
    }

    /// Says in front of the message what it belongs to. A list of faults that names its files stays as it is.
    pub fn context(mut self, what: &str) -> Self {
        if !self.message.starts_with("error:") {
            self.message = format!("{what}: {}", self.message);
        }
        self
    }

    /// What to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do about it, where the error knows.
    pub fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Prints `error:` and `hint:` to stderr; a message that already says `error:` stays as it is.
    pub fn print(&self) {
        if self.message.starts_with("error:") {
            eprint!("{}", self.message);
        } else if !self.message.is_empty() {
            eprintln!("error: {}", self.message);
        }
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}
