use std::path::PathBuf;
use thiserror::Error;

/// Why a recording could not be written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file cannot be made or written, for example on a full disk.
    #[error("`{}`: {what}: {why} (whole and readable up to byte {kept_bytes})", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: String,
        /// Bytes that stay in the file.
        kept_bytes: u64,
    },
    /// A message cannot be expressed in Arrow.
    #[error("message of `{topic}` cannot be written: {why}")]
    Message {
        /// Its channel.
        topic: String,
        /// Why.
        why: String,
    },
}

impl RecordError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Write { .. } => "make room or name another place in `OUT`; what was recorded until then can be replayed",
            Self::Message { .. } => "this is a fault of the sending node; leave that edge out of the recording",
        }
    }
}

/// Why a recording could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("`{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not begin as MCAP files do.
    #[error("`{}` is no MCAP file: it begins with {found}, wanted 89 4d 43 41 50 30 0d 0a", path.display())]
    NoMcap {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: String,
    },
    /// The recording has no such camera.
    #[error("`{}` has no camera `{wanted}`; it has {found}", path.display())]
    NoCamera {
        /// The file.
        path: PathBuf,
        /// The camera that was asked for.
        wanted: String,
        /// Those that are there.
        found: String,
    },
}
