//! What is cut and how large it becomes: pure.

use gantry_images::Window;
use gantry_messages::BoxXyxy;

/// Widest crop in heights; a longer box is squeezed. Two plates side by side are below 10, but a plate is below 6.
pub const MAX_ASPECT: usize = 6;

/// Sizes: parameters of the node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Part added on each side.
    pub margin: f64,
    /// Lower crops are scaled up.
    pub min_height_px: usize,
    /// Height of those.
    pub target_height_px: usize,
    /// Higher crops are scaled down.
    pub max_height_px: usize,
}

/// The plate with its margin.
#[must_use]
pub fn window(plate: &BoxXyxy, margin: f64) -> Window {
    let (w, h) = (f64::from(plate.width()), f64::from(plate.height()));
    Window {
        x: f64::from(plate.x0) - margin * w,
        y: f64::from(plate.y0) - margin * h,
        width: w * (1.0 + 2.0 * margin),
        height: h * (1.0 + 2.0 * margin),
    }
}

/// The window around a plate whose lines have this slope. The box of a slanted plate is higher than the plate by what the slope
/// makes over its width; most of that goes (not all: the slope is an estimate).
#[must_use]
pub fn levelled(window: &Window, slope: f64) -> Window {
    let spare = (0.8 * slope.abs() * window.width).min(0.4 * window.height);
    Window { y: window.y + spare / 2.0, height: window.height - spare, ..*window }
}

/// Width and height of the crop in px. A window of 160x36 becomes 356x80, one of 300x70 stays, one of 900x220 becomes 655x160.
#[must_use]
pub fn target(window: &Window, sizes: &Sizes) -> (usize, usize) {
    let native = window.height.round().max(1.0) as usize;
    let height = if native < sizes.min_height_px { sizes.target_height_px } else { native }.min(sizes.max_height_px).max(1);
    let width = (window.width * height as f64 / window.height).round() as usize;
    (width.clamp(8, MAX_ASPECT * height.max(2)), height)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { margin: 0.1, min_height_px: 64, target_height_px: 80, max_height_px: 160 };

    #[test]
    fn low_crops_grow_to_80_high_ones_shrink_to_160_and_the_rest_keeps_its_pixels() {
        let at = |width: f64, height: f64| target(&Window { x: 0.0, y: 0.0, width, height }, &SIZES);
        assert_eq!(at(160.0, 36.0), (356, 80));
        assert_eq!(at(300.0, 63.4), (379, 80));
        assert_eq!(at(300.0, 64.0), (300, 64));
        assert_eq!(at(300.0, 70.0), (300, 70));
        assert_eq!(at(900.0, 220.0), (655, 160));
        assert_eq!(at(900.0, 20.0), (480, 80));
        assert_eq!(at(2.0, 20.0), (8, 80));
    }

    #[test]
    fn the_margin_goes_on_each_side_and_levelling_keeps_the_middle() {
        let w = window(&BoxXyxy::new(100.0, 50.0, 200.0, 80.0), 0.1);
        assert_eq!(w, Window { x: 90.0, y: 47.0, width: 120.0, height: 36.0 });
        let l = levelled(&w, -0.1);
        assert!((l.height - (36.0 - 9.6)).abs() < 1e-9 && (l.y + l.height / 2.0 - 65.0).abs() < 1e-9);
        assert!(levelled(&w, 0.25).height >= 0.6 * 36.0 - 1e-9);
    }
}
