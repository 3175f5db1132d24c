//! FFmpeg's `get_buffer2`: pictures are decoded straight into slots.
//!
//! ```text
//! get_buffer2 ── allocate ──► slot ──► table[address]      FFmpeg's AVBufferRef owns a hold of the slot
//! receive     ── take(address) ──► the node publishes it   FFmpeg may still read it as a reference picture
//! free callback (last reference gone) ──► slot leaves the table if it was never taken, then the hold is dropped
//! ```
#![allow(unsafe_code)]

use crate::MediaError;
use crate::slot::{AllocateError, FrameAllocator, Slot};
use ffmpeg_sys_next as sys;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Planes start at multiples of this, as FFmpeg's own buffers do at least.
const PLANE_ALIGN: usize = 64;
/// Bytes behind a plane that SIMD code may touch.
const PLANE_PADDING: usize = 128;

/// Strides and offsets of an I420 picture with the padding that a decoder asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub strides: [usize; 3],
    pub offsets: [usize; 3],
    pub bytes: usize,
}

impl Geometry {
    /// For luma of `width` x `height` (aligned already) with strides that are multiples of `align`.
    pub(crate) fn i420(width: usize, height: usize, align: usize) -> Self {
        let align = align.max(PLANE_ALIGN);
        let luma = width.next_multiple_of(align * 2);
        let strides = [luma, luma / 2, luma / 2];
        let rows = [height, height.div_ceil(2), height.div_ceil(2)];
        let mut offsets = [0; 3];
        let mut bytes = 0;
        for i in 0..3 {
            offsets[i] = bytes;
            bytes = (bytes + strides[i] * rows[i] + PLANE_PADDING).next_multiple_of(PLANE_ALIGN);
        }
        Self { strides, offsets, bytes }
    }

    /// For pictures of `width` x `height` from the decoder of `context`.
    ///
    /// # Safety
    /// `context` is a valid decoder context whose codec is set.
    pub(crate) unsafe fn of(context: *mut sys::AVCodecContext, width: u32, height: u32) -> Self {
        let (mut w, mut h) = (width.min(1 << 15) as c_int, height.min(1 << 15) as c_int);
        let mut aligns = [0 as c_int; sys::AV_NUM_DATA_POINTERS as usize];
        // SAFETY: the caller promises the context; the array has the length that FFmpeg writes.
        unsafe { sys::avcodec_align_dimensions2(context, &mut w, &mut h, aligns.as_mut_ptr()) };
        let align = aligns.iter().take(3).copied().max().unwrap_or(0).max(1) as usize;
        Self::i420(w.max(1) as usize, h.max(1) as usize, align.next_power_of_two())
    }
}

/// What the callbacks share with the decoder.
pub(crate) struct Buffers<A: FrameAllocator> {
    pub(crate) allocator: Arc<A>,
    /// Slots that FFmpeg writes or has finished and not given out, by address.
    table: Mutex<HashMap<usize, A::Slot>>,
    /// Pictures go to memory of FFmpeg's own, because they are changed before they are given out.
    own_memory: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an `AVBufferRef` owns.
struct Held<A: FrameAllocator> {
    buffers: Arc<Buffers<A>>,
    address: usize,
    hold: <A::Slot as Slot>::Hold,
}

impl<A: FrameAllocator> Buffers<A> {
    pub(crate) fn new(allocator: Arc<A>, own_memory: bool) -> Self {
        Self { allocator, table: Mutex::default(), own_memory: AtomicBool::new(own_memory) }
    }

    /// From here on pictures are changed before they are given out.
    pub(crate) fn use_own_memory(&self) {
        self.own_memory.store(true, Ordering::Relaxed);
    }

    /// The slot that a finished picture lies in, if it lies in one.
    ///
    /// # Safety
    /// `frame` is a valid frame.
    pub(crate) unsafe fn take(&self, frame: *const sys::AVFrame) -> Option<A::Slot> {
        // SAFETY: valid by the caller's promise; a buffer reference, where there is one, is valid too.
        let address = unsafe {
            let buffer = (*frame).buf[0];
            if buffer.is_null() { 0 } else { (*buffer).data as usize }
        };
        lock(&self.table).remove(&address)
    }

