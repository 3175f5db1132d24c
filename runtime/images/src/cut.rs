//! A piece of a frame as RGB, at the size that the reader wants.

use crate::scale::interleave;
use crate::taps::cubic_q14;
use crate::{Chroma, Coefficients, Filter, Resampler, Yuv, rgb_row, simd};

/// A part of a frame in source pixels; it may reach beyond the frame, whose border pixels then repeat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width, above 0.
    pub width: f64,
    /// Height, above 0.
    pub height: f64,
}

/// Moves columns up or down so that lines with this slope (source pixels down per pixel to the right) become level:
/// `y_source = y + slope * (x - centre)`. Upright strokes stay upright, which is what a plate seen from the side needs.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Shear(pub f64);

/// Cuts windows out of frames. Keeps its rows from cut to cut.
///
/// Growing (and native size) is Catmull-Rom, shrinking a widened triangle; colour is always a triangle.
#[derive(Clone, Debug, Default)]
pub struct Cutter {
    luma: Resampler,
    chroma: Resampler,
    y: Vec<i16>,
    chroma_rows: [Vec<i16>; 2],
    rgb_rows: [Vec<u8>; 3],
    big: Vec<u8>,
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    shift: usize,
    weights: [i32; 4],
}

/// Rows kept above and below the sheared window for the four taps of the cubic.
const SHEAR_BORDER: usize = 2;

impl Cutter {
    /// Writes `window` of `frame` as u8 `[height, width, 3]` RGB, rows `stride` bytes apart, into `out`. Bytes between rows stay.
    ///
    /// # Panics
    /// If `width`, `height` or the window is empty, or `out` is too short: the caller's own numbers.
    #[expect(clippy::too_many_arguments)]
    pub fn rgb(&mut self, frame: &Yuv<'_>, window: &Window, shear: Shear, width: usize, height: usize, out: &mut [u8], stride: usize) {
        assert!(width > 0 && height > 0 && window.width > 0.0 && window.height > 0.0, "window or target without pixels");
        assert!(stride >= 3 * width && out.len() >= stride * (height - 1) + 3 * width, "output buffer is too short");
        if shear.0 == 0.0 {
            self.level(frame, window, width, height, out, stride);
            return;
        }
        // Everything below is in target pixels: columns move by at most `reach`.
        let (scale_x, scale_y) = (window.width / width as f64, window.height / height as f64);
        let per_column = shear.0 * scale_x / scale_y;
        let reach = (per_column.abs() * width as f64 / 2.0).ceil() as usize + SHEAR_BORDER;
        let tall = Window { y: window.y - reach as f64 * scale_y, height: window.height + 2.0 * reach as f64 * scale_y, ..*window };
        let tall_height = height + 2 * reach;
        let mut big = std::mem::take(&mut self.big);
        big.resize(3 * width * tall_height, 0);
        self.level(frame, &tall, width, tall_height, &mut big, 3 * width);
        self.columns.clear();
        for x in 0..width {
            let from = reach as f64 + per_column * (x as f64 + 0.5 - width as f64 / 2.0);
            self.columns.push(Column { shift: from.floor() as usize - 1, weights: cubic_q14(from - from.floor()) });
        }
        for (y, row) in out.chunks_mut(stride).take(height).enumerate() {
            for (x, (pixel, column)) in row[..3 * width].chunks_exact_mut(3).zip(&self.columns).enumerate() {
                let at = ((y + column.shift) * width + x) * 3;
                for (c, level) in pixel.iter_mut().enumerate() {
                    let sum: i32 = (0..4).map(|k| column.weights[k] * i32::from(big[at + k * 3 * width + c])).sum();
                    *level = ((sum + (1 << 13)) >> 14).clamp(0, 255) as u8;
                }
            }
        }
        self.big = big;
    }

    /// Writes the luma of `window` as u8 `[height, width]`, without range expansion: for looking at edges.
    ///
    /// # Panics
    /// As [`Cutter::rgb`].
    pub fn luma(&mut self, frame: &Yuv<'_>, window: &Window, width: usize, height: usize, out: &mut [u8]) {
        assert!(width > 0 && height > 0 && window.width > 0.0 && window.height > 0.0, "window or target without pixels");
        self.luma.set((frame.width, frame.height), [window.x, window.y, window.width, window.height], (width, height), Filter::Triangle);
        for (y, row) in out.chunks_exact_mut(width).take(height).enumerate() {
            self.luma.row_u8(&frame.y, y, 0..width, row);
        }
    }

    fn level(&mut self, frame: &Yuv<'_>, window: &Window, width: usize, height: usize, out: &mut [u8], stride: usize) {
        let shrinks = window.height > height as f64 * 1.05;
        let filter = if shrinks { Filter::Triangle } else { Filter::CatmullRom };
        let half = [window.x / 2.0, window.y / 2.0, window.width / 2.0, window.height / 2.0];
        self.luma.set((frame.width, frame.height), [window.x, window.y, window.width, window.height], (width, height), filter);
        self.chroma.set(frame.chroma_size(), half, (width, height), Filter::Triangle);
        self.y.resize(width, 0);
        self.chroma_rows.iter_mut().for_each(|row| row.resize(width, 0));
        self.rgb_rows.iter_mut().for_each(|row| row.resize(width, 0));
        let (cutter, frame) = (self, *frame);
        simd!(rows(cutter: &'a mut Cutter, frame: Yuv<'a>, height: usize, out: &'a mut [u8], stride: usize));
    }
}

#[inline(always)]
fn rows(cutter: &mut Cutter, frame: Yuv<'_>, height: usize, out: &mut [u8], stride: usize) {
    let coefficients = Coefficients::of(frame.colour);
    let Cutter { luma, chroma, y, chroma_rows: [u, v], rgb_rows: [r, g, b], .. } = cutter;
    let width = y.len();
    for (i, out) in out.chunks_mut(stride).take(height).enumerate() {
        luma.row_q7(&frame.y, i, 0..width, y);
        match frame.chroma {
            Chroma::Planar { u: pu, v: pv } => {
                chroma.row_chroma(&pu, i, 0..width, u);
                chroma.row_chroma(&pv, i, 0..width, v);
            }
            Chroma::Interleaved { uv } => chroma.row_chroma_pair(&uv, i, 0..width, u, v),
        }
        rgb_row(&coefficients, y, u, v, r, g, b);
        interleave(r, g, b, &mut out[..3 * width]);
    }
}
