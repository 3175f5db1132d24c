//! The few raw calls that several modules share.
#![allow(unsafe_code)]

use crate::MediaError;
use ffmpeg_sys_next as sys;
use std::ffi::{CStr, CString, c_char};
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
