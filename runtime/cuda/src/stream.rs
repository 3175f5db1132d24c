//! Streams: work of the device in order; and events, also between processes.
#![allow(unsafe_code)]

use std::ptr;

use cudarc::driver::sys::{self, CUDA_MEMCPY2D, CUevent, CUevent_flags, CUipcEventHandle, CUmemorytype, CUstream, CUstream_flags};
use gantry_copies::{Way, note};

use crate::driver::{check, log_drop};
use crate::memory::IPC_HANDLE_BYTES;
use crate::{Context, CudaError, DeviceSlice, DeviceSliceMut};

/// Rows that lie at equal distances in two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Address of the first one.
    pub from: u64,
    /// Bytes from row to row there.
    pub from_stride: usize,
    /// Where the first one goes, in bytes from the start of the target.
    pub to_offset: usize,
    /// Bytes from row to row in the target.
    pub to_stride: usize,
    /// Bytes of a row.
    pub row_bytes: usize,
    /// How many.
    pub rows: usize,
}

impl Rows {
    /// Bytes of the target up to the end of the last row.
    fn end(&self) -> Option<usize> {
        let last = self.rows.checked_sub(1)?.checked_mul(self.to_stride)?;
        self.to_offset.checked_add(last)?.checked_add(self.row_bytes)
    }
}

/// Work that the device does in order, beside other streams.
#[derive(Debug)]
pub struct Stream {
    context: Context,
    raw: CUstream,
}

// SAFETY: a stream is usable from every thread that makes its context current, which each call here does first.
unsafe impl Send for Stream {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Stream {}

impl Stream {
    /// A stream that does not wait for the default stream.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(context: &Context) -> Result<Self, CudaError> {
        context.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the context is current; writes one pointer; destroyed once, by `Drop`.
        check("cuStreamCreate", unsafe { sys::cuStreamCreate(&mut raw, CUstream_flags::CU_STREAM_NON_BLOCKING as u32) })?;
        Ok(Self { context: context.clone(), raw })
    }

