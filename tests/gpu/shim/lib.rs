//! The few functions of libcuda that Gantry calls for memory, streams, events and kernels, over memfds and threads: for tests on machines without a card.
//!
//! It is loaded as `libcuda.so.1` by the same loader as the driver, in as many processes as there are, so everything above runs as it is: joins,
//! descriptors, imports, kills. What is copied from the driver's documentation: addresses mean nothing to the host (touching one ends the process);
//! work is done later than it is asked for; memory that is unmapped, freed or read-only cannot be written; the exporter cannot open its own IPC handle;
//! memory of the legacy IPC must not be freed while somebody has it mapped (the process is aborted); a failed access spoils the context.
//!
//! It is `libnvcuvid.so.1`, too, for FFmpeg's decoders (video.rs).
//!
//! Kernels are Gantry's own, compiled for the host (runtime/kernels/shim): the code that is loaded is looked at and not run.
//!
//! What it cannot show is whether the driver does as documented, nor anything about speed.
//!
//! ```text
//! GANTRY_SHIM_CARDS   bytes that make the UUIDs of the visible devices, as in `7,9`; default `7`
//! GANTRY_SHIM_RUN     devices of one run share their memory, and nothing with other runs
//! GANTRY_SHIM_LACKS   of `vmm-create,vmm-import,ipc-export,ipc-open,nvdec`, those that are refused
//! GANTRY_SHIM_SPOIL   a file: as soon as it is there, the next work of a stream fails as a kernel does that leaves its memory, and the context is lost
//! ```
#![allow(unsafe_code, non_snake_case)]
#![allow(clippy::missing_safety_doc, missing_docs, reason = "each function has the contract that NVIDIA documents for the driver's")]

mod card;
mod events;
mod kernels;
mod legacy;
mod memory;
mod streams;
mod video;

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint};

use cudarc::driver::sys::{CUcontext, CUdevice, CUdevice_attribute, CUresult, CUuuid};

pub use CUresult::*;

use crate::card::CARDS;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// Index of the device whose context is current; `CUDA_ERROR_INVALID_CONTEXT` without one.
fn current() -> Result<usize, CUresult> {
    CURRENT.get().checked_sub(1).ok_or(CUDA_ERROR_INVALID_CONTEXT)
}

/// What a function returns: the error that spoiled the context, or its own.
fn answer(done: Result<(), CUresult>) -> CUresult {
    match (streams::spoiled(), done) {
        (Some(error), _) | (None, Err(error)) => error,
        (None, Ok(())) => CUDA_SUCCESS,
    }
}

fn lacks(what: &str) -> bool {
    std::env::var("GANTRY_SHIM_LACKS").is_ok_and(|list| list.split(',').any(|word| word == what))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *version = 12_080 };
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> CUresult {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(error: CUresult, name: *mut *const c_char) -> CUresult {
    let text = match error {
        CUDA_ERROR_INVALID_VALUE => c"CUDA_ERROR_INVALID_VALUE",
        CUDA_ERROR_OUT_OF_MEMORY => c"CUDA_ERROR_OUT_OF_MEMORY",
        CUDA_ERROR_INVALID_CONTEXT => c"CUDA_ERROR_INVALID_CONTEXT",
        CUDA_ERROR_INVALID_HANDLE => c"CUDA_ERROR_INVALID_HANDLE",
        CUDA_ERROR_ILLEGAL_ADDRESS => c"CUDA_ERROR_ILLEGAL_ADDRESS",
        CUDA_ERROR_NOT_SUPPORTED => c"CUDA_ERROR_NOT_SUPPORTED",
        CUDA_ERROR_UNKNOWN => c"CUDA_ERROR_UNKNOWN",
        _ => return CUDA_ERROR_INVALID_VALUE,
    };
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *name = text.as_ptr() };
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *count = CARDS.len() as c_int };
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut CUdevice, index: c_int) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *device = index };
    if (0..CARDS.len() as c_int).contains(&index) { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_DEVICE }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut CUuuid, device: CUdevice) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *uuid = CUuuid { bytes: [CARDS[device as usize] as c_char; 16] } };
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: CUdevice) -> CUresult {
    let text = b"driver shim\0";
    let len = text.len().min(len as usize);
    // SAFETY: the caller gives `len` bytes for the name; no more are copied than it or the text has.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), name, len) };
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: CUdevice_attribute, _device: CUdevice) -> CUresult {
    // Says yes to everything, and is of architecture 9.0.
    let found = match attribute {
        CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR => 9,
        CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR => 0,
        _ => 1,
    };
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *value = found };
    CUDA_SUCCESS
}

/// Only that waiting threads sleep is asked for: a caller that forgets it would spin on a card.
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxSetFlags_v2(_device: CUdevice, flags: c_uint) -> CUresult {
    const BLOCKING_SYNC: c_uint = 4;
    if flags == BLOCKING_SYNC { CUDA_SUCCESS } else { CUDA_ERROR_INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *context = std::ptr::without_provenance_mut(device as usize + 1) };
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: CUdevice) -> CUresult {
    CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: CUcontext) -> CUresult {
    CURRENT.set(context.addr());
    CUDA_SUCCESS
}