    /// Makes FFmpeg take its buffers from here.
    ///
    /// # Safety
    /// `context` is a valid, unopened decoder context, and `self` outlives it.
    pub(crate) unsafe fn install(self: &Arc<Self>, context: *mut sys::AVCodecContext) {
        // SAFETY: by the caller's promise; the callback reads `opaque` as this very type.
        unsafe {
            (*context).opaque = Arc::as_ptr(self).cast_mut().cast();
            (*context).get_buffer2 = Some(get_buffer::<A>);
        }
    }
}

/// # Safety
/// Called by FFmpeg with the context that [`Buffers::install`] prepared and a frame to be filled in.
unsafe extern "C" fn get_buffer<A: FrameAllocator>(context: *mut sys::AVCodecContext, frame: *mut sys::AVFrame, flags: c_int) -> c_int {
    // A panic may not cross into C; it becomes "out of memory".
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: `opaque` is the `Buffers` that the decoder keeps alive beyond its context, held in an `Arc`: one count is
        // added for this call's clone.
        let buffers = unsafe {
            let raw = (*context).opaque.cast_const().cast::<Buffers<A>>();
            Arc::increment_strong_count(raw);
            Arc::from_raw(raw)
        };
        // SAFETY: FFmpeg passes a valid context and frame.
        unsafe { fill(&buffers, context, frame) }
    }));
    match result {
        Ok(true) => 0,
        // SAFETY: FFmpeg's own allocator, with FFmpeg's own arguments.
        Ok(false) => unsafe { sys::avcodec_default_get_buffer2(context, frame, flags) },
        Err(_) => sys::AVERROR(sys::ENOMEM),
    }
}

/// Puts a slot under `frame`; false: use FFmpeg's own memory.
///
/// # Safety
/// `context` and `frame` come from FFmpeg's call of `get_buffer2`.
unsafe fn fill<A: FrameAllocator>(buffers: &Arc<Buffers<A>>, context: *mut sys::AVCodecContext, frame: *mut sys::AVFrame) -> bool {
    // SAFETY: valid by the caller's promise, and nobody else uses the frame during the call.
    let picture = unsafe { &mut *frame };
    // SAFETY: the codec of an open context is set, its capabilities are a plain field.
    let direct = unsafe { (*(*context).codec).capabilities } & sys::AV_CODEC_CAP_DR1 as c_int != 0;
    let (Ok(width), Ok(height)) = (u32::try_from(picture.width), u32::try_from(picture.height)) else { return false };
    if buffers.own_memory.load(Ordering::Relaxed) || !direct || !is_i420(picture.format) || width == 0 || height == 0 {
        return false;
    }
    // SAFETY: a valid context.
    let geometry = unsafe { Geometry::of(context, width, height) };
    // No slot now: FFmpeg's own memory keeps the decoder going, and `receive` asks again (and says why not) when it copies.
    let Ok(slot) = buffers.allocator.allocate(geometry.bytes) else { return false };
    let start = slot.as_mut_ptr();
    if slot.len() < geometry.bytes || !(start as usize).is_multiple_of(PLANE_ALIGN) {
        return false;
    }
    let held = Box::new(Held { buffers: buffers.clone(), address: start as usize, hold: slot.hold() });
    let held = Box::into_raw(held);
    // Read-only for FFmpeg's "write into the last picture again" paths: a picture that was given out may have readers.
    let flags = sys::AV_BUFFER_FLAG_READONLY as c_int;
    // SAFETY: `start` has `geometry.bytes` bytes (checked), kept valid by the hold in `held` until `release` runs.
    let buffer = unsafe { sys::av_buffer_create(start, geometry.bytes as _, Some(release::<A>), held.cast(), flags) };
    if buffer.is_null() {
        // SAFETY: made above by `Box::into_raw` and not taken over by FFmpeg.
        drop(unsafe { Box::from_raw(held) });
        return false;
    }
    picture.buf[0] = buffer;
    for i in 0..3 {
        // SAFETY: offsets lie inside the slot: `geometry.bytes` covers all planes.
        picture.data[i] = unsafe { start.add(geometry.offsets[i]) };
        picture.linesize[i] = geometry.strides[i] as c_int;
    }
    picture.extended_data = picture.data.as_mut_ptr();
    lock(&buffers.table).insert(start as usize, slot);
    true
}

/// # Safety
/// Called by FFmpeg once, with what [`fill`] gave to `av_buffer_create`.
unsafe extern "C" fn release<A: FrameAllocator>(opaque: *mut c_void, _data: *mut u8) {
    // A panic may not cross into C; dropping slots does not panic, this is the last line.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: made by `Box::into_raw` in `fill`; FFmpeg calls this once.
        let held = *unsafe { Box::from_raw(opaque.cast::<Held<A>>()) };
        // The order matters: while the hold lives the pool cannot give this address out again, so the entry is ours.
        let unused = lock(&held.buffers.table).remove(&held.address);
        drop(unused);
        drop(held.hold);
    }));
}

/// Whether a pixel format is 8-bit planar 4:2:0.
pub(crate) fn is_i420(format: c_int) -> bool {
    format == sys::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int || format == sys::AVPixelFormat::AV_PIX_FMT_YUVJ420P as c_int
}

impl AllocateError {
    pub(crate) fn into_media(self, width: u32, height: u32, needed: usize) -> MediaError {
        match self {
            Self::TooSmall { found } => MediaError::SlotTooSmall { width, height, needed, found },
            Self::Refused(why) => MediaError::NoSlot(why),
        }
    }
}
