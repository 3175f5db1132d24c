//! Execution providers and their options.

use crate::{Device, Options};
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a long build says that it goes on.
const EVERY: Duration = Duration::from_secs(10);

/// What a session on a card works with, beyond the [`Options`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OnCard {
    /// CUDA's handle of the stream that all work goes to; the provider makes its own without one.
    pub stream: Option<usize>,
    /// Whether the work of a run is recorded once and replayed: all addresses and shapes must stay.
    pub graph: bool,
}

/// Name of the input and its shape in each run, where the model leaves the batch open.
pub(crate) type RunShape<'a> = Option<(&'a str, [usize; 4])>;

/// The providers of `device`, the first before the second; none for the CPU. What TensorRT leaves of a model runs on CUDA: without it ONNX Runtime would
/// take the CPU, with copies that nobody sees.
///
/// # Errors
/// The folder of engines cannot be made.
pub(crate) fn of(device: Device, options: &Options, card: OnCard, shape: RunShape<'_>) -> Result<Vec<ExecutionProviderDispatch>, String> {
    match device {
        Device::Cpu | Device::Auto => Ok(Vec::new()),
        Device::Cuda => Ok(vec![cuda(options, card).build().error_on_failure()]),
        Device::Tensorrt => {
            // A graph is recorded by the one that runs the model.
            let rest = cuda(options, OnCard { graph: false, ..card });
            Ok(vec![tensorrt(options, card, shape)?.build().error_on_failure(), rest.build().error_on_failure()])
        }
    }
}

/// TF32 is off: results must not depend on the GPU's generation more than they have to. Algorithms of convolutions are cuDNN's choice by rule and not by
/// timing them at each start, after which two starts could differ.
fn cuda(options: &Options, card: OnCard) -> ep::CUDA {
    let provider = ep::CUDA::default().with_device_id(options.gpu).with_tf32(false).with_cuda_graph(card.graph);
    let provider = provider.with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic);
    on_stream(provider, card)
}

/// The address of a stream counts only with the word that there is one: without it ONNX Runtime's provider makes a stream of its own.
fn on_stream<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, card: OnCard) -> P {
    match card.stream {
        Some(stream) => provider.with_arbitrary_config("has_user_compute_stream", "1").with_arbitrary_config("user_compute_stream", stream),
        None => provider,
    }
}

fn tensorrt(options: &Options, card: OnCard, shape: RunShape<'_>) -> Result<ep::TensorRT, String> {
    let mut provider = ep::TensorRT::default()
        .with_device_id(options.gpu)
        .with_fp16(options.fp16)
        .with_cuda_graph(card.graph)
        .with_detailed_build_log(true);
    if let Some(folder) = &options.engine_cache {
        std::fs::create_dir_all(folder).map_err(|e| format!("folder of engines `{}`: {e}", folder.display()))?;
        let folder = folder.display().to_string();
        provider = provider.with_engine_cache(true).with_engine_cache_path(&folder).with_timing_cache(true).with_timing_cache_path(&folder);
    }
    if let Some((name, dims)) = shape {
        // Every run has the same shape, so the engine is made for that one alone.
        let profile = format!("{name}:{}", dims.map(|d| d.to_string()).join("x"));
        provider = provider.with_profile_min_shapes(&profile).with_profile_opt_shapes(&profile).with_profile_max_shapes(&profile);
    }
    Ok(on_stream(provider, card))
}

/// Says every 10 s that an engine is still being built, until it is dropped; TensorRT itself is silent for minutes.
#[derive(Debug)]
pub(crate) struct Progress {
    done: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to talk, if `device` builds engines.
    pub fn of(device: Device, model: &Path) -> Self {
        if device != Device::Tensorrt {
            return Self { done: None, thread: None };
        }
        let (done, ended) = sync_channel::<()>(1);
        let model = model.display().to_string();
        let started = Instant::now();
        let talk = move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                tracing::info!(model, seconds = started.elapsed().as_secs(), "TensorRT builds the engine; it is kept for the next start");
            }
            tracing::info!(model, seconds = started.elapsed().as_secs(), "TensorRT engine is ready");
        };
        match std::thread::Builder::new().name("engine progress".to_owned()).spawn(talk) {
            Ok(thread) => Self { done: Some(done), thread: Some(thread) },
            Err(error) => {
                tracing::warn!(%error, "the building of the engine goes on in silence");
                Self { done: None, thread: None }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // The thread ends when its channel does.
        self.done = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that tells of the engine's building panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_needs_no_provider_and_a_folder_that_cannot_be_is_named() {
        let card = OnCard { stream: Some(4096), graph: true };
        assert!(of(Device::Cpu, &Options::default(), card, None).is_ok_and(|all| all.is_empty()));
        assert!(of(Device::Cuda, &Options::default(), card, None).is_ok_and(|all| all.len() == 1));
        let options = Options { engine_cache: Some("/dev/null/engines".into()), ..Options::default() };
        let Err(error) = of(Device::Tensorrt, &options, card, Some(("images", [8, 3, 544, 960]))) else {
            panic!("a folder below a device")
        };
        assert!(error.contains("/dev/null/engines"), "{error}");
    }

    #[test]
    fn progress_ends_with_what_it_tells_of() {
        let started = Instant::now();
        drop(Progress::of(Device::Tensorrt, Path::new("a model")));
        drop(Progress::of(Device::Cpu, Path::new("a model")));
        assert!(started.elapsed() < EVERY);
    }
}
