//! A detector whose pictures lie in a card's memory: only the few candidate boxes come to the host.
//!
//! ```text
//! pool slots --copy on the card--> staging [batch, ...] --run--> output [batch, 4 + classes, anchors] --kernel--> candidates --> host: suppression
//! ```
//!
//! Everything goes through one stream. Input and output stay at their addresses, so the work of a run can be recorded as a CUDA graph. A batch of 1
//! without a graph is read where it lies.
#![allow(unsafe_code)]

use crate::nms::{RawDetection, order, suppress};
use crate::provider::OnCard;
use crate::yolo::{Head, decode_candidates, decode_end_to_end};
use crate::{Bound, BoundOutput, Detector, Device, ElementType, Model, ModelError, Options, Selection};
use gantry_cuda::{CudaError, DeviceMemory, DeviceSlice, Stream};
use gantry_kernels::{DetectorOutput, KernelError, Kernels, Queue, Region};
use half::f16;
use std::path::Path;

/// A detector that is ready to run on a card.
#[derive(Debug)]
pub struct DeviceDetector {
    // The order is the order of dropping: outputs, session, then the stream that the session works on.
    bound: Bound,
    model: Model,
    /// Opened on the CPU: what the model says about itself and how its output is to be read.
    described: Detector,
    output: usize,
    batch: usize,
    /// Pictures of a run, one after the other; `None` where a single picture is read where it lies.
    staging: Option<DeviceMemory>,
    queue: Queue,
}

impl DeviceDetector {
    /// Opens the detector on the card of `kernels`. `options.device` is [`Device::Cuda`] or [`Device::Tensorrt`].
    ///
    /// # Errors
    /// As [`Detector::open`]; [`ModelError::Device`] for another device; [`ModelError::Card`] if the card has no memory.
    pub fn open(path: &Path, options: &Options, kernels: &Kernels) -> Result<Self, ModelError> {
        if !matches!(options.device, Device::Cuda | Device::Tensorrt) {
            let reason = "pictures in a card's memory need `cuda` or `tensorrt`".to_owned();
            return Err(ModelError::Device { path: path.to_owned(), device: options.device, reason });
        }
        // On the CPU, as a run over host memory would be what a graph records.
        let described = Detector::open(path, &Options { device: Device::Cpu, ..options.clone() })?;
        let image = described.info().image;
        let batch = image.batch.unwrap_or_else(|| options.gpu_batch.max(1));
        let queue = Queue::new(kernels).map_err(|e| card(path, &e))?;
        let options = Options { gpu: kernels.context().device().index(), ..options.clone() };
        let name = described.info().input.name.clone();
        let shape = image.batch.is_none().then(|| (name.as_str(), image.dims(batch)));
        let on_card = OnCard { stream: Some(queue.stream().address()), graph: options.cuda_graph };
        let (model, is_graph) = Model::open_on_card(path, &options, on_card, shape)?;
        let (output, shapes) = described.outputs(batch);
        let bound = model.bind(batch, &shapes)?;
        let bytes = batch * image.len() * described.info().element.size();
        let staging = if batch > 1 || is_graph {
            Some(DeviceMemory::create_private(kernels.context(), bytes).map_err(|e| driver(path, "no memory for a batch", &e))?)
        } else {
            None
        };
        Ok(Self { bound, model, described, output, batch, staging, queue })
    }

    /// What the model says about itself; its device is the CPU, where it was described.
    #[must_use]
    pub fn described(&self) -> &Detector {
        &self.described
    }

    /// Where it runs.
    #[must_use]
    pub fn device(&self) -> Device {
        self.model.info().device
    }

