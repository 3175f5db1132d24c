//! What FFmpeg calls beside Gantry: the stack of contexts and copies of rows; and the functions that it looks up at start and never calls here.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_uint};

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUcontext, CUdevice, CUdeviceptr, CUmemorytype, CUresult, CUstream};

use crate::memory::touch;
use crate::streams::stream;
use crate::{CUDA_ERROR_INVALID_CONTEXT, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_SUPPORTED, CURRENT, answer};

thread_local! {
    static PUSHED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: CUcontext) -> CUresult {
    PUSHED.with_borrow_mut(|pushed| pushed.push(CURRENT.replace(context.addr())));
    answer(Ok(()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPopCurrent_v2(context: *mut CUcontext) -> CUresult {
    let Some(before) = PUSHED.with_borrow_mut(Vec::pop) else { return answer(Err(CUDA_ERROR_INVALID_CONTEXT)) };
    let popped = CURRENT.replace(before);
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *context = std::ptr::without_provenance_mut(popped) };
    answer(Ok(()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetDevice(device: *mut CUdevice) -> CUresult {
    // SAFETY: as above.
    answer(crate::current().map(|card| unsafe { *device = card as CUdevice }))
}

/// The rows of one place of the device, given to another in order with the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpy2DAsync_v2(copy: *const CUDA_MEMCPY2D, raw: CUstream) -> CUresult {
    // SAFETY: the caller gives a description that can be read during the call.
    let copy = unsafe { *copy };
    let on_device = |kind: CUmemorytype| kind == CUmemorytype::CU_MEMORYTYPE_DEVICE;
    let plain = copy.srcXInBytes == 0 && copy.dstXInBytes == 0 && copy.srcY == 0 && copy.dstY == 0;
    if !on_device(copy.srcMemoryType) || !on_device(copy.dstMemoryType) || !plain {
        return answer(Err(CUDA_ERROR_NOT_SUPPORTED));
    }
    let (row, rows) = (copy.WidthInBytes, copy.Height);
    if copy.srcPitch < row || copy.dstPitch < row {
        return answer(Err(CUDA_ERROR_INVALID_VALUE));
    }
    let (from, to, from_pitch, to_pitch) = (copy.srcDevice, copy.dstDevice, copy.srcPitch, copy.dstPitch);
    let work = move || (0..rows as u64).try_for_each(|y| copy_row(from + y * from_pitch as u64, to + y * to_pitch as u64, row));
    answer(stream(raw).map(|stream| stream.give(Box::new(work))))
}

fn copy_row(from: CUdeviceptr, to: CUdeviceptr, len: usize) -> Result<(), CUresult> {
    let mut bytes = vec![0u8; len];
    // SAFETY: `touch` gives `len` bytes that stay mapped during the call; `bytes` has as many.
    touch(from, len, false, |at| unsafe { at.copy_to_nonoverlapping(bytes.as_mut_ptr(), len) })?;
    // SAFETY: as above, and they are mapped writable.
    touch(to, len, true, |at| unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), len) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(_error: CUresult, text: *mut *const c_char) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *text = c"see the name".as_ptr() };
    CUresult::CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, _device: CUdevice) -> CUresult {
    // SAFETY: as above.
    unsafe { (*major, *minor) = (9, 0) };
    CUresult::CUDA_SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxGetState(_device: CUdevice, flags: *mut c_uint, active: *mut c_int) -> CUresult {
    // SAFETY: as above.
    unsafe { (*flags, *active) = (0, 1) };
    CUresult::CUDA_SUCCESS
}

/// Functions that are refused, whatever they are called with: C callers clean up their own arguments.
macro_rules! refused {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)] pub extern "C" fn $name() -> CUresult { answer(Err(CUDA_ERROR_NOT_SUPPORTED)) })*
    };
}

refused! {
    cuCtxCreate_v2 cuCtxSetLimit cuCtxDestroy_v2 cuMemAllocPitch_v2 cuMemAllocManaged cuMemcpy cuMemcpyAsync cuMemcpy2D_v2 cuMemcpyHtoD_v2
    cuMemcpyDtoH_v2 cuMemcpyDtoD_v2 cuDevicePrimaryCtxRelease cuDevicePrimaryCtxSetFlags cuDevicePrimaryCtxReset cuStreamQuery cuStreamAddCallback
    cuEventSynchronize cuEventQuery cuLinkCreate cuLinkAddData cuLinkComplete cuLinkDestroy cuModuleGetGlobal cuTexObjectCreate cuTexObjectDestroy
    cuGLGetDevices_v2 cuGraphicsGLRegisterImage cuGraphicsUnregisterResource cuGraphicsMapResources cuGraphicsUnmapResources
    cuGraphicsSubResourceGetMappedArray cuGraphicsResourceGetMappedPointer_v2 cuArray3DCreate_v2 cuArrayDestroy
    cuvidGetDecodeStatus cuvidReconfigureDecoder cuvidCtxLockCreate cuvidCtxLockDestroy cuvidCtxLock cuvidCtxUnlock cuvidCreateVideoSource
    cuvidCreateVideoSourceW cuvidDestroyVideoSource cuvidSetVideoSourceState cuvidGetVideoSourceState cuvidGetSourceVideoFormat
    cuvidGetSourceAudioFormat cuvidCreateVideoParser cuvidParseVideoData cuvidDestroyVideoParser
}
