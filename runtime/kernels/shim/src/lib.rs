//! The kernels on the host: the text that NVRTC compiles for cards, compiled by the C++ compiler, one thread after the other.
//!
//! A block's threads run as fibers between barriers, in order or in reverse order: kernels whose result depends on the order have a race.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};

use gantry_cuda::Grid;
use gantry_kernels::Launch;

unsafe extern "C" {
    fn gantry_shim_argument_bytes(name: *const c_char) -> u32;
    fn gantry_shim_launch(
        name: *const c_char,
        grid: *const u32,
        block: *const u32,
        shared_bytes: u32,
        arguments: *const c_void,
        argument_bytes: u32,
        is_reverse: c_int,
    ) -> c_int;
}

/// Order in which the threads of a block run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first thread first.
    Forward,
    /// The last thread first.
    Reverse,
}

/// Bytes of the argument of the kernel `name`; `None` if there is none.
#[must_use]
pub fn argument_bytes(name: &CStr) -> Option<usize> {
    // SAFETY: a name that ends with 0.
    match unsafe { gantry_shim_argument_bytes(name.as_ptr()) } {
        0 => None,
        bytes => Some(bytes as usize),
    }
}

/// Runs `launch`.
///
/// # Safety
/// All addresses of the launch are memory of this process that nobody else uses meanwhile.
///
/// # Errors
/// Which limit or size does not fit.
pub unsafe fn run(launch: &Launch, order: Order) -> Result<(), String> {
    // SAFETY: the caller's promise is passed on.
    unsafe { run_named(launch.kernel.name(), &launch.grid, launch.argument(), order) }
}

/// Runs the kernel `name`.
///
/// # Safety
/// As [`run`].
///
/// # Errors
/// As [`run`].
pub unsafe fn run_named(name: &CStr, grid: &Grid, argument: &[u64], order: Order) -> Result<(), String> {
    let bytes = size_of_val(argument) as u32;
    let is_reverse = c_int::from(order == Order::Reverse);
    // SAFETY: name ends with 0, three numbers each, the argument has as many bytes as are counted and is copied by value; the addresses in it are
    // the caller's promise.
    let code = unsafe {
        gantry_shim_launch(
            name.as_ptr(),
            grid.blocks.as_ptr(),
            grid.threads.as_ptr(),
            grid.shared_bytes,
            argument.as_ptr().cast(),
            bytes,
            is_reverse,
        )
    };
    match code {
        0 => Ok(()),
        1 => Err(format!("{name:?}: no such kernel")),
        2 => Err(format!("{name:?}: the argument has {bytes} bytes, the kernel takes another size")),
        _ => Err(format!("{name:?}: {grid:?} is more than a card runs")),
    }
}
