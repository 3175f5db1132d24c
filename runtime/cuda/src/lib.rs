//! The CUDA driver behind safe types.
//!
//! All of Gantry's calls into libcuda and libnvrtc are here. The libraries are looked up at run time: nothing of CUDA is needed to build, and where libcuda
//! is missing [`Device::all`] says so with [`CudaError::NoDriver`] and everything else of a program works.
//!
//! ```text
//! Device (by UUID) -> Context (the primary one, shared with other libraries of the process) -> Stream, Event, DeviceMemory
//! DeviceMemory: create_vmm -> export_fd -> import_vmm          a file descriptor, also on Jetson and across containers
//!               create_ipc -> ipc_handle -> open_ipc           64 bytes, where the former does not work
//! ```
//!
//! Kernels are compiled by [`Compiler`] (NVRTC, which needs no GPU), loaded as a [`Module`] and run on a [`Stream`].
//!
//! Memory is freed only after all work of its context is done, so a kernel never writes into memory that is gone.

#![deny(unsafe_code)]

mod compiler;
mod context;
mod device;
mod driver;
mod error;
mod memory;
mod module;
mod nvrtc;
mod stream;
mod video;

pub use compiler::{Code, Compiler, Program};
pub use context::Context;
pub use device::{Device, DeviceUuid};
pub use driver::driver_version;
pub use error::CudaError;
pub use memory::{Access, DeviceMemory, DeviceSlice, DeviceSliceMut, IPC_HANDLE_BYTES};
pub use module::{Function, Grid, Module};
pub use stream::{Event, Rows, Stream};
pub use video::video_decoder;
