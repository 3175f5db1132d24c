//! Fitting a picture into a model's input.

/// Grey of the border, as in the training of YOLO models (Ultralytics `LetterBox`, `padding_value=114`) and of our detector.
pub const PAD_GREY: u8 = 114;

/// `source_from_image`: x in the source = x here * `scale_x` + `offset_x`, likewise y.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// Source pixels per pixel here.
    pub scale_x: f32,
    /// Source pixels per pixel here.
    pub scale_y: f32,
    /// Source x of this picture's left edge.
    pub offset_x: f32,
    /// Source y of this picture's top edge.
    pub offset_y: f32,
}

impl Transform {
    /// Leaves points where they are.
    pub const IDENTITY: Self = Self { scale_x: 1.0, scale_y: 1.0, offset_x: 0.0, offset_y: 0.0 };

    /// Point here to point in the source.
    #[must_use]
    pub fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (x * self.scale_x + self.offset_x, y * self.scale_y + self.offset_y)
    }

    /// Point in the source to point here.
    #[must_use]
    pub fn invert(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - self.offset_x) / self.scale_x, (y - self.offset_y) / self.scale_y)
    }

    /// First `inner`, then `self`: `source_from_middle.after(middle_from_image)`.
    #[must_use]
    pub fn after(&self, inner: &Self) -> Self {
        Self {
            scale_x: self.scale_x * inner.scale_x,
            scale_y: self.scale_y * inner.scale_y,
            offset_x: self.scale_x * inner.offset_x + self.offset_x,
            offset_y: self.scale_y * inner.offset_y + self.offset_y,
        }
    }
}

/// Where a picture lies in an input of another shape: scaled by one factor, centred, the rest grey.
///
/// 1920x1080 into 960x544 becomes 960x540 with 2 px above and below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letterbox {
    /// Width of the input in px.
    pub width: usize,
    /// Height of the input in px.
    pub height: usize,
    /// Left border in px.
    pub left: usize,
    /// Upper border in px.
    pub top: usize,
    /// Width of the picture in the input.
    pub inner_width: usize,
    /// Height of the picture in the input.
    pub inner_height: usize,
    /// Width of the picture itself.
    pub source_width: usize,
    /// Height of the picture itself.
    pub source_height: usize,
}

impl Letterbox {
    /// Fits `source_width` x `source_height` into `width` x `height`; sizes of 0 are taken as 1. Rounds as Ultralytics does:
    /// inner size to the nearest, the odd border pixel right and below.
    #[must_use]
    pub fn fit(source_width: usize, source_height: usize, width: usize, height: usize) -> Self {
        let (sw, sh, w, h) = (source_width.max(1), source_height.max(1), width.max(1), height.max(1));
        let scale = (w as f64 / sw as f64).min(h as f64 / sh as f64);
        let inner_width = ((sw as f64 * scale).round() as usize).clamp(1, w);
        let inner_height = ((sh as f64 * scale).round() as usize).clamp(1, h);
        let (left, top) = ((w - inner_width) / 2, (h - inner_height) / 2);
        Self { width: w, height: h, left, top, inner_width, inner_height, source_width: sw, source_height: sh }
    }

    /// Input pixels to source pixels.
    #[must_use]
    pub fn source_from_input(&self) -> Transform {
        let scale_x = self.source_width as f64 / self.inner_width as f64;
        let scale_y = self.source_height as f64 / self.inner_height as f64;
        Transform {
            scale_x: scale_x as f32,
            scale_y: scale_y as f32,
            offset_x: (-(self.left as f64) * scale_x) as f32,
            offset_y: (-(self.top as f64) * scale_y) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn full_hd_into_960x544_has_two_grey_rows_above_and_below() {
        let b = Letterbox::fit(1920, 1080, 960, 544);
        assert_eq!((b.inner_width, b.inner_height, b.left, b.top), (960, 540, 0, 2));
        assert_eq!(b.source_from_input(), Transform { scale_x: 2.0, scale_y: 2.0, offset_x: 0.0, offset_y: -4.0 });
    }

    proptest! {
        #[test]
        fn letterbox_then_inverse_is_within_half_a_pixel(sw in 1usize..5000, sh in 1usize..5000, w in 1usize..2000, h in 1usize..2000, fx in 0.0f32..1.0, fy in 0.0f32..1.0) {
            let b = Letterbox::fit(sw, sh, w, h);
            prop_assert!(b.inner_width == w || b.inner_height == h);
            prop_assert!(b.left + b.inner_width <= w && b.top + b.inner_height <= h);
            let t = b.source_from_input();
            let (x, y) = (fx * sw as f32, fy * sh as f32);
            let (ix, iy) = t.invert(x, y);
            prop_assert!(ix >= b.left as f32 - 0.01 && ix <= (b.left + b.inner_width) as f32 + 0.01);
            prop_assert!(iy >= b.top as f32 - 0.01 && iy <= (b.top + b.inner_height) as f32 + 0.01);
            let (bx, by) = t.apply(ix, iy);
            prop_assert!((bx - x).abs() < 0.5 && (by - y).abs() < 0.5);
        }
    }
}
