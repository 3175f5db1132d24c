//! Resampling of one 8-bit plane, rows first, then along the row.

use crate::taps::Along;
use crate::{Filter, Plane, Taps, simd};
use std::ops::Range;

/// Fraction bits between the two passes: 255 with Catmull-Rom overshoot still fits 16 bits.
const MID_BITS: u32 = 6;

/// The two axes and the row between the passes. Reused from picture to picture.
#[derive(Clone, Debug, Default)]
pub struct Resampler {
    x: Taps,
    y: Taps,
    key: Option<Key>,
    mid: Vec<i16>,
    /// The channels of `mid`, apart.
    split: [Vec<i16>; 2],
    sums: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    source: (usize, usize),
    window: [f64; 4],
    out: (usize, usize),
    filter: Filter,
}

impl Resampler {
    /// Sets the geometry: the window `[x, y, width, height]` of a plane of `source` (width, height) samples becomes `out`
    /// (width, height) samples. Costs nothing when it is the same as before.
    pub fn set(&mut self, source: (usize, usize), window: [f64; 4], out: (usize, usize), filter: Filter) {
        let key = Key { source, window, out, filter };
        if self.key == Some(key) {
            return;
        }
        self.x.set(source.0, window[0], window[2], out.0, filter);
        self.y.set(source.1, window[1], window[3], out.1, filter);
        self.key = Some(key);
    }

    /// Output row `row`, luma times 128 (for [`crate::rgb_row`]).
    #[inline(always)]
    pub(crate) fn row_q7(&mut self, plane: &Plane<'_>, row: usize, columns: Range<usize>, out: &mut [i16]) {
        let along = self.x.along(columns);
        vertical(&self.y, &mut self.mid, &mut self.sums, plane, along.span, row);
        horizontal(along, &self.mid, out, |sum| {
            let q7 = (sum + (1 << (13 + MID_BITS - 7))) >> (14 + MID_BITS - 7);
            q7.clamp(0, 255 * 128) as i16
        });
    }

    /// Output row `row` in 8 bits.
    #[inline(always)]
    pub(crate) fn row_u8(&mut self, plane: &Plane<'_>, row: usize, columns: Range<usize>, out: &mut [u8]) {
        let along = self.x.along(columns);
        vertical(&self.y, &mut self.mid, &mut self.sums, plane, along.span, row);
        horizontal(along, &self.mid, out, |sum| ((sum + (1 << (13 + MID_BITS))) >> (14 + MID_BITS)).clamp(0, 255) as u8);
    }

    /// Output row `row` of chroma, `(value - 128) * 256`.
    #[inline(always)]
    pub(crate) fn row_chroma(&mut self, plane: &Plane<'_>, row: usize, columns: Range<usize>, out: &mut [i16]) {
        let along = self.x.along(columns);
        vertical(&self.y, &mut self.mid, &mut self.sums, plane, along.span, row);
        horizontal(along, &self.mid, out, chroma_q8);
    }

    /// Two interleaved channels of chroma: the vertical pass is shared.
    #[inline(always)]
    pub(crate) fn row_chroma_pair(&mut self, plane: &Plane<'_>, row: usize, columns: Range<usize>, first: &mut [i16], second: &mut [i16]) {
        let along = self.x.along(columns);
        let (low, high) = along.span;
        vertical(&self.y, &mut self.mid, &mut self.sums, plane, (2 * low, 2 * high), row);
        let [a, b] = &mut self.split;
        a.resize(self.mid.len() / 2, 0);
        b.resize(self.mid.len() / 2, 0);
        for ((pair, a), b) in self.mid.chunks_exact(2).zip(a.iter_mut()).zip(b.iter_mut()).skip(low) {
            *a = pair[0];
            *b = pair[1];
        }
        horizontal(along, a, first, chroma_q8);
        horizontal(along, b, second, chroma_q8);
    }
}

