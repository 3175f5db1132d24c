//! Grey pictures.

use crate::resample::resample_plane;
use crate::{Filter, Gray, Resampler, Rgb, Yuv, simd};
use gantry_frames::Range;

/// Scratch of [`resize_gray`].
#[derive(Clone, Debug, Default)]
pub struct GrayScratch(Resampler);

/// BT.601 luma of R, G, B, full range, into `out`: u8 `[H, W]` without padding.
///
/// # Panics
/// If `out` has fewer than `width * height` bytes.
pub fn gray_from_rgb(rgb: &Rgb<'_>, out: &mut [u8]) {
    #[inline(always)]
    fn run(rgb: Rgb<'_>, out: &mut [u8]) {
        for (y, row) in out.chunks_exact_mut(rgb.width).enumerate().take(rgb.height) {
            for (level, p) in row.iter_mut().zip(rgb.plane.row(y).chunks_exact(3)) {
                *level = ((77 * u16::from(p[0]) + 150 * u16::from(p[1]) + 29 * u16::from(p[2]) + 128) >> 8) as u8;
            }
        }
    }
    assert!(out.len() >= rgb.width * rgb.height, "output buffer is too short");
    let rgb = *rgb;
    simd!(run(rgb: Rgb<'a>, out: &'a mut [u8]));
}

/// The luma of a frame stretched to full range, u8 `[H, W]` without padding.
///
/// # Panics
/// If `out` has fewer than `width * height` bytes.
pub fn gray_from_yuv(frame: &Yuv<'_>, out: &mut [u8]) {
    assert!(out.len() >= frame.width * frame.height, "output buffer is too short");
    for (y, row) in out.chunks_exact_mut(frame.width).enumerate().take(frame.height) {
        let luma = frame.y.row(y);
        match frame.colour.range {
            Range::Full => row.copy_from_slice(luma),
            Range::Limited => {
                for (out, &level) in row.iter_mut().zip(luma) {
                    // 255 / 219 in Q8 is 298.
                    *out = (((i32::from(level) - 16) * 298 + 128) >> 8).clamp(0, 255) as u8;
                }
            }
        }
    }
}

/// Stretches grey to `width` x `height` without keeping its shape, u8 `[height, width]` without padding: bilinear when growing,
/// a widened triangle when shrinking. This is how crops become the reader's input, in training too.
///
/// # Panics
/// If `width` or `height` is 0 or `out` has fewer than `width * height` bytes.
pub fn resize_gray(scratch: &mut GrayScratch, source: &Gray<'_>, width: usize, height: usize, out: &mut [u8]) {
    assert!(width > 0 && height > 0 && out.len() >= width * height, "output buffer is too short");
    let window = [0.0, 0.0, source.width as f64, source.height as f64];
    scratch.0.set((source.width, source.height), window, (width, height), Filter::Triangle);
    resample_plane(&mut scratch.0, source.plane, out, width, (width, height));
}
