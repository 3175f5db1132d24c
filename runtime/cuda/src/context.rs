//! The primary context of a device, shared with ONNX Runtime, FFmpeg and whatever else in this process uses the CUDA runtime.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUcontext, CUctx_flags, CUresult};

use crate::driver::{check, log_drop};
use crate::{CudaError, Device};

/// Somebody made the context with other flags.
const PRIMARY_CONTEXT_ACTIVE: u32 = CUresult::CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE as u32;

/// A retained primary context. Clones share it; it is given back with the last one and with all that was made in it.
#[derive(Debug, Clone)]
pub struct Context(Arc<Retained>);

#[derive(Debug)]
struct Retained {
    device: Device,
    raw: CUcontext,
}

// SAFETY: a context is usable from every thread that makes it current (cuCtxSetCurrent), which each call here does first.
unsafe impl Send for Retained {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Retained {}

impl Context {
    /// Retains the primary context of `device`; makes it if nobody did. Threads that wait for the card sleep: by default the driver lets them spin as long
    /// as there are more cores than contexts, which would take one core per node.
    ///
    /// # Errors
    /// What the driver says: no memory, a card in exclusive mode.
    pub fn primary(device: Device) -> Result<Self, CudaError> {
        let mut raw = ptr::null_mut();
        let flags = CUctx_flags::CU_CTX_SCHED_BLOCKING_SYNC as u32;
        // SAFETY: a `Device` exists only after cuInit.
        match check("cuDevicePrimaryCtxSetFlags_v2", unsafe { sys::cuDevicePrimaryCtxSetFlags_v2(device.raw, flags) }) {
            // Documented for a context that somebody else made with other flags; it works as well, and spins.
            Err(CudaError::Driver { code: PRIMARY_CONTEXT_ACTIVE, .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        // SAFETY: a `Device` exists only after cuInit; writes one pointer; released once, by `Drop`.
        check("cuDevicePrimaryCtxRetain", unsafe { sys::cuDevicePrimaryCtxRetain(&mut raw, device.raw) })?;
        Ok(Self(Arc::new(Retained { device, raw })))
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> Device {
        self.0.device
    }

    /// The driver's handle, for libraries that are to work in this context. Valid while a clone lives.
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.raw.addr()
    }

    /// Free and total bytes of the device's memory, all processes counted.
    ///
    /// # Errors
    /// What the driver says.
    pub fn memory_info(&self) -> Result<(u64, u64), CudaError> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the context is current; writes two sizes.
        check("cuMemGetInfo_v2", unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) })?;
        Ok((free as u64, total as u64))
    }

    /// Waits until all work of this process in the context is done.
    ///
    /// # Errors
    /// A failed kernel shows here, and in every later call: the process must be restarted then.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.bind()?;
        // SAFETY: the context is current.
        check("cuCtxSynchronize", unsafe { sys::cuCtxSynchronize() })
    }

    /// Makes it this thread's current context. Stays so afterwards: the primary context is what the CUDA runtime uses too.
    pub(crate) fn bind(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained for as long as `self` lives.
        check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.0.raw) })
    }
}

/// Two of one device are the same.
impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.0.raw == other.0.raw
    }
}

impl Eq for Context {}

impl Drop for Retained {
    fn drop(&mut self) {
        // SAFETY: retained once by `primary`; all that was made in it keeps a clone and is gone.
        log_drop(check("cuDevicePrimaryCtxRelease_v2", unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device.raw) }));
    }
}
