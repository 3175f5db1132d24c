//! A decoded frame to the input of a model, in one pass over its rows.

use crate::{Chroma, Coefficients, Filter, Letterbox, PAD_GREY, Resampler, Yuv, rgb_row, simd};
use std::ops::Range;

/// How the input of a model lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// u8 `[3, H, W]`, R G B, 0 to 255.
    PlanarU8,
    /// f32 `[3, H, W]`, R G B, 0.0 to 1.0, little endian.
    PlanarF32,
    /// u8 `[H, W, 3]`, R G B, 0 to 255.
    InterleavedU8,
    /// f32 `[H, W, 3]`, R G B, 0.0 to 1.0, little endian.
    InterleavedF32,
}

impl Arrangement {
    /// Bytes of one sample.
    #[must_use]
    pub fn sample_bytes(self) -> usize {
        match self {
            Self::PlanarU8 | Self::InterleavedU8 => 1,
            Self::PlanarF32 | Self::InterleavedF32 => 4,
        }
    }

    /// Bytes of an input of that size.
    #[must_use]
    pub fn byte_len(self, width: usize, height: usize) -> usize {
        3 * width * height * self.sample_bytes()
    }
}

/// Converts, scales and letterboxes frames. Keeps its weights and rows from frame to frame.
///
/// Half size (1920x1080 into 960x544) averages 2x2 luma samples and takes chroma as it is; every other size is a triangle
/// filter, widened when shrinking. 1080p I420 into 960x544 planar u8: see `examples/bench.rs`.
#[derive(Clone, Debug, Default)]
pub struct FrameScaler {
    luma: Resampler,
    chroma: Resampler,
    rows: Rows,
}

#[derive(Clone, Debug, Default)]
struct Rows {
    y: Vec<i16>,
    chroma: [Vec<i16>; 2],
    pairs: [Vec<u8>; 2],
    rgb: [Vec<u8>; 3],
}

impl FrameScaler {
    /// Writes `frame` into `out` as `letterbox` says, the border [`PAD_GREY`].
    ///
    /// # Panics
    /// If `letterbox` was fitted to another size or `out` has not exactly [`Arrangement::byte_len`] bytes: both are the
    /// caller's own numbers.
    pub fn run(&mut self, frame: &Yuv<'_>, letterbox: &Letterbox, arrangement: Arrangement, out: &mut [u8]) {
        self.run_part(frame, letterbox, arrangement, (0..letterbox.width, 0..letterbox.height), out);
    }

