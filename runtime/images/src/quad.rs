//! Four corners of a frame to an upright rectangle.

use crate::taps::{ONE_Q14, cubic_q14};
use crate::{Chroma, Coefficients, Plane, Yuv};

/// Most sample places per pixel and axis.
const MAX_SAMPLES: f64 = 8.0;

/// Corners in source pixels: upper left, upper right, lower right, lower left, as one reads the plate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quad(pub [(f64, f64); 4]);

/// `source_from_crop` of a plane seen by a camera, and how densely the source is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perspective {
    /// Row by row: (x, y, 1) of the crop becomes (sx w, sy w, w) of the source.
    pub matrix: [f64; 9],
    /// Each pixel of the crop is the mean of `samples` x `samples` places, so that a crop that shrinks does not alias.
    pub samples: u32,
}

impl Perspective {
    /// The map of a crop of `width` x `height` pixels onto `quad`. `None` if the corners are no convex quadrilateral in this order.
    ///
    /// The square-to-quadrilateral map of Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, section 2.2.3.
    #[must_use]
    pub fn of(quad: &Quad, width: usize, height: usize) -> Option<Self> {
        let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = quad.0;
        let corners = [(x0, y0), (x1, y1), (x2, y2), (x3, y3)];
        let turn = |i: usize| {
            let ((ax, ay), (bx, by), (cx, cy)) = (corners[i], corners[(i + 1) % 4], corners[(i + 2) % 4]);
            (bx - ax) * (cy - by) - (by - ay) * (cx - bx)
        };
        // All corners turn the same way; a NaN turns no way.
        if width == 0 || height == 0 || !(0..4).all(|i| turn(i) > 0.0) {
            return None;
        }
        let (dx1, dx2, dx3) = (x1 - x2, x3 - x2, x0 - x1 + x2 - x3);
        let (dy1, dy2, dy3) = (y1 - y2, y3 - y2, y0 - y1 + y2 - y3);
        let determinant = dx1 * dy2 - dx2 * dy1;
        let (g, h) = ((dx3 * dy2 - dx2 * dy3) / determinant, (dx1 * dy3 - dx3 * dy1) / determinant);
        let (w, tall) = (width as f64, height as f64);
        let unit = [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1.0];
        let matrix: [f64; 9] = std::array::from_fn(|i| unit[i] / [w, tall, 1.0][i % 3]);
        let edge = |a: usize, b: usize| f64::hypot(corners[a].0 - corners[b].0, corners[a].1 - corners[b].1);
        let scale = (edge(0, 1).max(edge(2, 3)) / w).max(edge(1, 2).max(edge(3, 0)) / tall);
        matrix.iter().all(|v| v.is_finite()).then_some(Self { matrix, samples: scale.ceil().clamp(1.0, MAX_SAMPLES) as u32 })
    }

    /// Place in the crop to place in the source.
    #[must_use]
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let m = &self.matrix;
        let w = m[6] * x + m[7] * y + m[8];
        ((m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w)
    }
}

/// Writes what `perspective` sees of `frame` as u8 `[height, width, 3]` RGB, rows `stride` bytes apart, into `out`. Luma is Catmull-Rom, colour
/// bilinear, the frame's border repeats. Bytes between rows stay.
///
/// # Panics
/// If `out` is too short: the caller's own numbers.
pub fn rectify(frame: &Yuv<'_>, perspective: &Perspective, width: usize, height: usize, out: &mut [u8], stride: usize) {
    assert!(stride >= 3 * width && out.len() >= stride * height.saturating_sub(1) + 3 * width, "output buffer is too short");
    let coefficients = Coefficients::of(frame.colour);
    let (u, v) = match frame.chroma {
        Chroma::Planar { u, v } => ((u, 1, 0), (v, 1, 0)),
        Chroma::Interleaved { uv } => ((uv, 2, 0), (uv, 2, 1)),
    };
    let n = perspective.samples;
    let count = (n * n) as i32;
    for (y, row) in out.chunks_mut(stride).take(height).enumerate() {
        for (x, pixel) in row[..3 * width].chunks_exact_mut(3).enumerate() {
            let (mut luma, mut blue, mut red) = (0, 0, 0);
            for j in 0..n {
                for i in 0..n {
                    let place = |at: usize, k: u32| at as f64 + (f64::from(k) + 0.5) / f64::from(n);
                    let (sx, sy) = perspective.apply(place(x, i), place(y, j));
                    luma += i32::from(cubic(frame, sx, sy));
                    blue += i32::from(linear(frame, u, sx, sy));
                    red += i32::from(linear(frame, v, sx, sy));
                }
            }
            pixel.copy_from_slice(&coefficients.rgb(mean(luma, count), mean(blue, count), mean(red, count)));
        }
    }
}

fn mean(sum: i32, count: i32) -> i16 {
    ((sum + if sum < 0 { -count / 2 } else { count / 2 }) / count) as i16
}

/// The sample that stands for place `at`: the border repeats.
fn inside(at: i64, count: usize) -> usize {
    at.clamp(0, count as i64 - 1) as usize
}

fn mid_q6(sum: i32) -> i32 {
    (sum + (1 << 7)) >> 8
}

/// Luma times 128.
fn cubic(frame: &Yuv<'_>, sx: f64, sy: f64) -> i16 {
    let (x, y) = ((sx - 0.5).floor(), (sy - 0.5).floor());
    let (across, down) = (cubic_q14(sx - 0.5 - x), cubic_q14(sy - 0.5 - y));
    let mut sum = 0;
    for (i, weight) in (-1..).zip(across) {
        let column = inside(x as i64 + i, frame.width);
        let sample = |k: i64| i32::from(frame.y.row(inside(y as i64 + k, frame.height))[column]);
        sum += weight * mid_q6((-1..).zip(down).map(|(k, w)| w * sample(k)).sum());
    }
    ((sum + (1 << 12)) >> 13).clamp(0, 255 * 128) as i16
}

/// A channel of colour, centred, times 256. `plane`: the rows, bytes from sample to sample, the channel's first byte.
fn linear(frame: &Yuv<'_>, (plane, step, channel): (Plane<'_>, usize, usize), sx: f64, sy: f64) -> i16 {
    let (w, h) = frame.chroma_size();
    let (cx, cy) = (sx / 2.0 - 0.5, sy / 2.0 - 0.5);
    let (x, y) = (cx.floor(), cy.floor());
    let weights = |fraction: f64| {
        let second = (fraction * f64::from(ONE_Q14)).round() as i32;
        [ONE_Q14 - second, second]
    };
    let (across, down) = (weights(cx - x), weights(cy - y));
    let mut sum = 0;
    for (i, weight) in (0..).zip(across) {
        let column = inside(x as i64 + i, w) * step + channel;
        let sample = |k: i64| i32::from(plane.row(inside(y as i64 + k, h))[column]);
        sum += weight * mid_q6((0..).zip(down).map(|(k, w)| w * sample(k)).sum());
    }
    (((sum + (1 << 11)) >> 12) - 128 * 256).clamp(-32768, 32767) as i16
}
