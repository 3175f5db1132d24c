//! Pixel operations on CUDA: frame to model input, plates out of frames, the preprocessing operators, legibility and slope, candidates of detectors.
//!
//! ```text
//! cuda/*.cu          the kernels: one text for NVRTC and, in tests, for the host's C++ compiler (shim/)
//! scale, cut, ...    plans: pictures and sizes -> launches; pure, checks that every byte a kernel touches lies in its region
//! Kernels            compiles the text for the card (NVRTC, cache on disk) or takes PTX made ahead of time
//! Queue              runs plans on a stream; device memory in, device memory out
//! ```
//!
//! Each kernel gives the bytes that `gantry-images` and the operators give on the CPU; `tests/kernels` compares them, through the shim on any
//! machine and on a GPU where there is one.

mod axis;
mod cache;
mod candidates;
mod cut;
mod device;
mod error;
mod frame;
mod launch;
mod levels;
mod loader;
mod measure;
mod morphology;
mod operators;
mod plane;
mod queue;
mod region;
mod room;
mod scale;
mod source;

pub use candidates::{Candidate, DetectorOutput, candidates};
pub use cut::{Cut, Look, cut};
pub use device::{DeviceFrame, DeviceGrey, DeviceGreyMut};
pub use error::KernelError;
pub use frame::FrameView;
pub use launch::Launch;
pub use levels::{LevelFormat, levels};
pub use loader::{Kernels, LoadOptions, Origin};
pub use measure::{Measured, SlantJob, legibility, slants};
pub use morphology::Morphology;
pub use operators::{Operator, Surroundings, grey_from_rgb, operate};
pub use plane::{GreyView, resize_grey};
pub use queue::{CutItem, Queue, ScaleItem};
pub use region::{Region, Scratch};
pub use room::Room;
pub use scale::{Scale, TensorFormat, scale};
pub use source::{Kernel, Source};
