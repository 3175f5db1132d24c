//! A detector whose pictures lie in a card's memory: only the few candidate boxes come to the host.
//!
//! ```text
//! pool slots --copy on the card--> staging [batch, ...] --run--> output [batch, 4 + classes, anchors] --kernel--> candidates --> host: suppression
//! ```
//!
//! Everything goes through one stream. Input and output stay at their addresses, so the work of a run can be recorded as a CUDA graph. A batch of 1
//! without a graph is read where it lies.
#![allow(unsafe_code)]

use crate::card_session::{CardSession, Plan, card, driver};
use crate::nms::{RawDetection, order, suppress};
use crate::yolo::{Head, decode_candidates, decode_end_to_end};
use crate::{BoundOutput, Detector, Device, ElementType, ModelError, Options, Selection};
use gantry_cuda::{CudaError, DeviceMemory, DeviceSlice, Stream};
use gantry_kernels::{DetectorOutput, Kernels, Region};
use std::path::Path;

/// A detector that is ready to run on a card.
#[derive(Debug)]
pub struct DeviceDetector {
    session: CardSession,
    /// Opened on the CPU: what the model says about itself and how its output is to be read.
    described: Detector,
    /// Pictures of a run, one after the other; `None` where a single picture is read where it lies.
    staging: Option<DeviceMemory>,
}

impl DeviceDetector {
    /// Opens the detector on the card of `kernels`. `options.device` is [`Device::Cuda`](crate::Device::Cuda) or [`Device::Tensorrt`](crate::Device::Tensorrt).
    ///
    /// # Errors
    /// As [`Detector::open`]; [`ModelError::Device`] for another device; [`ModelError::Card`] if the card has no memory.
    pub fn open(path: &Path, options: &Options, kernels: &Kernels) -> Result<Self, ModelError> {
        // On the CPU, as a run over host memory would be what a graph records.
        let described = Detector::open(path, &CardSession::description(path, options)?)?;
        let plan = Plan::new(path, options, kernels, described.info());
        let staging = if plan.needs_input() { Some(plan.input()?) } else { None };
        let session = plan.open(staging.as_ref(), |batch| described.outputs(batch))?;
        Ok(Self { session, described, staging })
    }

    /// What the model says about itself; its device is the CPU, where it was described.
    #[must_use]
    pub fn described(&self) -> &Detector {
        &self.described
    }

    /// Where it runs.
    #[must_use]
    pub fn device(&self) -> Device {
        self.session.model.info().device
    }

    /// Pictures in one run.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.session.batch
    }

    /// The stream of all work: pictures must be complete on it, or done, before [`DeviceDetector::detect`].
    #[must_use]
    pub fn stream(&self) -> &Stream {
        self.session.queue.stream()
    }

    /// Detects in at most [`DeviceDetector::batch`] pictures, each the tensor [`Detector::picture`]; `each` gets every picture's detections, in order.
    /// The pictures are not read any more when this returns.
    ///
    /// # Errors
    /// [`ModelError::Picture`] for too many pictures or one of another length, [`ModelError::Run`], [`ModelError::Card`].
    pub fn detect(
        &mut self,
        pictures: &[DeviceSlice<'_>],
        selection: &Selection,
        mut each: impl FnMut(usize, &[RawDetection]),
    ) -> Result<(), ModelError> {
        let path = self.session.model.info().path.clone();
        let image = self.described.info().image;
        let bytes = image.len() * self.described.info().element.size();
        if pictures.is_empty() {
            return Ok(());
        }
        if pictures.len() > self.session.batch || pictures.iter().any(|picture| picture.len() != bytes) {
            let found = pictures.iter().map(|p| p.len().to_string()).collect::<Vec<_>>().join(", ");
            return Err(ModelError::Picture {
                path,
                found: format!("{found} bytes"),
                wanted: format!("at most {} of {bytes} bytes", self.session.batch),
            });
        }
        let failed = |e: CudaError| driver(&path, "a picture was not brought to its place", &e);
        let input = match &self.staging {
            Some(staging) => {
                for (i, picture) in pictures.iter().enumerate() {
                    let mut to = staging.slice_mut(i * bytes, bytes).map_err(failed)?;
                    self.session.queue.stream().copy(picture, &mut to).map_err(failed)?;
                }
                staging.slice(0, staging.len()).map_err(failed)?.address()
            }
            None => {
                self.session.queue.stream().bind_for("run", &pictures[0]).map_err(failed)?;
                pictures[0].address()
            }
        };
        // SAFETY: a whole batch in memory of the session's card, from an allocation that starts at a multiple of 256; only this stream writes it.
        let output = unsafe { self.session.run(input) }?;
        let mut found = Vec::new();
        match self.described.head() {
            Head::Yolo => {
                let least: Vec<Option<f32>> = selection.wanted.iter().map(|wanted| wanted.map(|(_, least)| least)).collect();
                let region = Region { address: output.address, len: output.byte_len() as u64 };
                let shape = shape_of(&output);
                // SAFETY: the output lives as long as `bound` and was written by a run that is done.
                let all = unsafe { self.session.queue.candidates(region, &shape, pictures.len(), &least) };
                for (index, candidates) in all.map_err(|e| card(&path, &e))?.iter().enumerate() {
                    found.clear();
                    decode_candidates(candidates, &selection.wanted, &mut found);
                    suppress(&mut found, selection.nms_iou, selection.max_detections);
                    each(index, &found);
                }
            }
            // `[N, max_det, 6]` is a few kilobytes.
            Head::EndToEnd => {
                let numbers = self.session.fetch(&output)?;
                for (index, one) in numbers.chunks_exact(numbers.len() / self.session.batch).take(pictures.len()).enumerate() {
                    found.clear();
                    decode_end_to_end(one, &selection.wanted, &mut found);
                    found.sort_unstable_by(order);
                    found.truncate(selection.max_detections);
                    each(index, &found);
                }
            }
        }
        Ok(())
    }
}

/// `[pictures, 4 + classes, anchors]`; the head was told from it.
fn shape_of(output: &BoundOutput) -> DetectorOutput {
    let axis = |i: usize| output.shape.get(i).copied().unwrap_or(0);
    DetectorOutput { pictures: axis(0), classes: axis(1).saturating_sub(4), anchors: axis(2), is_half: output.element == ElementType::F16 }
}
