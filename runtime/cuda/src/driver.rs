//! Finding the driver, once per process, and turning its results into errors.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;
use std::sync::OnceLock;

use cudarc::driver::sys::{self, CUresult};

use crate::CudaError;

/// CUDA 12.0: older drivers lack functions that this crate calls, and looking one up that is missing would panic.
const OLDEST: i32 = 12_000;

/// Loads and initialises the driver at the first call; later calls repeat the first answer.
pub(crate) fn ready() -> Result<(), CudaError> {
    static READY: OnceLock<Result<(), CudaError>> = OnceLock::new();
    READY.get_or_init(start).clone()
}

/// The newest CUDA that the driver supports, as 12080 for 12.8.
///
/// # Errors
/// As [`Device::all`](crate::Device::all).
pub fn driver_version() -> Result<i32, CudaError> {
    ready()?;
    let mut version = 0;
    // SAFETY: the driver is there; writes one int.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut version) })?;
    Ok(version)
}

fn start() -> Result<(), CudaError> {
    // SAFETY: loads libcuda and nothing else; its initialisers are those of the NVIDIA driver.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    let mut version = 0;
    // SAFETY: the library is there; the function is allowed before cuInit and writes one int.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut version) })?;
    if version < OLDEST {
        return Err(CudaError::OldDriver { major: version / 1000, minor: version % 1000 / 10 });
    }
    // SAFETY: the library is there; flags must be 0.
    match check("cuInit", unsafe { sys::cuInit(0) }) {
        Err(CudaError::Driver { code: 100, .. }) => Err(CudaError::NoDevice),
        done => done,
    }
}

/// `Ok` for `CUDA_SUCCESS`. Only called with what a function of the loaded library returned.
///
/// cudarc declares results as an enum of the codes of CUDA 12.8. NVIDIA's header keeps old codes; a newer driver could return one that the enum
/// lacks, for functions that did not exist then.
pub(crate) fn check(operation: &'static str, result: CUresult) -> Result<(), CudaError> {
    if result == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let mut name = ptr::null();
    // SAFETY: the library is loaded, as it made this result; the function writes one pointer, to a static string or null.
    let known = unsafe { sys::cuGetErrorName(result, &mut name) } == CUresult::CUDA_SUCCESS && !name.is_null();
    let name = match known {
        // SAFETY: a static string of the driver that ends with 0.
        true => unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned(),
        false => "a result that this driver has no name for".to_owned(),
    };
    Err(CudaError::Driver { operation, code: result as u32, name })
}

/// Logs what went wrong while something was given back: nobody can be told any more.
pub(crate) fn log_drop(result: Result<(), CudaError>) {
    if let Err(error) = result {
        tracing::error!(%error, hint = error.hint(), "CUDA resource could not be given back");
    }
}
