//! Why a kernel was not run.

use std::path::PathBuf;

use gantry_cuda::CudaError;
use gantry_images::PixelsError;

/// A plan, a compilation or a launch did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A picture does not lie in its memory, or is of another format.
    #[error(transparent)]
    Pixels(#[from] PixelsError),
    /// The colour planes of a frame lie differently. Decoders give both the same stride, and the kernels keep one.
    #[error("U plane has stride {u} and V plane {v}, the kernels take one stride for both")]
    Strides {
        /// Bytes from row to row of the U plane.
        u: u32,
        /// Bytes from row to row of the V plane.
        v: u32,
    },
    /// A letterbox was fitted to a frame of another size.
    #[error("letterbox is for a frame of {}x{}, this one is {}x{}", found.0, found.1, wanted.0, wanted.1)]
    Letterbox {
        /// Width and height that it was fitted to.
        found: (usize, usize),
        /// Width and height of the frame.
        wanted: (usize, usize),
    },
    /// A picture and what is to be made of it differ in size.
    #[error("a picture of {}x{} cannot become one of {}x{} by an operator", from.0, from.1, to.0, to.1)]
    Sizes {
        /// Width and height of the picture.
        from: (u32, u32),
        /// Width and height of the room for the result.
        to: (u32, u32),
    },
    /// More memory is needed between kernels than there is.
    #[error("kernels need {needed} bytes between them, {found} are there")]
    Scratch {
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        found: u64,
    },
    /// The picture shrinks so much that a row of it does not fit a block's shared memory.
    #[error("a picture that shrinks {by:.0} times is more than the kernel takes: {samples} samples of a row at once")]
    Shrink {
        /// Source samples per output sample.
        by: f64,
        /// Samples of a row for one tile.
        samples: u64,
    },
    /// A parameter of an operator is out of its range.
    #[error("operator `{operator}`: `{parameter}` is {found}, {wanted} can be run")]
    Parameter {
        /// Which operator.
        operator: &'static str,
        /// Which parameter.
        parameter: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A kernel is not among those that were loaded.
    #[error("kernel {kernel:?} is not loaded")]
    Missing {
        /// Which kernel.
        kernel: crate::Kernel,
    },
    /// The driver or the compiler refused.
    #[error("{what}")]
    Cuda {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: CudaError,
    },
    /// A file of compiled kernels cannot be read.
    #[error("compiled kernels `{path}` cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl KernelError {
    /// What the driver refused, with what was tried.
    pub fn cuda(what: impl Into<String>) -> impl FnOnce(CudaError) -> Self {
        let what = what.into();
        move |source| Self::Cuda { what, source }
    }

    /// The error with its cause.
    #[must_use]
    pub fn full(&self) -> String {
        let why = std::error::Error::source(self).map(|why| format!(": {why}")).unwrap_or_default();
        format!("{self}{why}")
    }

    /// What the person at the machine can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Cuda { source, .. } => source.hint(),
            Self::Read { .. } => {
                "name the folder that `cargo xtask kernels` of this version made in `GANTRY_KERNELS`, or leave it unset to compile at start"
            }
            Self::Shrink { .. } => "raise the size of the output, or lower that of the camera",
            Self::Parameter { .. } => "look at docs/operators.md for the ranges",
            Self::Pixels(_)
            | Self::Missing { .. }
            | Self::Strides { .. }
            | Self::Sizes { .. }
            | Self::Letterbox { .. }
            | Self::Scratch { .. } => "this is a bug: please report it with the whole message",
        }
    }
}
