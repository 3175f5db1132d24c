//! Pictures as a reader's input: scaled, grey or colour, interleaved or planar.

use crate::{ImageInput, ImageOrder};
use gantry_images::{Gray, GrayScratch, PixelsError, Rgb, gray_from_rgb, resize_gray};

/// A borrowed 8-bit picture.
#[derive(Clone, Copy, Debug)]
pub enum Picture<'a> {
    /// u8 `[H, W]`.
    Gray(Gray<'a>),
    /// u8 `[H, W, 3]`.
    Rgb(Rgb<'a>),
}

impl<'a> Picture<'a> {
    /// Grey, u8 `[H, W]`, rows `stride` bytes apart.
    ///
    /// # Errors
    /// [`PixelsError`] if `data` is too short or the picture is empty.
    pub fn gray(data: &'a [u8], width: usize, height: usize, stride: usize) -> Result<Self, PixelsError> {
        Gray::new(data, width, height, stride).map(Self::Gray)
    }

    /// RGB, u8 `[H, W, 3]`, rows `stride` bytes apart.
    ///
    /// # Errors
    /// [`PixelsError`] if `data` is too short or the picture is empty.
    pub fn rgb(data: &'a [u8], width: usize, height: usize, stride: usize) -> Result<Self, PixelsError> {
        Rgb::new(data, width, height, stride).map(Self::Rgb)
    }

    fn size(&self) -> (usize, usize) {
        match self {
            Self::Gray(gray) => (gray.width, gray.height),
            Self::Rgb(rgb) => (rgb.width, rgb.height),
        }
    }
}

/// How a reader wants its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    pub keep_aspect: bool,
    pub bgr: bool,
    pub fill: u8,
}

impl Fit {
    /// Width and height that a picture of size `from` gets in an input of size `to`.
    pub fn size(self, (from_w, from_h): (usize, usize), (w, h): (usize, usize)) -> (usize, usize) {
        if !self.keep_aspect {
            return (w, h);
        }
        let ratio = (w as f64 / from_w as f64).min(h as f64 / from_h as f64);
        let side = |from: usize, most: usize| ((from as f64 * ratio).round() as usize).clamp(1, most);
        (side(from_w, w), side(from_h, h))
    }
}

/// Memory of [`fit`], kept between pictures.
#[derive(Debug, Default)]
pub(crate) struct FitScratch {
    resize: GrayScratch,
    source: Vec<u8>,
    scaled: Vec<u8>,
}

/// Scales `picture` to the model's height and width and writes it as u8 in the model's channel count and order.
///
/// Stretched to the whole input, or with `keep_aspect` centred on grey 114. Colour becomes grey by BT.601 weights, grey becomes colour by
/// repetition. `out`: `channels * height * width` bytes.
///
/// # Panics
/// If `out` has another length.
pub fn prepare(picture: &Picture<'_>, input: &ImageInput, keep_aspect: bool, bgr: bool, out: &mut [u8]) {
    fit(picture, input, Fit { keep_aspect, bgr, fill: 114 }, &mut FitScratch::default(), out);
}

pub(crate) fn fit(picture: &Picture<'_>, input: &ImageInput, fit: Fit, scratch: &mut FitScratch, out: &mut [u8]) {
    assert_eq!(out.len(), input.len(), "one picture of the model's input");
    let (from_w, from_h) = picture.size();
    let (w, h) = fit.size((from_w, from_h), (input.width, input.height));
    if fit.keep_aspect {
        out.fill(fit.fill);
    }
    let place = Place { input, left: (input.width - w) / 2, top: (input.height - h) / 2, w };
    let FitScratch { resize, source, scaled } = scratch;
    source.resize(from_w * from_h, 0);
    scaled.resize(w * h, 0);
    match (picture, input.channels) {
        (Picture::Gray(gray), channels) => {
            resize_gray(resize, gray, w, h, scaled);
            (0..channels).for_each(|channel| place.write(scaled, channel, out));
        }
        (Picture::Rgb(rgb), 1) => {
            gray_from_rgb(rgb, source);
            scale(resize, source, (from_w, from_h), (w, h), scaled);
            place.write(scaled, 0, out);
        }
        (Picture::Rgb(rgb), channels) => {
            for channel in 0..channels {
                for (y, row) in source.chunks_exact_mut(from_w).enumerate() {
                    row.iter_mut().zip(rgb.plane.row(y).chunks_exact(3)).for_each(|(level, pixel)| *level = pixel[channel]);
                }
                scale(resize, source, (from_w, from_h), (w, h), scaled);
                place.write(scaled, if fit.bgr { channels - 1 - channel } else { channel }, out);
            }
        }
    }
}

fn scale(scratch: &mut GrayScratch, source: &[u8], (from_w, from_h): (usize, usize), (w, h): (usize, usize), out: &mut [u8]) {
    if let Ok(gray) = Gray::new(source, from_w, from_h, from_w) {
        resize_gray(scratch, &gray, w, h, out);
    }
}

/// Where a scaled plane goes in the input.
struct Place<'a> {
    input: &'a ImageInput,
    left: usize,
    top: usize,
    w: usize,
}

impl Place<'_> {
    fn write(&self, plane: &[u8], channel: usize, out: &mut [u8]) {
        let (width, height, channels) = (self.input.width, self.input.height, self.input.channels);
        for (y, row) in plane.chunks_exact(self.w).enumerate() {
            let at = (self.top + y) * width + self.left;
            match self.input.order {
                ImageOrder::Nchw => out[channel * width * height + at..][..self.w].copy_from_slice(row),
                ImageOrder::Nhwc if channels == 1 => out[at..][..self.w].copy_from_slice(row),
                ImageOrder::Nhwc => row.iter().enumerate().for_each(|(x, level)| out[(at + x) * channels + channel] = *level),
            }
        }
    }
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
        assert!(Picture::gray(&[0; 11], 4, 3, 4).is_err());
        assert!(Picture::gray(&[0; 11], 3, 3, 4).is_ok());
        assert!(Picture::rgb(&[0; 12], 0, 1, 12).is_err());
        assert!(Picture::rgb(&[0; 12], 4, usize::MAX / 8, 12).is_err());
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
