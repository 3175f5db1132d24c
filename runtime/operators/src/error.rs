//! What can go wrong.

use std::path::PathBuf;
use thiserror::Error;

/// Why a library is not an operator that this host can use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is missing, no shared library, for another machine, or lacks something it needs.
    #[error("operator library `{path}` cannot be loaded")]
    Open {
        /// Which file.
        path: PathBuf,
        /// The loader's reason.
        #[source]
        source: libloading::Error,
    },
    /// The entry symbol is missing.
    #[error("`{path}` is no operator library: it has no symbol `{symbol}`")]
    NoEntry {
        /// Which file.
        path: PathBuf,
        /// The symbol.
        symbol: &'static str,
    },
    /// The header is not one.
    #[error("`{path}` is no operator library: its header starts with {found:#018x}, wanted {wanted:#018x}")]
    Magic {
        /// Which file.
        path: PathBuf,
        /// What is there.
        found: u64,
        /// What should be.
        wanted: u64,
    },
    /// The library speaks another version, or its structs have other sizes.
    #[error("operator library `{path}` does not fit this host\n  host:    {host}\n  library: {library}")]
    Abi {
        /// Which file.
        path: PathBuf,
        /// What the host speaks.
        host: String,
        /// What the library speaks.
        library: String,
    },
    /// The library's own description cannot be read.
    #[error("operator library `{path}` describes itself wrongly: {why}")]
    Description {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl LoadError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Open { .. } => "build it with `cargo build --release -p <operator>` or name its folder in `OPERATOR_PATH`".to_owned(),
            Self::NoEntry { .. } | Self::Magic { .. } | Self::Description { .. } => {
                "export the operator with `gantry_operators::export_operator!`, or see gantry_operator.h".to_owned()
            }
            Self::Abi { .. } => "rebuild the operator against the gantry-operators of this release".to_owned(),
        }
    }
}

/// Why an operator made no picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The options are wrong.
    #[error("operator `{operator}` refuses its options: {why}")]
    Options {
        /// Which one.
        operator: String,
        /// Its reason.
        why: String,
    },
    /// This picture could not be processed.
    #[error("operator `{operator}` failed: {why}")]
    Failed {
        /// Which one.
        operator: String,
        /// Its reason.
        why: String,
    },
    /// The operator has a bug; its instance is not used again.
    #[error("operator `{operator}` panicked: {why}")]
    Panicked {
        /// Which one.
        operator: String,
        /// The panic's message.
        why: String,
    },
    /// The library broke the protocol.
    #[error("operator `{operator}` broke the protocol: {why}")]
    Protocol {
        /// Which one.
        operator: String,
        /// How.
        why: String,
    },
    /// Input and output differ in size.
    #[error("operator `{operator}`: input is {input:?}, output {output:?}; they must have the same width and height")]
    Size {
        /// Which one.
        operator: String,
        /// Width and height.
        input: (u32, u32),
        /// Width and height.
        output: (u32, u32),
    },
}
