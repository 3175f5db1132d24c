//! Looking at parts of a picture.

use crate::aligned::AlignedBytes;
use crate::detector::decode;
use crate::yolo::{Head, YoloScratch};
use crate::{Detector, Device, ElementType, ImageOrder, Model, ModelError, Options, RawDetection, Selection};
use gantry_messages::BoxXyxy;
use std::path::Path;

/// Sides of pictures are multiples of this where the metadata say nothing (`stride`), in px.
const STRIDE: usize = 32;

/// A part of a picture, in px of the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

impl Window {
    /// The smallest window of whole steps around a box that lies in the picture; `None` if no part of the box does.
    #[must_use]
    pub fn around(area: &BoxXyxy, step: usize, (width, height): (usize, usize)) -> Option<Self> {
        let inside = area.clipped(width as f32, height as f32);
        if inside.area() <= 0.0 {
            return None;
        }
        let first = |at: f32| at as usize / step * step;
        let end = |at: f32, most: usize| (at.ceil() as usize).next_multiple_of(step).min(most);
        let (x, y) = (first(inside.x0), first(inside.y0));
        Some(Self { x, y, width: end(inside.x1, width) - x, height: end(inside.y1, height) - y })
    }

    /// In px.
    #[must_use]
    pub fn area(&self) -> usize {
        self.width * self.height
    }

    /// The smallest window with both in it.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let lower = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: lower - y }
    }
}

/// A detector's model for parts of its pictures: each run is as large as the part, and costs as much.
#[derive(Debug)]
pub struct Windows {
    model: Model,
    head: Head,
    output: usize,
    step: usize,
    bytes: AlignedBytes,
    scratch: YoloScratch,
    found: Vec<RawDetection>,
}

impl Windows {
    /// Opens the model of `detector` for parts of pictures and runs it once. `None` where it takes pictures of one size only, runs on a card, or does not take planes of bytes.
    ///
    /// # Errors
    /// As [`Detector::open`].
    pub fn open(path: &Path, detector: &Detector, options: &Options) -> Result<Option<Self>, ModelError> {
        let (info, whole) = (detector.info(), detector.info().image);
        let is_planes = info.element == ElementType::U8 && whole.order == ImageOrder::Nchw;
        if whole.fixed_size || whole.batch.is_some_and(|batch| batch != 1) || info.device != Device::Cpu || !is_planes {
            return Ok(None);
        }
        let step = info.get("stride").and_then(|text| text.trim().parse().ok()).filter(|step| *step > 0).unwrap_or(STRIDE);
        if !whole.width.is_multiple_of(step) || !whole.height.is_multiple_of(step) {
            return Ok(None);
        }
        let model = Model::open_for_any_size(path, &Options { device: Device::Cpu, ..options.clone() })?;
        let (head, (output, _)) = (detector.head(), detector.outputs(1));
        let mut windows =
            Self { model, head, output, step, bytes: AlignedBytes::default(), scratch: YoloScratch::default(), found: Vec::new() };
        // Names are told by the metadata, so that any selection of as many classes shows whether it runs.
        let nothing = Selection { wanted: vec![None; detector.classes().len()], nms_iou: 1.0, max_detections: 1 };
        let smallest = Window { x: 0, y: 0, width: step.min(whole.width), height: step.min(whole.height) };
        windows.detect(&vec![0; whole.len()], smallest, &nothing)?;
        Ok(Some(windows))
    }

    /// Windows begin and end at multiples of this, in px.
    #[must_use]
    pub fn step(&self) -> usize {
        self.step
    }

    /// Width and height of whole pictures in px.
    #[must_use]
    pub fn picture_px(&self) -> (usize, usize) {
        (self.model.info().image.width, self.model.info().image.height)
    }

    /// Detects in one part of a picture. The result lives until the next call.
    ///
    /// `picture`: the whole tensor u8 `[1, 3, H, W]` as [`Detector::detect`] takes it. Boxes are in pixels of the whole picture, best first.
    ///
    /// # Errors
    /// [`ModelError::Picture`] for a window that does not lie in the picture, begins or ends between steps, or a picture of another size; [`ModelError::Run`].
    pub fn detect(&mut self, picture: &[u8], window: Window, selection: &Selection) -> Result<&[RawDetection], ModelError> {
        let whole = self.model.info().image;
        let is_step = |at: usize| at.is_multiple_of(self.step);
        let fits = window.x + window.width <= whole.width && window.y + window.height <= whole.height && window.area() > 0;
        if picture.len() != whole.len() || !fits || ![window.x, window.y, window.width, window.height].into_iter().all(is_step) {
            let wanted = format!("a part of u8 {:?} in steps of {} px", whole.dims(1), self.step);
            let found = format!("{window:?} of {} bytes", picture.len());
            return Err(ModelError::Picture { path: self.model.info().path.clone(), found, wanted });
        }
        self.bytes.resize(whole.channels * window.area());
        let planes = picture.chunks_exact(whole.width * whole.height).zip(self.bytes.bytes_mut().chunks_exact_mut(window.area()));
        for (plane, part) in planes {
            let rows = plane.chunks_exact(whole.width).skip(window.y);
            for (row, part) in rows.zip(part.chunks_exact_mut(window.width)) {
                part.copy_from_slice(&row[window.x..][..window.width]);
            }
        }
        gantry_copies::note(gantry_copies::Way::OnHost, self.bytes.bytes().len());
        let dims = [1, whole.channels, window.height, window.width];
        let (head, output, scratch, found) = (self.head, self.output, &mut self.scratch, &mut self.found);
        self.model.run_shaped(self.bytes.bytes(), dims, |outputs| {
            let anchors = match (head, &outputs[output].shape[..]) {
                (Head::Yolo, [_, _, anchors]) => *anchors,
                (_, shape) => shape.get(1).copied().unwrap_or(0),
            };
            decode(head, anchors, &outputs[output].data, selection, scratch, found);
        })?;
        for one in &mut self.found {
            let b = one.bbox_in_input;
            let (x, y) = (window.x as f32, window.y as f32);
            one.bbox_in_input = BoxXyxy::new(b.x0 + x, b.y0 + y, b.x1 + x, b.y1 + y);
        }
        Ok(&self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_the_box_in_whole_steps_and_lies_in_the_picture() {
        let around = |b: [f32; 4]| Window::around(&BoxXyxy::new(b[0], b[1], b[2], b[3]), 32, (960, 544));
        assert_eq!(around([40.0, 70.0, 90.0, 95.0]), Some(Window { x: 32, y: 64, width: 64, height: 32 }));
        assert_eq!(around([-20.0, 500.0, 32.0, 700.0]), Some(Window { x: 0, y: 480, width: 32, height: 64 }));
        assert_eq!(around([950.0, 10.0, 990.0, 20.0]), Some(Window { x: 928, y: 0, width: 32, height: 32 }));
        assert_eq!(around([970.0, 10.0, 990.0, 20.0]), None);
    }

    #[test]
    fn joined_windows_have_both_in_them() {
        let (a, b) = (Window { x: 32, y: 64, width: 64, height: 32 }, Window { x: 0, y: 96, width: 64, height: 64 });
        assert_eq!(a.joined(&b), Window { x: 0, y: 64, width: 96, height: 96 });
        assert_eq!((a.area(), a.joined(&b).area()), (2048, 9216));
    }
}
