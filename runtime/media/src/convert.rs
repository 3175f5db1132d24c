//! Any pixel format of FFmpeg to I420 and I420 to RGB, through libswscale. Every call is a copy of the picture.
#![allow(unsafe_code)]

use crate::MediaError;
use ffmpeg_sys_next as sys;
use gantry_frames::{Colour, Matrix, Range};
use std::ffi::c_int;
use std::ptr::{NonNull, null, null_mut};

/// What a scaler was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    from: c_int,
    to: c_int,
    width: u32,
    height: u32,
    from_colour: Colour,
    to_colour: Colour,
}

/// Converts pictures of one size and format, and is made anew when these change.
#[derive(Debug, Default)]
pub(crate) struct Converter {
    made: Option<(Key, Context)>,
}

#[derive(Debug)]
struct Context(NonNull<sys::SwsContext>);

// SAFETY: an SwsContext has no thread affinity and one owner.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `sws_getContext`, freed once.
        unsafe { sys::sws_freeContext(self.0.as_ptr()) }
    }
}

/// Source or target of a conversion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    /// `AVPixelFormat`.
    pub format: c_int,
    pub colour: Colour,
    pub data: [*mut u8; 4],
    pub strides: [c_int; 4],
}

impl Converter {
    /// Converts one picture of `width` x `height`.
    ///
    /// # Safety
    /// Both sides point to planes of that size and format, `to` is writable and its strides are multiples of 16 or leave
    /// room for what SIMD code writes behind a row.
    pub(crate) unsafe fn convert(&mut self, from: &Side, to: &Side, width: u32, height: u32) -> Result<(), MediaError> {
        let key = Key { from: from.format, to: to.format, width, height, from_colour: from.colour, to_colour: to.colour };
        let context = match &self.made {
            Some((made, context)) if *made == key => context.0.as_ptr(),
            _ => {
                let context = make(&key)?;
                let raw = context.0.as_ptr();
                self.made = Some((key, context));
                raw
            }
        };
        // SAFETY: the context fits the formats and sizes, the planes are valid by the caller's promise.
        let rows = unsafe {
            let (data, strides) = (from.data.as_ptr().cast(), from.strides.as_ptr());
            sys::sws_scale(context, data, strides, 0, height as c_int, to.data.as_ptr(), to.strides.as_ptr())
        };
        if rows == height as c_int {
            Ok(())
        } else {
            Err(MediaError::Ffmpeg { what: "converting pixels", why: format!("{rows} of {height} rows") })
        }
    }
}

fn make(key: &Key) -> Result<Context, MediaError> {
    let (width, height) = (key.width as c_int, key.height as c_int);
    // Exact arithmetic: the same picture on every CPU, and so the same readings.
    let flags = sys::SWS_BILINEAR | sys::SWS_ACCURATE_RND | sys::SWS_BITEXACT;
    let fail = || MediaError::Ffmpeg { what: "converting pixels", why: format!("format {} cannot be converted", name(key.from)) };
    let (from, to) = (pixel_format(key.from).ok_or_else(fail)?, pixel_format(key.to).ok_or_else(fail)?);
    // SAFETY: plain constructor; null filters and parameters mean "default".
    let context = unsafe { sys::sws_getContext(width, height, from, width, height, to, flags, null_mut(), null_mut(), null()) };
    let context = Context(NonNull::new(context).ok_or_else(fail)?);
    let full = |c: Colour| c_int::from(c.range == Range::Full);
    // SAFETY: the context is valid, the tables are static arrays of FFmpeg. A format without colour (grey) ignores them.
    unsafe {
        let table = |c: Colour| sys::sws_getCoefficients(coefficients(c.matrix));
        let one = 1 << 16;
        sys::sws_setColorspaceDetails(
            context.0.as_ptr(),
            table(key.from_colour),
            full(key.from_colour),
            table(key.to_colour),
            full(key.to_colour),
            0,
            one,
            one,
        );
    }
    Ok(context)
}

fn coefficients(matrix: Matrix) -> c_int {
    (match matrix {
        Matrix::Bt709 => sys::SWS_CS_ITU709,
        Matrix::Bt2020 => sys::SWS_CS_BT2020,
        Matrix::Bt601 | Matrix::Rgb => sys::SWS_CS_ITU601,
    }) as c_int
}

/// Whether `format` is a pixel format in ordinary memory that libswscale reads.
pub(crate) fn pixel_format(format: c_int) -> Option<sys::AVPixelFormat> {
    if format < 0 || format >= sys::AVPixelFormat::AV_PIX_FMT_NB as c_int {
        return None;
    }
    // SAFETY: the enum is a plain C enum without holes up to `AV_PIX_FMT_NB`, generated from the headers of this FFmpeg.
    let format = unsafe { std::mem::transmute::<c_int, sys::AVPixelFormat>(format) };
    // SAFETY: a pure query.
    (unsafe { sys::sws_isSupportedInput(format) } > 0).then_some(format)
}

/// FFmpeg's name of a pixel format (`yuv422p10le`).
pub(crate) fn name(format: c_int) -> String {
    match pixel_format(format) {
        // SAFETY: names are static texts.
        Some(format) => unsafe { crate::ffi::static_text(sys::av_get_pix_fmt_name(format)) },
        None => format!("number {format}"),
    }
}

/// Whether a format has red, green and blue samples.
pub(crate) fn is_rgb(format: c_int) -> bool {
    let Some(format) = pixel_format(format) else { return false };
    // SAFETY: descriptors are static; null for unknown formats is checked.
    unsafe {
        let descriptor = sys::av_pix_fmt_desc_get(format);
        !descriptor.is_null() && (*descriptor).flags & u64::from(sys::AV_PIX_FMT_FLAG_RGB as u32) != 0
    }
}
