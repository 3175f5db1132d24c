//! One plate from frame to slot.

use crate::geometry::{Sizes, levelled, target, window};
use gantry_frames::{ImageLayout, Layout};
use gantry_images::{
    Cutter, Gray, LegibilityScratch, Rgb, Shear, SlantScratch, Yuv, encode_jpeg, estimate_slant, gray_from_rgb, legibility,
};
use gantry_messages::BoxXyxy;
use gantry_node::Fault;

/// Height of the picture that the slope is estimated from, in px.
const SLANT_HEIGHT: usize = 48;
/// Below this slope (1.4 degrees) levelling changes nothing that matters.
const MIN_SLOPE: f64 = 0.025;
/// The edges must line up this much better than level ones; 1.0 is no better. Below, a border or a shadow could be followed.
const MIN_GAIN: f32 = 1.3;

/// How a plate is cut; decided before the slot is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    pub(crate) window: gantry_images::Window,
    pub(crate) slope: f64,
    /// Width of the crop in px.
    pub width: usize,
    /// Height of the crop in px.
    pub height: usize,
}

impl Plan {
    /// For a plate with its margin, whose lines have that slope.
    pub(crate) fn of(cut: gantry_images::Window, slope: f64, sizes: &Sizes) -> Self {
        let cut = if slope == 0.0 { cut } else { levelled(&cut, slope) };
        let (width, height) = target(&cut, sizes);
        Self { window: cut, slope, width, height }
    }

    /// The whole of a frame, `width` px wide or as wide as it is, with even sides.
    pub(crate) fn overview(frame: &ImageLayout, width: usize) -> Self {
        let (whole_width, whole_height) = (frame.width as usize, frame.height as usize);
        let width = (width.min(whole_width) & !1).max(2);
        let height = ((whole_height * width).div_ceil(whole_width) & !1).max(2);
        let window = gantry_images::Window { x: 0.0, y: 0.0, width: whole_width as f64, height: whole_height as f64 };
        Self { window, slope: 0.0, width, height }
    }

    /// RGB in a slot.
    ///
    /// # Errors
    /// A size that no picture has.
    pub fn layout(&self) -> Result<Layout, Fault> {
        Ok(Layout::rgb8(self.width as u32, self.height as u32)?)
    }

    /// Bytes from row to row there.
    ///
    /// # Errors
    /// As [`Plan::layout`].
    pub fn stride(&self) -> Result<usize, Fault> {
        Ok(self.layout()?.as_image().map_or(0, |image| image.planes()[0].stride as usize))
    }
}

/// Width and height of the picture that the slope of a window is estimated from, in px.
pub(crate) fn slant_size(cut: &gantry_images::Window) -> (usize, usize) {
    let height = SLANT_HEIGHT.min(cut.height.round() as usize).max(1);
    (((cut.width * height as f64 / cut.height).round() as usize).clamp(1, 8 * height), height)
}

/// A slope, or 0 where it is too small to matter or the lines do not bear it out.
pub(crate) fn trusted(slope: f32, gain: f32) -> f64 {
    if gain >= MIN_GAIN && f64::from(slope.abs()) >= MIN_SLOPE { f64::from(slope) } else { 0.0 }
}

/// Scratch of all steps.
#[derive(Debug, Default)]
pub struct Cutting {
    cutter: Cutter,
    slant: SlantScratch,
    legibility: LegibilityScratch,
    grey: Vec<u8>,
    whole: Vec<u8>,
}

impl Cutting {
    /// Looks at the plate and decides what to cut. `plate` is in pixels of `frame`.
    pub fn plan(&mut self, frame: &Yuv<'_>, plate: &BoxXyxy, sizes: &Sizes, rectify: bool) -> Plan {
        let cut = window(plate, sizes.margin);
        let slope = if rectify { self.slope(frame, &cut) } else { 0.0 };
        Plan::of(cut, slope, sizes)
    }

    fn slope(&mut self, frame: &Yuv<'_>, cut: &gantry_images::Window) -> f64 {
        let (width, height) = slant_size(cut);
        self.grey.resize(width * height, 0);
        self.cutter.luma(frame, cut, width, height, &mut self.grey);
        let Ok(picture) = Gray::new(&self.grey, width, height, width) else { return 0.0 };
        estimate_slant(&mut self.slant, &picture).map_or(0.0, |s| trusted(s.slope, s.gain))
    }

    /// Cuts into `out`, RGB rows `stride` bytes apart; returns the legibility.
    ///
    /// # Errors
    /// If `out` is too short.
    pub fn cut(&mut self, frame: &Yuv<'_>, plan: &Plan, out: &mut [u8], stride: usize) -> Result<f32, Fault> {
        if out.len() < stride * plan.height {
            return Err(Fault::new(format!("a slot of {} bytes is too short for a crop of {}x{}", out.len(), plan.width, plan.height)));
        }
        self.cutter.rgb(frame, &plan.window, Shear(plan.slope), plan.width, plan.height, out, stride);
        self.grey.resize(plan.width * plan.height, 0);
        gray_from_rgb(&Rgb::new(out, plan.width, plan.height, stride)?, &mut self.grey);
        Ok(legibility(&mut self.legibility, &Gray::new(&self.grey, plan.width, plan.height, plan.width)?))
    }

    /// JPEG of a whole frame.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn overview(&mut self, frame: &Yuv<'_>, plan: &Plan, quality: u8) -> Result<Vec<u8>, Fault> {
        let stride = plan.stride()?;
        self.whole.resize(stride * plan.height, 0);
        self.cutter.rgb(frame, &plan.window, Shear(0.0), plan.width, plan.height, &mut self.whole, stride);
        self.evidence(plan, &self.whole, stride, quality)
    }

    /// JPEG of a crop that was cut.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn evidence(&self, plan: &Plan, pixels: &[u8], stride: usize, quality: u8) -> Result<Vec<u8>, Fault> {
        Ok(encode_jpeg(&Rgb::new(pixels, plan.width, plan.height, stride)?, quality)?)
    }
}
