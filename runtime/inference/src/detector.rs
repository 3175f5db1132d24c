//! Detectors of vehicles and plates.

use crate::aligned::AlignedBytes;
use crate::metadata;
use crate::nms::{RawDetection, order, suppress};
use crate::yolo::{Head, YoloScratch, decode_end_to_end, decode_yolo};
use crate::{Device, ElementType, Model, ModelError, ModelInfo, Options};
use std::path::Path;

/// Which detections are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Per class of the model: group and least score, `None` to drop it.
    pub wanted: Vec<Option<(u8, f32)>>,
    /// Boxes of one group that overlap by more than this IoU are one.
    pub nms_iou: f32,
    /// Most detections per picture.
    pub max_detections: usize,
}

/// A detector that is ready to run.
#[derive(Debug)]
pub struct Detector {
    model: Model,
    classes: Vec<String>,
    head: Head,
    output: usize,
    anchors: usize,
    /// Shapes of all outputs in a run.
    shapes: Vec<Vec<usize>>,
    batch: usize,
    staging: AlignedBytes,
    scratch: YoloScratch,
    found: Vec<RawDetection>,
}

impl Detector {
    /// Loads a detector, runs it once on a black picture and tells its layout from what comes out.
    ///
    /// Class names come from the metadata `names`; without them classes are called `class_0`, `class_1`...
    ///
    /// # Errors
    /// [`ModelError`] if it does not load, does not run, or has no output in a known layout.
    pub fn open(path: &Path, options: &Options) -> Result<Self, ModelError> {
        let mut model = Model::open_for_batches(path, options)?;
        let image = model.info().image;
        let batch = match image.batch {
            Some(batch) => batch,
            None if model.info().device == Device::Cpu => 1,
            None => options.gpu_batch.max(1),
        };
        let names = match model.info().get("names") {
            Some(text) => Some(
                metadata::class_names(text)
                    .ok_or_else(|| model.info().bad_metadata("names", "class names by index, `{0: 'vehicle', 1: 'plate'}`"))?,
            ),
            None => None,
        };
        let staging = AlignedBytes::zeros(batch * image.len() * model.info().element.size());
        let count = names.as_ref().map(Vec::len);
        let shapes: Vec<Vec<usize>> = model.run(staging.bytes(), batch, |outputs| outputs.iter().map(|o| o.shape.clone()).collect())?;
        let layout = shapes.iter().enumerate().find_map(|(i, shape)| match shape[..] {
            [n, a, b] if n == batch => Head::of_shape(a, b, count).map(|head| (i, head, a, b)),
            _ => None,
        });
        let Some((output, head, a, b)) = layout else {
            let wanted = count.map_or_else(
                || "f32 [N, 4 + classes, anchors] or [N, max_det, 6]".to_owned(),
                |c| format!("f32 [{batch}, {}, anchors] for its {c} classes, or [{batch}, max_det, 6]", c + 4),
            );
            return Err(model.info().bad_output(format!("{shapes:?}"), wanted));
        };
        let (classes, anchors) = match head {
            Head::Yolo => (a - 4, b),
            Head::EndToEnd => (count.unwrap_or(80), a),
        };
        let classes = names.unwrap_or_else(|| (0..classes).map(|i| format!("class_{i}")).collect());
        let staging = if batch == 1 { AlignedBytes::default() } else { staging };
        Ok(Self { model, classes, head, output, anchors, shapes, batch, staging, scratch: YoloScratch::default(), found: Vec::new() })
    }

    /// What the model says about itself.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    /// Names of the classes, by index.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Layout of the output.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Pictures in one run, always the same number: 1 on the CPU unless the model fixes another.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Which output has the detections, and the shapes of all in runs of `pictures` pictures.
    pub(crate) fn outputs(&self, pictures: usize) -> (usize, Vec<Vec<usize>>) {
        let of_run = |shape: &Vec<usize>| {
            let mut shape = shape.clone();
            if let Some(first) = shape.first_mut().filter(|n| **n == self.batch) {
                *first = pictures;
            }
            shape
        };
        (self.output, self.shapes.iter().map(of_run).collect())
    }

    /// Type and shape of one picture as [`Detector::detect`] takes it.
    #[must_use]
    pub fn picture(&self) -> (ElementType, [usize; 4]) {
        (self.info().element, self.info().image.dims(1))
    }

    /// Detects in one picture, reading its bytes where they lie where the batch is 1. The result lives until the next call.
    ///
    /// `picture`: the tensor [`Detector::picture`]. Best detections first, boxes in pixels of the input.
    ///
    /// # Errors
    /// [`ModelError::Picture`] or [`ModelError::Run`].
    pub fn detect(&mut self, picture: &[u8], selection: &Selection) -> Result<&[RawDetection], ModelError> {
        if self.batch == 1 {
            let (head, output, anchors) = (self.head, self.output, self.anchors);
            let (scratch, found) = (&mut self.scratch, &mut self.found);
            self.model.run(picture, 1, |outputs| decode(head, anchors, &outputs[output].data, selection, scratch, found))?;
        } else {
            self.stage(0, picture)?;
            self.run_staged(1, selection, |_, _| {})?;
        }
        Ok(&self.found)
    }

    /// Copies a picture to place `index` of the next run, for batches larger than 1.
    ///
    /// # Errors
    /// [`ModelError::Picture`] if the bytes are no picture of this model.
    ///
    /// # Panics
    /// If `index` is not below [`Detector::batch`].
    pub fn stage(&mut self, index: usize, picture: &[u8]) -> Result<(), ModelError> {
        assert!(index < self.batch, "place {index} of a batch of {}", self.batch);
        let (element, dims) = self.picture();
        let bytes = dims.iter().product::<usize>() * element.size();
        if picture.len() != bytes {
            let wanted = format!("{bytes} bytes: {element} {dims:?}");
            return Err(ModelError::Picture { path: self.info().path.clone(), found: format!("{} bytes", picture.len()), wanted });
        }
        self.staging.resize(bytes * self.batch);
        gantry_copies::copy(picture, &mut self.staging.bytes_mut()[index * bytes..][..bytes]);
        Ok(())
    }

    /// Runs the pictures at the first `count` places; what stands at the others is run along and ignored, so that every run has the
    /// same shape. `each` gets every picture's detections, in order.
    ///
    /// # Errors
    /// [`ModelError::Run`].
    pub fn run_staged(
        &mut self,
        count: usize,
        selection: &Selection,
        mut each: impl FnMut(usize, &[RawDetection]),
    ) -> Result<(), ModelError> {
        let (head, output, anchors, batch) = (self.head, self.output, self.anchors, self.batch);
        let (scratch, found) = (&mut self.scratch, &mut self.found);
        self.model.run(self.staging.bytes(), batch, |outputs| {
            let data = &outputs[output].data;
            for (index, one) in data.chunks_exact(data.len() / batch).take(count).enumerate() {
                decode(head, anchors, one, selection, scratch, found);
                each(index, found);
            }
        })
    }
}

pub(crate) fn decode(
    head: Head,
    anchors: usize,
    data: &[f32],
    selection: &Selection,
    scratch: &mut YoloScratch,
    found: &mut Vec<RawDetection>,
) {
    found.clear();
    match head {
        Head::Yolo => {
            decode_yolo(data, anchors, &selection.wanted, scratch, found);
            suppress(found, selection.nms_iou, selection.max_detections);
        }
        Head::EndToEnd => {
            decode_end_to_end(data, &selection.wanted, found);
            found.sort_unstable_by(order);
            found.truncate(selection.max_detections);
        }
    }
}
