//! The few raw calls that several modules share.
#![allow(unsafe_code)]

use crate::{MediaError, VideoPacket};
use ffmpeg_sys_next as sys;
use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::Once;

/// Nanoseconds as an FFmpeg time base.
pub(crate) const NS: sys::AVRational = sys::AVRational { num: 1, den: 1_000_000_000 };

/// FFmpeg's words for an error code.
pub(crate) fn describe(code: i32) -> String {
    let mut text = [0 as c_char; sys::AV_ERROR_MAX_STRING_SIZE];
    // SAFETY: the buffer is as long as said and FFmpeg ends the text with a zero byte in any case.
    let words = unsafe {
        sys::av_strerror(code, text.as_mut_ptr(), text.len());
        CStr::from_ptr(text.as_ptr())
    };
    words.to_string_lossy().to_lowercase()
}

/// Turns a negative return code into an error.
pub(crate) fn check(what: &'static str, code: i32) -> Result<i32, MediaError> {
    if code < 0 { Err(MediaError::ffmpeg(what, code)) } else { Ok(code) }
}

/// A text for C.
pub(crate) fn c_text(name: &str, text: &str) -> Result<CString, MediaError> {
    CString::new(text).map_err(|_| MediaError::ZeroByte { name: name.to_owned() })
}

/// A static C text, empty for null.
///
/// # Safety
/// `text` is null or points to zero-terminated text that lives for the whole program.
pub(crate) unsafe fn static_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null; the caller promises the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Silences FFmpeg's own output to stderr (it prints addresses with passwords); errors come back as values.
pub(crate) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: plain setter of a global.
        unsafe { sys::av_log_set_level(sys::AV_LOG_QUIET) };
    });
}

/// `value` in units of `from` as ns, `None` for "no value".
pub(crate) fn to_ns(value: i64, from: sys::AVRational) -> Option<i64> {
    if value == sys::AV_NOPTS_VALUE || from.den == 0 {
        return None;
    }
    // SAFETY: pure arithmetic; the denominators are not 0.
    Some(unsafe { sys::av_rescale_q(value, from, NS) })
}

/// A rational number as f64, 0 where it has no value.
pub(crate) fn ratio(r: sys::AVRational) -> f64 {
    if r.den == 0 { 0.0 } else { f64::from(r.num) / f64::from(r.den) }
}

macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $raw:ty, $free:path) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(std::ptr::NonNull<$raw>);

        impl $name {
            /// Takes ownership of what an FFmpeg allocator returned.
            pub(crate) fn new(raw: *mut $raw, what: &'static str) -> Result<Self, MediaError> {
                std::ptr::NonNull::new(raw).map(Self).ok_or(MediaError::Ffmpeg { what, why: "out of memory".into() })
            }

            /// The raw pointer, valid while `self` lives.
            pub(crate) fn ptr(&self) -> *mut $raw {
                self.0.as_ptr()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                let mut raw = self.0.as_ptr();
                // SAFETY: `raw` came from the matching allocator, is owned by `self` alone and is not used after this.
                unsafe { $free(&mut raw) };
            }
        }

        // SAFETY: FFmpeg's objects have no thread affinity; `self` is the only owner and gives access through `&mut` calls.
        unsafe impl Send for $name {}
    };
}

owned!(
    /// An `AVPacket`.
    Packet, sys::AVPacket, sys::av_packet_free
);
owned!(
    /// An `AVFrame`.
    Frame, sys::AVFrame, sys::av_frame_free
);
owned!(
    /// An `AVCodecContext`.
    CodecContext, sys::AVCodecContext, sys::avcodec_free_context
);

impl Packet {
    pub(crate) fn empty() -> Result<Self, MediaError> {
        // SAFETY: plain allocator.
        Self::new(unsafe { sys::av_packet_alloc() }, "allocating a packet")
    }
}

impl Frame {
    pub(crate) fn empty() -> Result<Self, MediaError> {
        // SAFETY: plain allocator.
        Self::new(unsafe { sys::av_frame_alloc() }, "allocating a frame")
    }
}

/// Gives a decoder the codec's configuration.
///
/// # Safety
/// `context` is a valid decoder context that is not open and has no extradata.
///
/// # Errors
/// No memory.
pub(crate) unsafe fn set_extradata(context: *mut sys::AVCodecContext, extradata: &[u8]) -> Result<(), MediaError> {
    if extradata.is_empty() {
        return Ok(());
    }
    // SAFETY: the buffer has the padding that FFmpeg asks for and is owned by the context from here on.
    unsafe {
        let bytes = sys::av_mallocz(extradata.len() + sys::AV_INPUT_BUFFER_PADDING_SIZE as usize).cast::<u8>();
        if bytes.is_null() {
            return Err(MediaError::Ffmpeg { what: "opening the decoder", why: "out of memory".into() });
        }
        std::ptr::copy_nonoverlapping(extradata.as_ptr(), bytes, extradata.len());
        (*context).extradata = bytes;
        (*context).extradata_size = extradata.len() as c_int;
    }
    Ok(())
}

/// Copies a packet into FFmpeg's, which is blank.
///
/// # Errors
/// No memory, or more than 2 GB.
pub(crate) fn fill_packet(to: &Packet, packet: &VideoPacket) -> Result<(), MediaError> {
    let raw = to.ptr();
    let size = c_int::try_from(packet.data.len()).map_err(|_| MediaError::Ffmpeg { what: "decoding", why: "packet above 2 GB".into() })?;
    let time = |t: Option<i64>| t.unwrap_or(sys::AV_NOPTS_VALUE);
    let flag = |on: bool, bit: c_int| if on { bit } else { 0 };
    // SAFETY: the packet is valid; `av_new_packet` makes room for `size` bytes and zeroed padding.
    unsafe {
        check("decoding", sys::av_new_packet(raw, size))?;
        std::ptr::copy_nonoverlapping(packet.data.as_ptr(), (*raw).data, packet.data.len());
        (*raw).pts = time(packet.pts_ns);
        (*raw).dts = time(packet.dts_ns);
        (*raw).flags = flag(packet.keyframe, sys::AV_PKT_FLAG_KEY as c_int)
            | flag(packet.corrupt, sys::AV_PKT_FLAG_CORRUPT as c_int)
            | flag(packet.discard, sys::AV_PKT_FLAG_DISCARD as c_int);
    }
    Ok(())
}
