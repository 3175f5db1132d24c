//! Pictures as a reader's input: scaled, grey or colour, interleaved or planar.

use crate::{ImageInput, ImageOrder};

/// A borrowed 8-bit picture.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    data: &'a [u8],
    width: usize,
    height: usize,
    stride: usize,
    channels: usize,
}

impl<'a> Picture<'a> {
    /// Grey, u8 `[H, W]`, rows `stride` bytes apart. `None` if `data` is too short or the picture is empty.
    #[must_use]
    pub fn gray(data: &'a [u8], width: usize, height: usize, stride: usize) -> Option<Self> {
        Self::of(data, width, height, stride, 1)
    }

    /// RGB, u8 `[H, W, 3]`, rows `stride` bytes apart. `None` if `data` is too short or the picture is empty.
    #[must_use]
    pub fn rgb(data: &'a [u8], width: usize, height: usize, stride: usize) -> Option<Self> {
        Self::of(data, width, height, stride, 3)
    }

    fn of(data: &'a [u8], width: usize, height: usize, stride: usize, channels: usize) -> Option<Self> {
        let row = width.checked_mul(channels)?;
        let needed = stride.checked_mul(height.checked_sub(1)?)?.checked_add(row)?;
        (width > 0 && stride >= row && data.len() >= needed).then_some(Self { data, width, height, stride, channels })
    }

    fn pixel(&self, x: usize, y: usize, channel: usize) -> i32 {
        i32::from(self.data[y * self.stride + x * self.channels + channel])
    }
}

/// How a reader wants its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    pub keep_aspect: bool,
    pub bgr: bool,
    pub fill: u8,
}

/// Weights of one output pixel: first input pixel, and a weight in 1/4096 for it and each one after it.
type Taps = Vec<(usize, Vec<i32>)>;

/// A triangle filter: bilinear when enlarging, wide enough to average all covered pixels when shrinking.
fn taps(from: usize, to: usize) -> Taps {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    (0..to)
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            let first = ((center - support).floor().max(0.0)) as usize;
            let last = ((center + support).ceil() as usize).min(from);
            let raw: Vec<f64> = (first..last).map(|j| (1.0 - ((j as f64 + 0.5 - center) / support).abs()).max(0.0)).collect();
            let total: f64 = raw.iter().sum();
            let mut weights: Vec<i32> = raw.iter().map(|w| (w / total * 4096.0).round() as i32).collect();
            // What rounding took or gave goes to the heaviest, so that a flat picture stays flat.
            let missing = 4096 - weights.iter().sum::<i32>();
            if let Some(heaviest) = weights.iter_mut().max() {
                *heaviest += missing;
            }
            (first, weights)
        })
        .collect()
}

/// Scales `picture` to the model's height and width and writes it as u8 in the model's channel count and order.
///
/// Stretched to the whole input, or with `keep_aspect` centred on grey 114. Colour becomes grey by BT.601 weights, grey becomes colour by
/// repetition. `out`: `channels * height * width` bytes.
pub fn prepare(picture: &Picture<'_>, input: &ImageInput, keep_aspect: bool, bgr: bool, out: &mut [u8]) {
    fit(picture, input, Fit { keep_aspect, bgr, fill: 114 }, &mut Vec::new(), out);
}

pub(crate) fn fit(picture: &Picture<'_>, input: &ImageInput, fit: Fit, scratch: &mut Vec<i32>, out: &mut [u8]) {
    let (w, h, channels) = (input.width, input.height, input.channels);
    let (mut inner_w, mut inner_h) = (w, h);
    if fit.keep_aspect {
        let ratio = (w as f64 / picture.width as f64).min(h as f64 / picture.height as f64);
        inner_w = ((picture.width as f64 * ratio).round() as usize).clamp(1, w);
        inner_h = ((picture.height as f64 * ratio).round() as usize).clamp(1, h);
        out.fill(fit.fill);
    }
    let (left, top) = ((w - inner_w) / 2, (h - inner_h) / 2);
    let (across, down) = (taps(picture.width, inner_w), taps(picture.height, inner_h));
    // Horizontal first, kept in 1/16 levels.
    let n = picture.channels;
    scratch.clear();
    scratch.resize(picture.height * inner_w * n, 0);
    for (y, row) in scratch.chunks_exact_mut(inner_w * n).enumerate() {
        for ((first, weights), cell) in across.iter().zip(row.chunks_exact_mut(n)) {
            for (c, value) in cell.iter_mut().enumerate() {
                let sum: i32 = weights.iter().enumerate().map(|(k, weight)| weight * picture.pixel(first + k, y, c)).sum();
                *value = (sum + 128) >> 8;
            }
        }
    }
    for (y, (first, weights)) in down.iter().enumerate() {
        for x in 0..inner_w {
            let value = |c: usize| -> u8 {
                let sum: i32 = weights.iter().enumerate().map(|(k, weight)| weight * scratch[((first + k) * inner_w + x) * n + c]).sum();
                ((sum + (1 << 15)) >> 16).clamp(0, 255) as u8
            };
            let rgb = if n == 1 { [value(0); 3] } else { [value(0), value(1), value(2)] };
            let at = (top + y) * w + left + x;
            if channels == 1 {
                out[at] = luma(rgb);
                continue;
            }
            for c in 0..3 {
                let level = rgb[if fit.bgr { 2 - c } else { c }];
                match input.order {
                    ImageOrder::Nchw => out[c * w * h + at] = level,
                    ImageOrder::Nhwc => out[at * 3 + c] = level,
                }
            }
        }
    }
}

fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + (1 << 15)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(channels: usize, order: ImageOrder, width: usize, height: usize) -> ImageInput {
        ImageInput { order, channels, width, height, batch: None, fixed_size: true }
    }

    #[test]
    fn a_picture_that_does_not_fit_its_bytes_is_refused() {
        assert!(Picture::gray(&[0; 11], 4, 3, 4).is_none());
        assert!(Picture::gray(&[0; 11], 3, 3, 4).is_some());
        assert!(Picture::rgb(&[0; 12], 0, 1, 12).is_none());
        assert!(Picture::rgb(&[0; 12], 4, usize::MAX, usize::MAX).is_none());
    }

    #[test]
    fn colour_is_packed_in_the_order_that_the_model_wants() {
        let rgb = [10, 20, 30, 10, 20, 30];
        let picture = Picture::rgb(&rgb, 2, 1, 6).unwrap();
        let mut out = [0; 6];
        prepare(&picture, &input(3, ImageOrder::Nchw, 2, 1), false, false, &mut out);
        assert_eq!(out, [10, 10, 20, 20, 30, 30]);
        prepare(&picture, &input(3, ImageOrder::Nhwc, 2, 1), false, true, &mut out);
        assert_eq!(out, [30, 20, 10, 30, 20, 10]);
        let mut gray = [0; 2];
        prepare(&picture, &input(1, ImageOrder::Nhwc, 2, 1), false, false, &mut gray);
        assert_eq!(gray, [18, 18]);
    }

    #[test]
    fn keeping_the_aspect_ratio_pads_both_sides_alike() {
        let picture = Picture::gray(&[200; 8], 4, 2, 4).unwrap();
        let mut out = [0; 16];
        prepare(&picture, &input(1, ImageOrder::Nhwc, 4, 4), true, false, &mut out);
        assert_eq!(out, [[114; 4], [200; 4], [200; 4], [114; 4]].concat()[..]);
    }

    #[test]
    fn halving_weighs_the_pixels_around_and_doubling_interpolates() {
        let picture = Picture::gray(&[0, 100], 2, 1, 2).unwrap();
        let mut out = [0; 4];
        prepare(&picture, &input(1, ImageOrder::Nhwc, 4, 1), false, false, &mut out);
        assert_eq!(out, [0, 25, 75, 100]);
        let mut one = [0; 1];
        prepare(&picture, &input(1, ImageOrder::Nhwc, 1, 1), false, false, &mut one);
        assert_eq!(one, [50]);
    }

    proptest! {
        #[test]
        fn a_flat_picture_stays_flat_and_same_size_stays_same(w in 1usize..30, h in 1usize..30, to_w in 1usize..40, to_h in 1usize..40, level in any::<u8>()) {
            let data = vec![level; w * h];
            let mut out = vec![0; to_w * to_h];
            prepare(&Picture::gray(&data, w, h, w).unwrap(), &input(1, ImageOrder::Nhwc, to_w, to_h), false, false, &mut out);
            prop_assert!(out.iter().all(|v| *v == level));
            let ramp: Vec<u8> = (0..w * h).map(|i| (i * 37 % 256) as u8).collect();
            let mut same = vec![0; w * h];
            prepare(&Picture::gray(&ramp, w, h, w).unwrap(), &input(1, ImageOrder::Nhwc, w, h), false, false, &mut same);
            prop_assert_eq!(same, ramp);
        }
    }
}