    /// Pictures in one run.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The stream of all work: pictures must be complete on it, or done, before [`DeviceDetector::detect`].
    #[must_use]
    pub fn stream(&self) -> &Stream {
        self.queue.stream()
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
        let path = self.model.info().path.clone();
        let image = self.described.info().image;
        let bytes = image.len() * self.described.info().element.size();
        if pictures.is_empty() {
            return Ok(());
        }
        if pictures.len() > self.batch || pictures.iter().any(|picture| picture.len() != bytes) {
            let found = pictures.iter().map(|p| p.len().to_string()).collect::<Vec<_>>().join(", ");
            return Err(ModelError::Picture {
                path,
                found: format!("{found} bytes"),
                wanted: format!("at most {} of {bytes} bytes", self.batch),
            });
        }
        let failed = |e: CudaError| driver(&path, "a picture was not brought to its place", &e);
        let input = match &self.staging {
            Some(staging) => {
                for (i, picture) in pictures.iter().enumerate() {
                    let mut to = staging.slice_mut(i * bytes, bytes).map_err(failed)?;
                    self.queue.stream().copy(picture, &mut to).map_err(failed)?;
                }
                staging.slice(0, staging.len()).map_err(failed)?.address()
            }
            None => {
                self.queue.stream().bind_for("run", &pictures[0]).map_err(failed)?;
                pictures[0].address()
            }
        };
        // SAFETY: a whole batch in memory of the session's card, from an allocation that starts at a multiple of 256; only this stream writes it.
        unsafe { self.model.run_bound(&self.bound, input) }?;
        let output = self.bound.outputs()[self.output].clone();
        let mut found = Vec::new();
        match self.described.head() {
            Head::Yolo => {
                let least: Vec<Option<f32>> = selection.wanted.iter().map(|wanted| wanted.map(|(_, least)| least)).collect();
                let region = Region { address: output.address, len: output.byte_len() as u64 };
                let shape = shape_of(&output);
                // SAFETY: the output lives as long as `bound` and was written by a run that is done.
                let all = unsafe { self.queue.candidates(region, &shape, pictures.len(), &least) };
                for (index, candidates) in all.map_err(|e| card(&path, &e))?.iter().enumerate() {
                    found.clear();
                    decode_candidates(candidates, &selection.wanted, &mut found);
                    suppress(&mut found, selection.nms_iou, selection.max_detections);
                    each(index, &found);
                }
            }
            // `[N, max_det, 6]` is a few kilobytes.
            Head::EndToEnd => {
                let numbers = self.fetch(&output)?;
                for (index, one) in numbers.chunks_exact(numbers.len() / self.batch).take(pictures.len()).enumerate() {
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

    /// An output on the host.
    fn fetch(&self, output: &BoundOutput) -> Result<Vec<f32>, ModelError> {
        // SAFETY: the output lives as long as `bound` and was written by a run that is done.
        unsafe { fetch(self.queue.stream(), output) }.map_err(|e| driver(&self.model.info().path, "the output was not fetched", &e))
    }
}

/// An output's numbers, half precision widened, on the host; waits for the stream.
///
/// # Safety
/// The output lies in memory of the stream's card that lives until this returns.
pub(crate) unsafe fn fetch(stream: &Stream, output: &BoundOutput) -> Result<Vec<f32>, CudaError> {
    let _results = gantry_copies::results();
    let mut bytes = vec![0; output.byte_len()];
    // SAFETY: the caller's promise; the output has as many bytes.
    unsafe { stream.download_from(output.address, &mut bytes) }?;
    Ok(match output.element {
        ElementType::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    })
}

/// `[pictures, 4 + classes, anchors]`; the head was told from it.
fn shape_of(output: &BoundOutput) -> DetectorOutput {
    let axis = |i: usize| output.shape.get(i).copied().unwrap_or(0);
    DetectorOutput { pictures: axis(0), classes: axis(1).saturating_sub(4), anchors: axis(2), is_half: output.element == ElementType::F16 }
}

pub(crate) fn card(path: &Path, error: &KernelError) -> ModelError {
    let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
    ModelError::Card { path: path.to_owned(), reason: format!("{error}{why}"), hint: error.hint() }
}

pub(crate) fn driver(path: &Path, what: &str, error: &CudaError) -> ModelError {
    ModelError::Card { path: path.to_owned(), reason: format!("{what}: {error}"), hint: error.hint() }
}
