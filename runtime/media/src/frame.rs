//! Planes, layout and colour of FFmpeg's frames.
#![allow(unsafe_code)]

use crate::MediaError;
use crate::convert::{self, Converter, Side};
use crate::picture::{PlaneMut, PlaneRef};
use ffmpeg_sys_next as sys;
use gantry_frames::{Colour, ImageLayout, Layout, Matrix, PixelFormat, Plane, Range};
use std::ffi::c_int;

/// The layout of a picture that was decoded into a slot at `start`.
pub(crate) fn direct_layout(frame: &sys::AVFrame, start: usize, width: u32, height: u32, colour: Colour) -> Result<Layout, MediaError> {
    let mut planes = [Plane::default(); 3];
    for (i, plane) in planes.iter_mut().enumerate() {
        let (_, rows) = PixelFormat::I420.plane_size(i, width, height);
        // FFmpeg moves `data` forward where the stream crops at the left or top.
        let offset = (frame.data[i] as usize).wrapping_sub(start) as u64;
        *plane = Plane { offset, stride: u32::try_from(frame.linesize[i]).unwrap_or(0), rows };
    }
    Layout::image(PixelFormat::I420, width, height, &planes, colour)
        .map_err(|e| MediaError::Ffmpeg { what: "decoding", why: e.to_string() })
}

/// The three planes of a frame of 8-bit 4:2:0.
pub(crate) fn planes_of(frame: &sys::AVFrame, width: u32, height: u32) -> [PlaneRef<'_>; 3] {
    [0, 1, 2].map(|i| {
        let (w, h) = PixelFormat::I420.plane_size(i, width, height);
        let (w, h, stride) = (w as usize, h as usize, frame.linesize[i]);
        if frame.data[i].is_null() || stride < w as c_int {
            return PlaneRef { bytes: &[], stride: 0, width: 0, height: 0 };
        }
        // SAFETY: FFmpeg's picture has `h` rows of `stride` bytes in each plane, the last one with `w` at least.
        let bytes = unsafe { std::slice::from_raw_parts(frame.data[i], stride as usize * (h - 1) + w) };
        PlaneRef { bytes, stride: stride as usize, width: w, height: h }
    })
}

/// Cuts a slot into the planes of a packed layout.
pub(crate) fn split<'a>(bytes: &'a mut [u8], image: &ImageLayout) -> [PlaneMut<'a>; 3] {
    let mut rest = bytes;
    let mut at = 0usize;
    let mut next = |i: usize| {
        let plane: Plane = image.planes()[i];
        let (width, height) = PixelFormat::I420.plane_size(i, image.width, image.height);
        let skip = plane.offset as usize - at;
        let len = plane.stride as usize * plane.rows as usize;
        let (_, tail) = std::mem::take(&mut rest).split_at_mut(skip);
        let (bytes, tail) = tail.split_at_mut(len);
        rest = tail;
        at = plane.offset as usize + len;
        PlaneMut { bytes, stride: plane.stride as usize, width: width as usize, height: height as usize }
    };
    [next(0), next(1), next(2)]
}

pub(crate) fn convert_into(
    converter: &mut Converter,
    frame: &sys::AVFrame,
    from_colour: Colour,
    to_colour: Colour,
    to: &mut [PlaneMut<'_>; 3],
    width: u32,
    height: u32,
) -> Result<(), MediaError> {
    let mut source = Side { format: frame.format, colour: from_colour, data: [std::ptr::null_mut(); 4], strides: [0; 4] };
    source.data.copy_from_slice(&frame.data[..4]);
    source.strides.copy_from_slice(&frame.linesize[..4]);
    let mut target = Side {
        format: sys::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int,
        colour: to_colour,
        data: [std::ptr::null_mut(); 4],
        strides: [0; 4],
    };
    for (i, plane) in to.iter_mut().enumerate() {
        target.data[i] = plane.bytes.as_mut_ptr();
        target.strides[i] = plane.stride as c_int;
    }
    // SAFETY: the frame's planes are FFmpeg's own, the target's are packed with strides that are multiples of 64.
    unsafe { converter.convert(&source, &target, width, height) }
}

/// Colour of a frame; what the stream does not say follows from the size (SD: BT.601, HD: BT.709).
pub(crate) fn colour_of(frame: &sys::AVFrame) -> Colour {
    use sys::AVColorSpace as S;
    let matrix = match frame.colorspace {
        S::AVCOL_SPC_BT709 => Matrix::Bt709,
        S::AVCOL_SPC_BT470BG | S::AVCOL_SPC_SMPTE170M | S::AVCOL_SPC_FCC => Matrix::Bt601,
        S::AVCOL_SPC_BT2020_NCL | S::AVCOL_SPC_BT2020_CL => Matrix::Bt2020,
        _ if frame.height >= 720 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    use sys::AVPixelFormat as P;
    const FULL_FORMATS: [P; 3] = [P::AV_PIX_FMT_YUVJ420P, P::AV_PIX_FMT_YUVJ422P, P::AV_PIX_FMT_YUVJ444P];
    let full = frame.color_range == sys::AVColorRange::AVCOL_RANGE_JPEG || FULL_FORMATS.iter().any(|f| *f as c_int == frame.format);
    Colour { matrix, range: if full || convert::is_rgb(frame.format) { Range::Full } else { Range::Limited } }
}

/// Colour after conversion to I420: as it was; red, green, blue become limited range of the frame's matrix.
pub(crate) fn converted_colour(frame: &sys::AVFrame, colour: Colour) -> Colour {
    if convert::is_rgb(frame.format) { Colour { range: Range::Limited, ..colour } } else { colour }
}
