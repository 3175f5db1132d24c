//! Kernels: compiled code loaded into a context, and launches of it.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUfunction, CUmodule};

use crate::driver::{check, log_drop};
use crate::{Context, CudaError, Stream};

/// Compiled code in a context.
#[derive(Debug)]
pub struct Module {
    context: Context,
    raw: CUmodule,
}

// SAFETY: a module is usable from every thread that makes its context current, which each call here does first.
unsafe impl Send for Module {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Module {}

/// One kernel of a [`Module`], which lives as long as it does.
#[derive(Debug, Clone)]
pub struct Function {
    module: Arc<Module>,
    raw: CUfunction,
}

// SAFETY: as `Module`: the driver's functions are usable from every thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// How many threads run a kernel: blocks, and threads of each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks along x, y, z.
    pub blocks: [u32; 3],
    /// Threads of a block along x, y, z.
    pub threads: [u32; 3],
    /// Bytes of shared memory that the kernel's launch decides.
    pub shared_bytes: u32,
}

impl Module {
    /// Loads `image`: a CUBIN for this very device, or PTX, which the driver compiles first.
    ///
    /// # Errors
    /// What the driver says; code 209 for a CUBIN of another architecture, 218 and 222 for PTX that it does not take.
    pub fn load(context: &Context, image: &[u8]) -> Result<Self, CudaError> {
        context.bind()?;
        // PTX is a text that ends with 0; a CUBIN says its own length.
        let mut ended = image.to_vec();
        ended.push(0);
        let mut raw = ptr::null_mut();
        // SAFETY: the context is current; the image is in memory for the call and ends with 0; writes one pointer; unloaded once, by `Drop`.
        check("cuModuleLoadData", unsafe { sys::cuModuleLoadData(&mut raw, ended.as_ptr().cast()) })?;
        Ok(Self { context: context.clone(), raw })
    }

    /// The kernel `name`.
    ///
    /// # Errors
    /// What the driver says; code 500 if there is none of this name.
    pub fn function(self: &Arc<Self>, name: &CStr) -> Result<Function, CudaError> {
        self.context.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the module is loaded; `name` ends with 0; writes one pointer, which lives as long as the module.
        check("cuModuleGetFunction", unsafe { sys::cuModuleGetFunction(&mut raw, self.raw, name.as_ptr()) })?;
        Ok(Function { module: Arc::clone(self), raw })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // No kernel of it may run any more.
        log_drop(self.context.synchronize());
        // SAFETY: loaded by `load`, unloaded once; each `Function` holds the module, so none is left.
        log_drop(check("cuModuleUnload", unsafe { sys::cuModuleUnload(self.raw) }));
    }
}

impl Stream {
    /// Runs `function`, which takes one argument by value, in order with the stream; returns before it is done.
    ///
    /// # Safety
    /// `argument` is what the kernel takes: the same size and layout. The kernel reads and writes only memory of this device that lives until
    /// the stream's work is done.
    ///
    /// # Errors
    /// [`CudaError::OtherDevice`], or what the driver says about the grid.
    pub unsafe fn launch(&self, function: &Function, grid: &Grid, argument: &[u64]) -> Result<(), CudaError> {
        self.same_context("cuLaunchKernel", &function.module.context)?;
        let ([bx, by, bz], [tx, ty, tz]) = (grid.blocks, grid.threads);
        // The driver copies the argument during the call.
        let mut arguments = [argument.as_ptr().cast_mut().cast::<c_void>()];
        let at = arguments.as_mut_ptr();
        // SAFETY: stream and function live and belong to the context that is current; one argument, as the caller promises.
        let done = unsafe { sys::cuLaunchKernel(function.raw, bx, by, bz, tx, ty, tz, grid.shared_bytes, self.raw(), at, ptr::null_mut()) };
        check("cuLaunchKernel", done)
    }
}
