//! Where and how a model runs.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The processor that a model runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Device {
    /// CUDA where the library and a GPU are there, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA, or an error: never the CPU instead.
    Cuda,
    /// TensorRT with FP16, or an error: never the CPU instead. What of a model TensorRT does not take runs on CUDA.
    Tensorrt,
}

impl Device {
    /// The word used in parameters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no [`Device`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no device, wanted auto, cpu, cuda or tensorrt")]
pub struct UnknownDevice(String);

impl FromStr for Device {
    type Err = UnknownDevice;
    fn from_str(s: &str) -> Result<Self, UnknownDevice> {
        [Self::Auto, Self::Cpu, Self::Cuda, Self::Tensorrt].into_iter().find(|d| d.name() == s).ok_or_else(|| UnknownDevice(s.into()))
    }
}

/// How a model is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where it runs.
    pub device: Device,
    /// Threads inside one run, the caller's included. The shipped models give the same bits with 1, 2 and 4, on one core and two
    /// (tests/shipped.rs).
    pub threads: usize,
    /// Index of the GPU.
    pub gpu: i32,
    /// TensorRT: half precision where it is faster; results differ from single precision in the third digit.
    pub fp16: bool,
    /// TensorRT: folder where engines and measured timings are kept, so that the next start takes seconds and not minutes. ONNX Runtime names
    /// the files by model, architecture and shape. `None` builds at each start.
    pub engine_cache: Option<PathBuf>,
    /// On device memory: the work of a run is recorded once and replayed, which saves the launches of its kernels one by one.
    pub cuda_graph: bool,
    /// Frames in one run on a GPU where the model's batch is open. On the CPU each picture is a run of its own: batching gains
    /// nothing there.
    pub gpu_batch: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { device: Device::Auto, threads: 1, gpu: 0, fp16: true, engine_cache: None, cuda_graph: true, gpu_batch: 8 }
    }
}

/// The folder of engines where nothing else is said: `gantry/engines` in `XDG_CACHE_HOME` or `~/.cache`; `None` without a home.
#[must_use]
pub fn default_engine_cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("gantry/engines"))
}
