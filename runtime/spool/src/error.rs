use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the spool could not do what was asked.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The disk or the folder.
    #[error("`{}`: {what}: {source}", path.display())]
    Disk {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("`{}`: another process uses this spool", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// New entries are refused ([`crate::WhenFull::RefuseNewest`]).
    #[error("`{}`: full: {bytes} of {max_bytes} bytes wait for the far end", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// Bytes on disk.
        bytes: u64,
        /// Bytes allowed.
        max_bytes: u64,
    },
    /// An entry larger than the format allows.
    #[error("an entry of {bytes} bytes, at most {} are taken", crate::MAX_ENTRY_BYTES)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl SpoolError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Disk { .. } => "make room or name a folder that this user may write to",
            Self::InUse { .. } => "give every sink a folder of its own",
            Self::Full { .. } => "bring the far end back or allow more bytes",
            Self::TooLarge { .. } => "shorten what is sent",
        }
    }

    pub(crate) fn disk(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Disk { path, what, source }
    }
}
