//! What every sink is told.

use gantry_credentials::{Credentials, CredentialsError, Secret, token, user_and_password};
use gantry_node::Fault;
use gantry_spool::WhenFull;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// What [`Sink`](crate::Sink) is told by the parameters.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// `SPOOL_DIR`.
    pub spool_dir: PathBuf,
    /// `SPOOL_MB`.
    pub spool_mb: u64,
    /// `WHEN_FULL`.
    pub when_full: WhenFull,
    /// `RETRY_MS`.
    pub retry: Duration,
    /// `FINISH_MS`.
    pub finish: Duration,
    /// `EVIDENCE`.
    pub evidence: bool,
}

/// The parameters that every sink has, by the names of the contract; `#[serde(flatten)]` them into the sink's own.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct SinkParams {
    #[serde(default)]
    pub credentials_file: Option<String>,
    #[serde(default)]
    pub credentials_env: Option<String>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    pub timeout_ms: u64,
    pub retry_ms: u64,
    pub spool_dir: PathBuf,
    pub spool_mb: u64,
    pub when_full: String,
    pub evidence: bool,
    pub finish_ms: u64,
}

impl SinkParams {
    /// Spool, retries and what goes with a reading.
    #[must_use]
    pub fn config(&self) -> SinkConfig {
        SinkConfig {
            spool_dir: self.spool_dir.clone(),
            spool_mb: self.spool_mb,
            when_full: if self.when_full == "refuse_newest" { WhenFull::RefuseNewest } else { WhenFull::DropOldest },
            retry: Duration::from_millis(self.retry_ms),
            finish: Duration::from_millis(self.finish_ms),
            evidence: self.evidence,
        }
    }

    /// Longest wait for an answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Whether a place is named that credentials come from.
    #[must_use]
    pub fn names_credentials(&self) -> bool {
        self.credentials_file.is_some() || self.credentials_env.is_some()
    }

    /// User name and password, if a place is named.
    ///
    /// # Errors
    /// They cannot be had from there.
    pub fn user_and_password(&self) -> Result<Option<Credentials>, Fault> {
        user_and_password(self.credentials_file.as_deref(), self.credentials_env.as_deref()).map_err(hinted)
    }

    /// A token, if a place is named.
    ///
    /// # Errors
    /// It cannot be had from there.
    pub fn token(&self) -> Result<Option<Secret>, Fault> {
        token(self.credentials_file.as_deref(), self.credentials_env.as_deref()).map_err(hinted)
    }
}

fn hinted(error: CredentialsError) -> Fault {
    let hint = error.hint();
    Fault::from(error).maybe_hint(hint)
}
