//! A model on a card with its stream and its outputs: what detector and reader share there.
#![allow(unsafe_code)]

use crate::provider::OnCard;
use crate::{Bound, BoundOutput, Device, ElementType, Model, ModelError, ModelInfo, Options};
use gantry_cuda::{CudaError, DeviceMemory, Stream};
use gantry_kernels::{KernelError, Kernels, Queue};
use half::f16;
use std::fmt;
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
    pub(crate) queue: Queue,
}

/// What a session is made from.
pub(crate) struct Plan<'a> {
    path: &'a Path,
    options: Options,
    described: &'a ModelInfo,
    batch: usize,
    kernels: &'a Kernels,
}

impl<'a> Plan<'a> {
    /// For the model that `described` is of on the card of `kernels`, for runs of `options.gpu_batch` pictures where it leaves that open.
    pub(crate) fn new(path: &'a Path, options: &Options, kernels: &'a Kernels, described: &'a ModelInfo) -> Self {
        let batch = described.image.batch.unwrap_or_else(|| options.gpu_batch.max(1));
        let options = Options { gpu: kernels.context().device().index(), ..options.clone() };
        Self { path, options, described, batch, kernels }
    }

    /// Whether the pictures of a run must be brought to one place; else the single one is read where it lies.
    pub(crate) fn needs_input(&self) -> bool {
        self.batch > 1 || self.options.cuda_graph
    }

    /// Memory for the pictures of a run, black.
    ///
    /// # Errors
    /// [`ModelError::Card`] if the card has none.
    pub(crate) fn input(&self) -> Result<DeviceMemory, ModelError> {
        let bytes = self.batch * self.described.image.len() * self.described.element.size();
        let black = || {
            let stream = Stream::new(self.kernels.context())?;
            let memory = DeviceMemory::create_private(stream.context(), bytes)?;
            stream.fill(&mut memory.slice_mut(0, bytes)?, 0)?;
            stream.synchronize()?;
            Ok(memory)
        };
        black().map_err(|e| driver(self.path, "no memory for a batch", &e))
    }

    /// Opens the model and runs it once over `input`, where all its runs will find their pictures: ONNX Runtime picks its algorithms and records the CUDA
    /// graph in the first run, and what cannot be shows before there are frames. Without `input` there is no such run. `outputs`: which output is read,
    /// and the shapes of all for a run of so many pictures.
    ///
    /// # Errors
    /// As [`Model::open`]; [`ModelError::Run`] if it does not run, without a graph either.
    pub(crate) fn open(
        self,
        input: Option<&DeviceMemory>,
        outputs: impl FnOnce(usize) -> (usize, Vec<Vec<usize>>),
    ) -> Result<CardSession, ModelError> {
        let Self { path, options, described, batch, kernels } = self;
        let shape = described.image.batch.is_none().then(|| (described.input.name.as_str(), described.image.dims(batch)));
        let (output, shapes) = outputs(batch);
        let (model, bound, queue) = with_graph_or_without(options.cuda_graph && input.is_some(), |graph| {
            // A stream of its own for each attempt: recording that failed may have left it in no state to be used.
            let queue = Queue::new(kernels).map_err(|e| card(path, &e))?;
            let on_card = OnCard { stream: Some(queue.stream().address()), graph };
            let mut model = Model::open_with(path, &options, on_card, shape)?;
            let bound = model.bind(batch, &shapes)?;
            if let Some(input) = input {
                let all = input.slice(0, input.len()).map_err(|e| driver(path, "the first run", &e))?;
                // SAFETY: a whole batch in memory of the session's card, from an allocation that starts at a multiple of 256; only this stream writes it.
                unsafe { model.run_bound(&bound, all.address()) }?;
            }
            Ok::<_, ModelError>((model, bound, queue))
        })?;
        Ok(CardSession { bound, model, output, batch, queue })
    }
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

/// Opens with a recorded graph if that is asked for, and else, or where that fails, without.
fn with_graph_or_without<T, E: fmt::Display>(graph: bool, mut open: impl FnMut(bool) -> Result<T, E>) -> Result<T, E> {
    if graph {
        match open(true) {
            Ok(opened) => return Ok(opened),
            Err(error) => tracing::warn!(%error, "the model cannot be recorded as a CUDA graph, its kernels are launched one by one"),
        }
    }
    open(false)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_cannot_be_recorded_is_opened_again_without_a_graph() {
        let mut tried = Vec::new();
        let opened = with_graph_or_without(true, |graph| {
            tried.push(graph);
            if graph { Err("capture is not permitted") } else { Ok("opened") }
        });
        assert_eq!((opened, tried), (Ok("opened"), vec![true, false]));
    }

    #[test]
    fn without_a_graph_there_is_one_attempt_and_its_error_is_told() {
        let mut tried = Vec::new();
        let opened: Result<(), _> = with_graph_or_without(false, |graph| {
            tried.push(graph);
            Err("no memory")
        });
        assert_eq!((opened, tried), (Err("no memory"), vec![false]));
    }
}
