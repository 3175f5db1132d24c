//! The slope of the lines of a plate.

use crate::Gray;

/// Steepest slope looked for: 14 degrees.
const MAX_SLOPE: f32 = 0.25;

/// What [`estimate_slant`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slant {
    /// Pixels down per pixel to the right.
    pub slope: f32,
    /// How much better the edges line up at `slope` than level: 1.0 means no better. 1.3 is a clear case.
    pub gain: f32,
}

/// Scratch of [`estimate_slant`].
#[derive(Clone, Debug, Default)]
pub struct SlantScratch {
    gradient: Vec<i16>,
    bins: Vec<i32>,
}

/// Finds the slope at which the vertical gradient, summed along lines, is most concentrated: the upper and lower edges of a
/// plate and of its text then fall into few lines. (Projection profiles as in Postl, "Detection of linear oblique structures and
/// skew scan in digitized documents", 1986, over signed gradients, so that strokes cancel and edges add up.)
///
/// `None` if the picture is smaller than 12x12, has no edges or the best slope lies at the end of the range (nothing to trust).
pub fn estimate_slant(scratch: &mut SlantScratch, picture: &Gray<'_>) -> Option<Slant> {
    let (w, h) = (picture.width, picture.height);
    if w < 12 || h < 12 {
        return None;
    }
    scratch.gradient.clear();
    for y in 1..h - 1 {
        let (above, below) = (picture.plane.row(y - 1), picture.plane.row(y + 1));
        scratch.gradient.extend(above.iter().zip(below).map(|(&a, &b)| i16::from(b) - i16::from(a)));
    }
    let reach = (MAX_SLOPE * w as f32 / 2.0).ceil() as usize + 2;
    let SlantScratch { gradient, bins } = scratch;
    let mut energy = |slope: f32| -> f64 {
        bins.clear();
        bins.resize(h + 2 * reach, 0);
        for x in 0..w {
            // Line number y - slope * (x - centre).
            let shift = reach as i64 - (slope * (x as f32 + 0.5 - w as f32 / 2.0)).round() as i64;
            let column = gradient[x..].iter().step_by(w);
            for (bin, &g) in bins[shift as usize..].iter_mut().zip(column) {
                *bin += i32::from(g);
            }
        }
        bins.iter().map(|&b| f64::from(b) * f64::from(b)).sum()
    };
    let level = energy(0.0);
    let mut best = (0.0f32, level);
    for step in -10i16..=10 {
        let slope = f32::from(step) * (MAX_SLOPE / 10.0);
        let e = energy(slope);
        if e > best.1 {
            best = (slope, e);
        }
    }
    let around = best.0;
    for step in -4i16..=4 {
        let slope = around + f32::from(step) * (MAX_SLOPE / 50.0);
        // The bins reach as far as the steepest slope does.
        if slope.abs() > MAX_SLOPE {
            continue;
        }
        let e = energy(slope);
        if e > best.1 {
            best = (slope, e);
        }
    }
    if level <= 0.0 || best.0.abs() > MAX_SLOPE * 0.95 {
        return None;
    }
    Some(Slant { slope: best.0, gain: (best.1 / level) as f32 })
}
