//! What of a GPU this machine can use: each thing by a real attempt, and the command that would bring what is missing.

use super::{Finding, absent, found};
use gantry_cuda::{Compiler, Context};
use gantry_inference::{Device, LibraryError, library};
use gantry_kernels::LoadOptions;
use std::path::Path;

const NEEDED_BY: &str = "without it everything runs on the CPU";

/// All findings about GPUs.
pub fn findings() -> Vec<Finding> {
    let (cuda, device) = cuda();
    let mut all = vec![driver(), cuda];
    all.extend(device.map(|device| shared(&device)));
    all.extend([nvdec(), nvrtc(), provider(Device::Cuda, library::has_cuda()), provider(Device::Tensorrt, library::has_tensorrt())]);
    all
}

fn driver() -> Finding {
    let version = std::fs::read_to_string("/proc/driver/nvidia/version").ok().and_then(|t| t.lines().next().map(str::to_owned));
    match version {
        Some(version) => found("NVIDIA driver", version),
        None => absent(
            "NVIDIA driver",
            format!("no kernel module: {NEEDED_BY}"),
            "apt-get install nvidia-driver (release 525 or newer), then restart",
        ),
    }
}

/// The card that nodes would take, and whether libcuda gives it.
fn cuda() -> (Finding, Option<gantry_cuda::Device>) {
    let devices = match gantry_cuda::Device::all() {
        Ok(devices) => devices,
        Err(error) => return (absent("CUDA", error.to_string(), error.hint()), None),
    };
    let describe = |device: &gantry_cuda::Device| {
        let (major, minor) = device.compute_capability()?;
        let (free, all) = Context::primary(*device)?.memory_info()?;
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        Ok(format!("{} sm_{major}{minor}, {:.1} GiB free of {:.1}, {}", device.name()?, gib(free), gib(all), device.uuid()))
    };
    let described: Result<Vec<String>, gantry_cuda::CudaError> = devices.iter().map(describe).collect();
    match described {
        Ok(all) => (found("CUDA", all.join("; ")), devices.first().copied()),
        Err(error) => (absent("CUDA", error.to_string(), error.hint()), None),
    }
}

/// Whether another process can map this card's memory.
fn shared(device: &gantry_cuda::Device) -> Finding {
    match device.says_posix_fd() {
        Ok(true) => found("GPU frame memory", "file descriptors (VMM)".to_owned()),
        Ok(false) => absent(
            "GPU frame memory",
            "the card hands out no file descriptors; the legacy IPC is tried".to_owned(),
            "in a container: --ipc=host",
        ),
        Err(error) => absent("GPU frame memory", error.to_string(), error.hint()),
    }
}

/// The library beside libcuda that FFmpeg's decoders load. A container has it only if it asks for the capability `video`.
fn nvdec() -> Finding {
    match gantry_cuda::video_decoder() {
        Ok(()) => found("NVDEC", "libnvcuvid.so.1 loads".to_owned()),
        Err(error) if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() => absent(
            "NVDEC",
            format!("{error}: video is decoded in software"),
            "start the container with --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility,video",
        ),
        Err(error) => absent(
            "NVDEC",
            format!("{error}: video is decoded in software"),
            "apt-get install libnvcuvid1 (or NVIDIA's own driver package)",
        ),
    }
}

fn nvrtc() -> Finding {
    let options = LoadOptions::from_env();
    if let Some(folder) = &options.ahead_of_time {
        return found("CUDA kernels", format!("compiled ahead of time in {}", folder.display()));
    }
    match Compiler::load(options.nvrtc.as_deref()) {
        Ok(compiler) => {
            let (major, minor) = compiler.version();
            let cache = options.cache.map_or_else(|| "not kept".to_owned(), |folder| format!("kept in {}", folder.display()));
            found("CUDA kernels", format!("NVRTC {major}.{minor} compiles them at start, {cache}"))
        }
        Err(error) => absent("CUDA kernels", error.to_string(), error.hint()),
    }
}

fn provider(device: Device, is_built_in: Result<bool, LibraryError>) -> Finding {
    let (name, what) = if device == Device::Cuda { ("CUDA", "models on CUDA") } else { ("TensorRT", "models on TensorRT") };
    match is_built_in {
        Ok(true) => match library::try_device(device) {
            Ok(()) => found(what, format!("ONNX Runtime's {name} provider loads with all its libraries")),
            Err(error) => absent(
                what,
                format!("ONNX Runtime's {name} provider does not load: {error}"),
                "pip install the package of what is missing, and put its folder into LD_LIBRARY_PATH (docs/gpu.md)",
            ),
        },
        Ok(false) => absent(
            what,
            format!("this ONNX Runtime has no {name} provider: models run on the CPU"),
            "pip install onnxruntime-gpu, and name its libonnxruntime.so in ORT_DYLIB_PATH (docs/gpu.md)",
        ),
        Err(error) => absent(what, error.to_string(), "cargo xtask setup (or name the file in ORT_DYLIB_PATH)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn whatever_is_absent_comes_with_a_command_or_place_that_would_bring_it() {
        let all = findings();
        assert!(all.len() >= 6, "driver, CUDA, NVDEC, kernels and two providers are looked at");
        for finding in &all {
            assert!(finding.state != State::Missing, "{}: plates are read without a GPU", finding.what);
            assert_eq!(finding.state == State::Ok, finding.fix.is_none(), "{}: {:?}", finding.what, finding.fix);
            assert!(!finding.detail.is_empty() && finding.fix.as_deref() != Some(""), "{}", finding.what);
        }
    }
}