    /// As [`FrameScaler::run`], but writes only those columns and rows of `out`, with the same bytes, and reads no more of the frame than they need.
    ///
    /// # Panics
    /// As [`FrameScaler::run`], and if the part does not lie in the input.
    pub fn run_part(
        &mut self,
        frame: &Yuv<'_>,
        letterbox: &Letterbox,
        arrangement: Arrangement,
        part: (Range<usize>, Range<usize>),
        out: &mut [u8],
    ) {
        assert_eq!((letterbox.source_width, letterbox.source_height), (frame.width, frame.height), "letterbox is for another size");
        assert_eq!(out.len(), arrangement.byte_len(letterbox.width, letterbox.height), "output buffer has another size");
        assert!(part.0.end <= letterbox.width && part.1.end <= letterbox.height, "the part lies outside");
        let b = *letterbox;
        if !is_half(frame, &b) {
            let (w, h) = (frame.width as f64, frame.height as f64);
            let inner = (b.inner_width, b.inner_height);
            self.luma.set((frame.width, frame.height), [0.0, 0.0, w, h], inner, Filter::Triangle);
            self.chroma.set(frame.chroma_size(), [0.0, 0.0, w / 2.0, h / 2.0], inner, Filter::Triangle);
        }
        fill_border(&b, arrangement, &part, out);
        // Of the picture inside the border.
        let columns = within(&part.0, b.left, b.inner_width);
        let picture_rows = within(&part.1, b.top, b.inner_height);
        if columns.is_empty() {
            return;
        }
        self.rows.y.resize(columns.len(), 0);
        self.rows.chroma.iter_mut().for_each(|row| row.resize(columns.len(), 0));
        self.rows.pairs.iter_mut().chain(&mut self.rows.rgb).for_each(|row| row.resize(columns.len(), 0));
        let scaler = self;
        let (frame, to, part) = (*frame, b, (columns, picture_rows));
        simd!(rows(scaler: &'a mut FrameScaler, frame: Yuv<'a>, to: Letterbox, arrangement: Arrangement, part: (Range<usize>, Range<usize>), out: &'a mut [u8]));
    }
}

/// What of `part` lies in the `len` places from `start` on, counted from there.
fn within(part: &Range<usize>, start: usize, len: usize) -> Range<usize> {
    part.start.saturating_sub(start).min(len)..part.end.saturating_sub(start).min(len)
}

fn is_half(frame: &Yuv<'_>, b: &Letterbox) -> bool {
    frame.width == 2 * b.inner_width && frame.height == 2 * b.inner_height
}

#[inline(always)]
fn rows(
    scaler: &mut FrameScaler,
    frame: Yuv<'_>,
    to: Letterbox,
    arrangement: Arrangement,
    (columns, picture_rows): (Range<usize>, Range<usize>),
    out: &mut [u8],
) {
    let mut rgb = std::mem::take(&mut scaler.rows.rgb);
    let coefficients = Coefficients::of(frame.colour);
    let area = to.width * to.height;
    let n = columns.len();
    for row in picture_rows {
        let at = (to.top + row) * to.width + to.left + columns.start;
        if arrangement == Arrangement::PlanarU8 {
            let (r, rest) = out.split_at_mut(area);
            let (g, b) = rest.split_at_mut(area);
            convert(scaler, &frame, &to, &coefficients, (row, &columns), [&mut r[at..at + n], &mut g[at..at + n], &mut b[at..at + n]]);
            continue;
        }
        let [r, g, b] = &mut rgb;
        convert(scaler, &frame, &to, &coefficients, (row, &columns), [r, g, b]);
        match arrangement {
            Arrangement::PlanarU8 => {}
            Arrangement::PlanarF32 => {
                for (channel, row) in [&*r, g, b].into_iter().enumerate() {
                    let start = 4 * (channel * area + at);
                    for (out, &level) in out[start..start + 4 * n].chunks_exact_mut(4).zip(row.iter()) {
                        out.copy_from_slice(&unit(level).to_le_bytes());
                    }
                }
            }
            Arrangement::InterleavedU8 => interleave(r, g, b, &mut out[3 * at..3 * (at + n)]),
            Arrangement::InterleavedF32 => {
                let pixels = out[12 * at..12 * (at + n)].chunks_exact_mut(12);
                for (((out, &r), &g), &b) in pixels.zip(r.iter()).zip(g.iter()).zip(b.iter()) {
                    out[..4].copy_from_slice(&unit(r).to_le_bytes());
                    out[4..8].copy_from_slice(&unit(g).to_le_bytes());
                    out[8..].copy_from_slice(&unit(b).to_le_bytes());
                }
            }
        }
    }
    scaler.rows.rgb = rgb;
}

/// Those columns of row `row` of the picture into three rows.
#[inline(always)]
fn convert(
    scaler: &mut FrameScaler,
    frame: &Yuv<'_>,
    to: &Letterbox,
    coefficients: &Coefficients,
    (row, columns): (usize, &Range<usize>),
    [r, g, b]: [&mut [u8]; 3],
) {
    let FrameScaler { luma, chroma, rows: Rows { y, chroma: [u, v], pairs: [pair_u, pair_v], .. } } = scaler;
    if is_half(frame, to) {
        let pairs = 2 * columns.start..2 * columns.end;
        half_row(&frame.y.row(2 * row)[pairs.clone()], &frame.y.row(2 * row + 1)[pairs.clone()], y);
        match frame.chroma {
            Chroma::Planar { u, v } => rgb_row(coefficients, y, &u.row(row)[columns.clone()], &v.row(row)[columns.clone()], r, g, b),
            Chroma::Interleaved { uv } => {
                split_pairs(&uv.row(row)[pairs], pair_u, pair_v);
                rgb_row(coefficients, y, pair_u, pair_v, r, g, b);
            }
        }
        return;
    }
    luma.row_q7(&frame.y, row, columns.clone(), y);
    match frame.chroma {
        Chroma::Planar { u: pu, v: pv } => {
            chroma.row_chroma(&pu, row, columns.clone(), u);
            chroma.row_chroma(&pv, row, columns.clone(), v);
        }
        Chroma::Interleaved { uv } => chroma.row_chroma_pair(&uv, row, columns.clone(), u, v),
    }
    rgb_row(coefficients, y, u, v, r, g, b);
}

#[inline(always)]
fn unit(level: u8) -> f32 {
    f32::from(level) * (1.0 / 255.0)
}

#[inline(always)]
pub(crate) fn interleave(r: &[u8], g: &[u8], b: &[u8], out: &mut [u8]) {
    for (((out, &r), &g), &b) in out.chunks_exact_mut(3).zip(r).zip(g).zip(b) {
        out[0] = r;
        out[1] = g;
        out[2] = b;
    }
}

/// Mean of 2x2 samples, times 128: the sum of four, times 32, loses nothing.
#[inline(always)]
fn half_row(upper: &[u8], lower: &[u8], out: &mut [i16]) {
    for ((out, a), b) in out.iter_mut().zip(upper.chunks_exact(2)).zip(lower.chunks_exact(2)) {
        let sum = i16::from(a[0]) + i16::from(a[1]) + i16::from(b[0]) + i16::from(b[1]);
        *out = sum << 5;
    }
}

#[inline(always)]
fn split_pairs(pairs: &[u8], first: &mut [u8], second: &mut [u8]) {
    for ((pair, a), b) in pairs.chunks_exact(2).zip(first).zip(second) {
        *a = pair[0];
        *b = pair[1];
    }
}

/// Makes what of the part is border grey.
fn fill_border(b: &Letterbox, arrangement: Arrangement, (columns, rows): &(Range<usize>, Range<usize>), out: &mut [u8]) {
    let grey = unit(PAD_GREY).to_le_bytes();
    let (planes, channels) = match arrangement {
        Arrangement::PlanarU8 | Arrangement::PlanarF32 => (3, 1),
        Arrangement::InterleavedU8 | Arrangement::InterleavedF32 => (1, 3),
    };
    let bytes = channels * arrangement.sample_bytes();
    let fill = |part: &mut [u8]| match arrangement.sample_bytes() {
        1 => part.fill(PAD_GREY),
        _ => part.chunks_exact_mut(4).for_each(|sample| sample.copy_from_slice(&grey)),
    };
    let (inner_columns, inner_rows) = (b.left..b.left + b.inner_width, b.top..b.top + b.inner_height);
    for plane in out.chunks_exact_mut(out.len() / planes) {
        for (y, row) in plane.chunks_exact_mut(b.width * bytes).enumerate().take(rows.end).skip(rows.start) {
            let mut grey = |from: usize, to: usize| {
                if from < to {
                    fill(&mut row[from * bytes..to * bytes]);
                }
            };
            if inner_rows.contains(&y) {
                grey(columns.start, columns.end.min(inner_columns.start));
                grey(columns.start.max(inner_columns.end), columns.end);
            } else {
                grey(columns.start, columns.end);
            }
        }
    }
}
