//! A model on a card with its stream and its outputs: what detector and reader share there.
#![allow(unsafe_code)]

use crate::provider::OnCard;
use crate::{Bound, BoundOutput, Device, ElementType, Model, ModelError, ModelInfo, Options};
use gantry_cuda::{CudaError, Stream};
use gantry_kernels::{KernelError, Kernels, Queue};
use half::f16;
use std::path::Path;

/// A session whose runs go through one stream and whose outputs stay at their addresses.
#[derive(Debug)]
pub(crate) struct CardSession {
    // The order is the order of dropping: outputs, session, then the stream that the session works on.
    bound: Bound,
    pub(crate) model: Model,
    /// The output that is read.
    output: usize,
    /// Pictures in one run.
    pub(crate) batch: usize,
    /// Runs are recorded as a CUDA graph, so that the input has one address.
    pub(crate) is_graph: bool,
    pub(crate) queue: Queue,
}

impl CardSession {
    /// Options to open the model with on the CPU, where it is described: a run over host memory on the card would be what a graph records.
    ///
    /// # Errors
    /// [`ModelError::Device`] if `options.device` is no card.
    pub(crate) fn description(path: &Path, options: &Options) -> Result<Options, ModelError> {
        if !matches!(options.device, Device::Cuda | Device::Tensorrt) {
            let reason = "pictures in a card's memory need `cuda` or `tensorrt`".to_owned();
            return Err(ModelError::Device { path: path.to_owned(), device: options.device, reason });
        }
        Ok(Options { device: Device::Cpu, ..options.clone() })
    }

    /// Opens the model that `described` is of on the card of `kernels`, for runs of `options.gpu_batch` pictures where it leaves that open. `outputs`: which
    /// output is read, and the shapes of all for a run of so many pictures.
    ///
    /// # Errors
    /// As [`Model::open`]; [`ModelError::Card`] if the card has no memory.
    pub(crate) fn open(
        path: &Path,
        options: &Options,
        kernels: &Kernels,
        described: &ModelInfo,
        outputs: impl FnOnce(usize) -> (usize, Vec<Vec<usize>>),
    ) -> Result<Self, ModelError> {
        let image = described.image;
        let batch = image.batch.unwrap_or_else(|| options.gpu_batch.max(1));
        let queue = Queue::new(kernels).map_err(|e| card(path, &e))?;
        let options = Options { gpu: kernels.context().device().index(), ..options.clone() };
        let shape = image.batch.is_none().then(|| (described.input.name.as_str(), image.dims(batch)));
        let on_card = OnCard { stream: Some(queue.stream().address()), graph: options.cuda_graph };
        let (model, is_graph) = Model::open_on_card(path, &options, on_card, shape)?;
        let (output, shapes) = outputs(batch);
        let bound = model.bind(batch, &shapes)?;
        Ok(Self { bound, model, output, batch, is_graph, queue })
    }

    /// Runs the model over a batch of pictures and returns the output that is read, which stays on the card.
    ///
    /// # Errors
    /// [`ModelError::Run`].
    ///
    /// # Safety
    /// At `input` a whole batch lies in memory of the session's card, aligned to 256, and nothing but the session's stream writes it.
    pub(crate) unsafe fn run(&mut self, input: u64) -> Result<BoundOutput, ModelError> {
        // SAFETY: the caller's promise.
        unsafe { self.model.run_bound(&self.bound, input) }?;
        Ok(self.bound.outputs()[self.output].clone())
    }

    /// An output of the last run on the host.
    ///
    /// # Errors
    /// [`ModelError::Card`].
    pub(crate) fn fetch(&self, output: &BoundOutput) -> Result<Vec<f32>, ModelError> {
        // SAFETY: the output lives as long as `bound` and was written by a run that is done.
        unsafe { fetch(self.queue.stream(), output) }.map_err(|e| driver(&self.model.info().path, "the output was not fetched", &e))
    }
}

/// An output's numbers, half precision widened, on the host; waits for the stream.
///
/// # Safety
/// The output lies in memory of the stream's card that lives until this returns.
unsafe fn fetch(stream: &Stream, output: &BoundOutput) -> Result<Vec<f32>, CudaError> {
    let _results = gantry_copies::results();
    let mut bytes = vec![0; output.byte_len()];
    // SAFETY: the caller's promise; the output has as many bytes.
    unsafe { stream.download_from(output.address, &mut bytes) }?;
    Ok(match output.element {
        ElementType::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    })
}

pub(crate) fn card(path: &Path, error: &KernelError) -> ModelError {
    let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
    ModelError::Card { path: path.to_owned(), reason: format!("{error}{why}"), hint: error.hint() }
}

pub(crate) fn driver(path: &Path, what: &str, error: &CudaError) -> ModelError {
    ModelError::Card { path: path.to_owned(), reason: format!("{what}: {error}"), hint: error.hint() }
}
