//! Modules and launches: the kernels' text, compiled for the host, on the streams' threads.

use std::ffi::{CStr, CString, c_char, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use cudarc::driver::sys::{CUfunction, CUmodule, CUresult, CUstream};
use gantry_cuda::Grid;
use gantry_kernels_shim::{Order, argument_bytes, run_named};

use crate::memory::with_everything_in_place;
use crate::streams::stream;
use crate::{CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_IMAGE, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_FOUND, answer, current};

/// Names of the functions that were asked for. The handle given out is the index, plus one.
static FUNCTIONS: Mutex<Vec<CString>> = Mutex::new(Vec::new());

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut CUmodule, image: *const c_void) -> CUresult {
    let load = || {
        current()?;
        // The first bytes of a CUBIN, and what NVRTC writes at the top of PTX.
        // SAFETY: the caller gives an image, and every image has a header longer than two bytes.
        let start: [u8; 2] = unsafe { image.cast::<[u8; 2]>().read() };
        if &start != b"\x7fE" && &start != b"//" {
            return Err(CUDA_ERROR_INVALID_IMAGE);
        }
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *module = std::ptr::without_provenance_mut(1) };
        Ok(())
    };
    answer(load())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(_module: CUmodule) -> CUresult {
    answer(current().map(drop))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(function: *mut CUfunction, _module: CUmodule, name: *const c_char) -> CUresult {
    // SAFETY: the caller gives a name that ends with a zero byte.
    let name = unsafe { CStr::from_ptr(name) };
    let find = || {
        argument_bytes(name).ok_or(CUDA_ERROR_NOT_FOUND)?;
        let mut functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        functions.push(name.to_owned());
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *function = std::ptr::without_provenance_mut(functions.len()) };
        Ok(())
    };
    answer(find())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: CUfunction,
    bx: c_uint,
    by: c_uint,
    bz: c_uint,
    tx: c_uint,
    ty: c_uint,
    tz: c_uint,
    shared_bytes: c_uint,
    raw: CUstream,
    arguments: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> CUresult {
    let launch = || {
        let functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let name = function.addr().checked_sub(1).and_then(|at| functions.get(at).cloned()).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        let bytes = argument_bytes(&name).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // As the driver does: the argument is copied during the call, as long as the kernel says that it is.
        // SAFETY: the caller gives the one argument of the function that it looked up: a block of `bytes` bytes, aligned as its numbers are.
        let argument: Vec<u64> = unsafe { std::slice::from_raw_parts((*arguments).cast::<u64>(), bytes / 8) }.to_vec();
        let grid = Grid { blocks: [bx, by, bz], threads: [tx, ty, tz], shared_bytes };
        let run = move || {
            // SAFETY: the argument is the block that this kernel takes, and all memory that it names is in place.
            with_everything_in_place(|| unsafe { run_named(&name, &grid, &argument, Order::Forward) }).map_err(|_| CUDA_ERROR_INVALID_VALUE)
        };
        stream(raw).map(|stream| stream.give(Box::new(run)))
    };
    answer(launch())
}