/// Output row `row` before the pass along it: the samples of `plane` from the first of `span` to the last.
#[inline(always)]
fn vertical(y: &Taps, mid: &mut Vec<i16>, sums: &mut Vec<i32>, plane: &Plane<'_>, (low, high): (usize, usize), row: usize) {
    mid.resize(high, 0);
    let mid = &mut mid[low..high];
    let (first, weights) = y.of(row);
    let source = |k: usize| &plane.row(first + k)[low..high];
    // Few taps are the common case: one pass over the rows, sums in registers.
    match *weights {
        [a, b, c, d] => weigh4(mid, [0, 1, 2, 3].map(source), [a, b, c, d]),
        [a, b, c, d, e, f] => weigh6(mid, [0, 1, 2, 3, 4, 5].map(source), [a, b, c, d, e, f]),
        _ => {
            sums.clear();
            sums.resize(mid.len(), 1 << 7);
            for (k, &w) in weights.iter().enumerate() {
                for (sum, &sample) in sums.iter_mut().zip(source(k)) {
                    *sum += i32::from(w) * i32::from(sample);
                }
            }
            for (out, &sum) in mid.iter_mut().zip(&*sums) {
                *out = (sum >> 8) as i16;
            }
        }
    }
}

macro_rules! weigh {
    ($name:ident, $n:literal) => {
        #[inline(always)]
        fn $name(out: &mut [i16], rows: [&[u8]; $n], weights: [i16; $n]) {
            let n = out.len();
            let rows = rows.map(|row| &row[..n]);
            for x in 0..n {
                let mut sum = 1i32 << 7;
                for k in 0..$n {
                    sum += i32::from(weights[k]) * i32::from(rows[k][x]);
                }
                out[x] = (sum >> 8) as i16;
            }
        }
    };
}
weigh!(weigh4, 4);
weigh!(weigh6, 6);

#[inline(always)]
fn chroma_q8(sum: i32) -> i16 {
    let q8 = (sum + (1 << (13 + MID_BITS - 8))) >> (14 + MID_BITS - 8);
    (q8 - 128 * 256).clamp(-32768, 32767) as i16
}

#[inline(always)]
fn horizontal<T>(taps: Along<'_>, mid: &[i16], out: &mut [T], finish: impl Fn(i32) -> T) {
    match taps.count {
        4 => unrolled::<4, T>(taps, mid, out, finish),
        6 => unrolled::<6, T>(taps, mid, out, finish),
        8 => unrolled::<8, T>(taps, mid, out, finish),
        10 => unrolled::<10, T>(taps, mid, out, finish),
        12 => unrolled::<12, T>(taps, mid, out, finish),
        n => {
            for ((out, &first), weights) in out.iter_mut().zip(taps.first).zip(taps.weights.chunks_exact(n)) {
                let samples = &mid[first as usize..][..n];
                *out = finish(weights.iter().zip(samples).map(|(&w, &m)| i32::from(w) * i32::from(m)).sum());
            }
        }
    }
}

/// A fixed number of taps: products and sums stay in registers.
#[inline(always)]
fn unrolled<const N: usize, T>(taps: Along<'_>, mid: &[i16], out: &mut [T], finish: impl Fn(i32) -> T) {
    let (weights, _) = taps.weights.as_chunks::<N>();
    for ((out, &first), weights) in out.iter_mut().zip(taps.first).zip(weights) {
        let Some(samples) = mid[first as usize..].first_chunk::<N>() else { continue };
        let mut sum = 0;
        for k in 0..N {
            sum += i32::from(weights[k]) * i32::from(samples[k]);
        }
        *out = finish(sum);
    }
}

/// A whole 8-bit plane at another size: `plane` has `source` (width, height) samples, `out` rows lie `stride` bytes apart.
pub(crate) fn resample_plane(r: &mut Resampler, plane: Plane<'_>, out: &mut [u8], stride: usize, out_size: (usize, usize)) {
    #[inline(always)]
    fn run(r: &mut Resampler, plane: Plane<'_>, out: &mut [u8], stride: usize, out_size: (usize, usize)) {
        for (y, row) in out.chunks_mut(stride).take(out_size.1).enumerate() {
            r.row_u8(&plane, y, 0..out_size.0, &mut row[..out_size.0]);
        }
    }
    simd!(run(r: &'a mut Resampler, plane: Plane<'a>, out: &'a mut [u8], stride: usize, out_size: (usize, usize)));
}
