//! Which FFmpeg this program runs with.

#![allow(unsafe_code)]

use ffmpeg_sys_next as sys;

/// FFmpeg's version and that of its codec library, as loaded now: `5.1.9-0+deb12u1 (libavcodec 59.37.100)`.
#[must_use]
pub fn versions() -> String {
    // SAFETY: both calls take nothing; the text is static and ends with NUL.
    let (name, codec) = unsafe { (std::ffi::CStr::from_ptr(sys::av_version_info()), sys::avcodec_version()) };
    format!("{} (libavcodec {}.{}.{})", name.to_string_lossy(), codec >> 16, codec >> 8 & 0xff, codec & 0xff)
}