    /// Its context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Waits until all work given so far is done.
    ///
    /// # Errors
    /// A failed kernel shows here, and in every later call: the process must be restarted then.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.context.bind()?;
        // SAFETY: the stream lives as long as `self`.
        check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.raw) })
    }

    /// Fills with `value`; returns before it is done.
    ///
    /// # Errors
    /// [`CudaError::OtherDevice`], or what the driver says.
    pub fn fill(&self, to: &mut DeviceSliceMut<'_>, value: u8) -> Result<(), CudaError> {
        self.bind_for("cuMemsetD8Async", &to.as_slice())?;
        // SAFETY: a range inside a mapping that this process may write; `DeviceMemory` waits for the work before it unmaps.
        check("cuMemsetD8Async", unsafe { sys::cuMemsetD8Async(to.address(), value, to.len(), self.raw) })
    }

    /// Copies from the host, in order with the stream, and waits for it.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] if the lengths differ, [`CudaError::OtherDevice`], or what the driver says.
    pub fn upload(&self, from: &[u8], to: &mut DeviceSliceMut<'_>) -> Result<(), CudaError> {
        same_length("cuMemcpyHtoDAsync_v2", from.len(), to.len())?;
        self.bind_for("cuMemcpyHtoDAsync_v2", &to.as_slice())?;
        note(Way::ToCard, from.len());
        // SAFETY: both ranges have `from.len()` bytes; the source is borrowed until the copy is done, as the next line waits for it.
        check("cuMemcpyHtoDAsync_v2", unsafe { sys::cuMemcpyHtoDAsync_v2(to.address(), from.as_ptr().cast(), from.len(), self.raw) })?;
        self.synchronize()
    }

    /// Copies to the host, in order with the stream, and waits for it.
    ///
    /// # Errors
    /// As [`Stream::upload`].
    pub fn download(&self, from: &DeviceSlice<'_>, to: &mut [u8]) -> Result<(), CudaError> {
        same_length("cuMemcpyDtoHAsync_v2", from.len(), to.len())?;
        self.bind_for("cuMemcpyDtoHAsync_v2", from)?;
        note(Way::FromCard, to.len());
        // SAFETY: both ranges have `to.len()` bytes; the target is borrowed until the copy is done, as the next line waits for it.
        check("cuMemcpyDtoHAsync_v2", unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from.address(), to.len(), self.raw) })?;
        self.synchronize()
    }

    /// [`Stream::download`] from memory that another library allocated in this context.
    ///
    /// # Safety
    /// `address` is the start of at least `to.len()` bytes of this device that live until this returns.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn download_from(&self, address: u64, to: &mut [u8]) -> Result<(), CudaError> {
        self.context.bind()?;
        note(Way::FromCard, to.len());
        // SAFETY: the source by the caller's promise; the target is borrowed until the copy is done, as the next line waits for it.
        check("cuMemcpyDtoHAsync_v2", unsafe { sys::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), address, to.len(), self.raw) })?;
        self.synchronize()
    }

    /// Copies the planes of a picture that another library wrote in this context, which counts as one copy; returns before it is done.
    ///
    /// # Safety
    /// The source rows of each plane are memory of this device that lives until the stream's work is done.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] if rows do not fit `to`, [`CudaError::OtherDevice`], or what the driver says.
    pub unsafe fn copy_planes_from(&self, planes: &[Rows], to: &mut DeviceSliceMut<'_>) -> Result<(), CudaError> {
        for plane in planes {
            let end = plane.end();
            if plane.to_stride < plane.row_bytes || end.is_none_or(|end| end > to.len()) {
                let asked = end.unwrap_or(usize::MAX);
                return Err(CudaError::Bounds { operation: "cuMemcpy2DAsync_v2", asked, available: to.len() });
            }
        }
        self.bind_for("cuMemcpy2DAsync_v2", &to.as_slice())?;
        note(Way::OnCard, planes.iter().map(|plane| plane.row_bytes.saturating_mul(plane.rows)).sum());
        for plane in planes {
            let copy = CUDA_MEMCPY2D {
                srcXInBytes: 0,
                srcY: 0,
                srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
                srcHost: ptr::null(),
                srcDevice: plane.from,
                srcArray: ptr::null_mut(),
                srcPitch: plane.from_stride,
                dstXInBytes: 0,
                dstY: 0,
                dstMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
                dstHost: ptr::null_mut(),
                dstDevice: to.address() + plane.to_offset as u64,
                dstArray: ptr::null_mut(),
                dstPitch: plane.to_stride,
                WidthInBytes: plane.row_bytes,
                Height: plane.rows,
            };
            // SAFETY: the target rows lie in `to` (checked above), the source rows by the caller's promise; the description is read during the call.
            check("cuMemcpy2DAsync_v2", unsafe { sys::cuMemcpy2DAsync_v2(&copy, self.raw) })?;
        }
        Ok(())
    }

    /// Copies from one place of the device to another; returns before it is done.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] if the lengths differ, [`CudaError::OtherDevice`], or what the driver says.
    pub fn copy(&self, from: &DeviceSlice<'_>, to: &mut DeviceSliceMut<'_>) -> Result<(), CudaError> {
        same_length("cuMemcpyDtoDAsync_v2", from.len(), to.len())?;
        self.bind_for("cuMemcpyDtoDAsync_v2", from)?;
        self.bind_for("cuMemcpyDtoDAsync_v2", &to.as_slice())?;
        note(Way::OnCard, to.len());
        // SAFETY: both ranges have `to.len()` bytes of mappings of this context; `DeviceMemory` waits for the work before it unmaps.
        check("cuMemcpyDtoDAsync_v2", unsafe { sys::cuMemcpyDtoDAsync_v2(to.address(), from.address(), to.len(), self.raw) })
    }

    /// The driver's handle, for libraries that are to work on this stream. Valid while the stream lives.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.addr()
    }

    /// Marks the end of all work given so far. The event may have been recorded before.
    ///
    /// # Errors
    /// [`CudaError::OtherDevice`], or what the driver says.
    pub fn record(&self, event: &Event) -> Result<(), CudaError> {
        self.same_context("cuEventRecord", &event.context)?;
        // SAFETY: event and stream live and belong to the context that is current.
        check("cuEventRecord", unsafe { sys::cuEventRecord(event.raw, self.raw) })
    }

    /// Later work of this stream waits, on the device, for the last record of `event`. Returns at once.
    ///
    /// # Errors
    /// [`CudaError::OtherDevice`], or what the driver says.
    pub fn wait(&self, event: &Event) -> Result<(), CudaError> {
        self.same_context("cuStreamWaitEvent", &event.context)?;
        // SAFETY: event and stream live; flags 0 is the default.
        check("cuStreamWaitEvent", unsafe { sys::cuStreamWaitEvent(self.raw, event.raw, 0) })
    }

    /// Makes the stream's context current for work on `slice`, for libraries that are given the slice's address.
    ///
    /// # Errors
    /// [`CudaError::OtherDevice`], or what the driver says.
    pub fn bind_for(&self, operation: &'static str, slice: &DeviceSlice<'_>) -> Result<(), CudaError> {
        self.same_context(operation, slice.context())
    }

    pub(crate) fn raw(&self) -> CUstream {
        self.raw
    }

    pub(crate) fn same_context(&self, operation: &'static str, context: &Context) -> Result<(), CudaError> {
        if self.context != *context {
            return Err(CudaError::OtherDevice { operation });
        }
        self.context.bind()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        log_drop(self.context.bind());
        // SAFETY: made by `new`, destroyed once; the driver finishes its work first and frees it then.
        log_drop(check("cuStreamDestroy_v2", unsafe { sys::cuStreamDestroy_v2(self.raw) }));
    }
}

