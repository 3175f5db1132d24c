//! Weights of a resampling filter along one axis.

use std::ops::Range;

/// How samples are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Triangle, widened when shrinking so that every source sample counts (bilinear when growing, area-like when shrinking).
    Triangle,
    /// Catmull-Rom cubic (Keys, "Cubic convolution interpolation", 1981, a = -0.5), widened likewise when shrinking.
    CatmullRom,
}

impl Filter {
    fn radius(self) -> f64 {
        match self {
            Self::Triangle => 1.0,
            Self::CatmullRom => 2.0,
        }
    }

    pub(crate) fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Triangle => (1.0 - x).max(0.0),
            Self::CatmullRom if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::CatmullRom if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::CatmullRom => 0.0,
        }
    }
}

/// 1.0 in the weights.
pub const ONE_Q14: i32 = 1 << 14;

/// Catmull-Rom weights of the four samples around a place that lies `fraction` behind the second; they sum to exactly 1.
pub(crate) fn cubic_q14(fraction: f64) -> [i32; 4] {
    let mut weights = [-1.0, 0.0, 1.0, 2.0].map(|k| (Filter::CatmullRom.weight(k - fraction) * f64::from(ONE_Q14)).round() as i32);
    weights[1] += ONE_Q14 - weights.iter().sum::<i32>();
    weights
}

/// For each output sample the first source sample and its weights in Q14, which sum to exactly 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taps {
    /// First source sample of each output sample.
    pub(crate) first: Vec<u32>,
    /// `count` weights per output sample.
    pub(crate) weights: Vec<i16>,
    /// Weights per output sample.
    pub(crate) count: usize,
}

/// Some output samples of [`Taps`].
#[derive(Clone, Copy)]
pub(crate) struct Along<'a> {
    /// First source sample of each.
    pub first: &'a [u32],
    /// `count` weights of each.
    pub weights: &'a [i16],
    /// Weights of one.
    pub count: usize,
    /// First source sample that they use and the one after the last.
    pub span: (usize, usize),
}

impl Taps {
    /// Weights that take `start..start + length` of an axis with `source` samples to `out` samples. Samples beyond the ends
    /// repeat the last one. The buffers of `self` are used again.
    pub fn set(&mut self, source: usize, start: f64, length: f64, out: usize, filter: Filter) {
        let scale = length / out as f64;
        let widen = scale.max(1.0);
        let reach = filter.radius() * widen;
        self.count = Self::count_of(source, length, out, filter);
        self.first.clear();
        self.weights.clear();
        let mut exact = vec![0.0f64; self.count];
        for i in 0..out {
            let centre = start + (i as f64 + 0.5) * scale;
            let low = (centre - reach - 0.5).ceil() as i64;
            let high = (centre + reach - 0.5).floor() as i64;
            let first = low.clamp(0, (source - self.count) as i64);
            exact.fill(0.0);
            for s in low..=high {
                let inside = s.clamp(0, source as i64 - 1).clamp(first, first + self.count as i64 - 1);
                exact[(inside - first) as usize] += filter.weight((s as f64 + 0.5 - centre) / widen);
            }
            let sum: f64 = exact.iter().sum();
            let at = self.weights.len();
            let mut rest = ONE_Q14;
            let mut largest = 0;
            for (k, w) in exact.iter().enumerate() {
                let q = (w / sum * f64::from(ONE_Q14)).round() as i32;
                rest -= q;
                self.weights.push(q as i16);
                if w.abs() > exact[largest].abs() {
                    largest = k;
                }
            }
            self.weights[at + largest] += rest as i16;
            self.first.push(first as u32);
        }
    }

    /// Weights per output sample of [`Taps::set`]. At scale 4 a triangle has 10, Catmull-Rom at the same size or above 6.
    #[must_use]
    pub fn count_of(source: usize, length: f64, out: usize, filter: Filter) -> usize {
        let reach = filter.radius() * (length / out as f64).max(1.0);
        // Weights of 0 at both ends of the window may come and go with rounding; one more keeps the count the same for all.
        // Even counts have unrolled loops.
        ((2.0 * reach).ceil() as usize + 1).next_multiple_of(2).min(source)
    }

    /// Number of output samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// Whether there is no output sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Of some output samples.
    #[inline(always)]
    pub(crate) fn along(&self, samples: Range<usize>) -> Along<'_> {
        let first = &self.first[samples.clone()];
        let weights = &self.weights[samples.start * self.count..samples.end * self.count];
        // Places rise along the axis.
        let span = match first {
            [first, .., last] => (*first as usize, *last as usize + self.count),
            [only] => (*only as usize, *only as usize + self.count),
            [] => (0, 0),
        };
        Along { first, weights, count: self.count, span }
    }

    #[inline(always)]
    pub(crate) fn of(&self, i: usize) -> (usize, &[i16]) {
        (self.first[i] as usize, &self.weights[i * self.count..(i + 1) * self.count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_sum_to_one_and_stay_inside(source in 1usize..200, out in 1usize..200, a in 0.0f64..1.0, b in 0.05f64..1.0, cubic: bool) {
            let mut taps = Taps::default();
            let filter = if cubic { Filter::CatmullRom } else { Filter::Triangle };
            taps.set(source, a * source as f64 * 0.5, b * source as f64, out, filter);
            prop_assert_eq!(taps.len(), out);
            for i in 0..out {
                let (first, weights) = taps.of(i);
                prop_assert!(first + weights.len() <= source);
                prop_assert_eq!(weights.iter().map(|w| i32::from(*w)).sum::<i32>(), ONE_Q14);
            }
        }
    }
}