/// A point in a stream's work that another process can wait for.
#[derive(Debug)]
pub struct Event {
    context: Context,
    raw: CUevent,
}

// SAFETY: an event is usable from every thread that makes its context current, which each call here does first.
unsafe impl Send for Event {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Event {}

impl Event {
    /// An event that other processes can open; nothing waits for it before it is recorded.
    ///
    /// # Errors
    /// What the driver says.
    pub fn interprocess(context: &Context) -> Result<Self, CudaError> {
        context.bind()?;
        let flags = CUevent_flags::CU_EVENT_INTERPROCESS as u32 | CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        let mut raw = ptr::null_mut();
        // SAFETY: the context is current; the driver demands both flags together; writes one pointer; destroyed once, by `Drop`.
        check("cuEventCreate", unsafe { sys::cuEventCreate(&mut raw, flags) })?;
        Ok(Self { context: context.clone(), raw })
    }

    /// The 64 bytes that [`Event::open`] takes in another process.
    ///
    /// # Errors
    /// What the driver says; also for an event that was itself opened.
    pub fn ipc_handle(&self) -> Result<[u8; IPC_HANDLE_BYTES], CudaError> {
        self.context.bind()?;
        let mut handle = CUipcEventHandle { reserved: [0; IPC_HANDLE_BYTES] };
        // SAFETY: the event lives as long as `self`; writes 64 bytes.
        check("cuIpcGetEventHandle", unsafe { sys::cuIpcGetEventHandle(&mut handle, self.raw) })?;
        Ok(handle.reserved.map(|byte| byte as u8))
    }

    /// Opens an event of another process. Not for the exporting process itself, which has the event already.
    ///
    /// # Errors
    /// What the driver says.
    pub fn open(context: &Context, handle: [u8; IPC_HANDLE_BYTES]) -> Result<Self, CudaError> {
        context.bind()?;
        let handle = CUipcEventHandle { reserved: handle.map(|byte| byte as _) };
        let mut raw = ptr::null_mut();
        // SAFETY: the context is current; the driver checks the 64 bytes; writes one pointer; destroyed once, by `Drop`.
        check("cuIpcOpenEventHandle", unsafe { sys::cuIpcOpenEventHandle(&mut raw, handle) })?;
        Ok(Self { context: context.clone(), raw })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        log_drop(self.context.bind());
        // SAFETY: made by `interprocess` or `open`, destroyed once; the driver keeps it until its last wait is over.
        log_drop(check("cuEventDestroy_v2", unsafe { sys::cuEventDestroy_v2(self.raw) }));
    }
}

fn same_length(operation: &'static str, asked: usize, available: usize) -> Result<(), CudaError> {
    if asked == available { Ok(()) } else { Err(CudaError::Bounds { operation, asked, available }) }
}
