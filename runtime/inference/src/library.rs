//! Finding and loading the ONNX Runtime library, once per process.
//!
//! Looked for in this order: the file named by `ORT_DYLIB_PATH`; `.gantry/onnxruntime/libonnxruntime.so*` in the folder of the
//! executable or any folder above it (`target/release/detect` finds the one that `cargo xtask setup` unpacks at the root of the
//! repository); the loader's own search path.
#![allow(unsafe_code)]

use crate::provider::OnCard;
use crate::{Device, LibraryError, Options};
use libloading::os::unix;
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};
use ort::session::Session;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// cuDNN 9, for ONNX Runtime 1.18 and later.
const CUDNN: &str = "libcudnn.so.9";

static ENVIRONMENT: OnceLock<Result<(Environment, PathBuf), LibraryError>> = OnceLock::new();

/// The file that is, or would be, loaded.
///
/// # Errors
/// [`LibraryError`] if there is none or it does not load.
pub fn loaded() -> Result<&'static Path, LibraryError> {
    open().map(|(_, path)| path.as_path())
}

/// What the loaded library says about itself: version, branch, build flags.
///
/// # Errors
/// As [`loaded`].
pub fn version() -> Result<&'static str, LibraryError> {
    open().map(|_| ort::info())
}

/// Whether the loaded library was built with the CUDA provider; what the provider needs besides (cuDNN, cuBLAS, a driver) shows when a model is opened.
///
/// # Errors
/// As [`loaded`].
pub fn has_cuda() -> Result<bool, LibraryError> {
    provider(ep::CUDA::is_available)
}

/// Whether the loaded library was built with the TensorRT provider.
///
/// # Errors
/// As [`loaded`].
pub fn has_tensorrt() -> Result<bool, LibraryError> {
    provider(ep::TensorRT::is_available)
}

/// Has ONNX Runtime load what a device needs (`Device::Cuda`, `Device::Tensorrt`), as it does for a model.
///
/// # Errors
/// The words of ONNX Runtime or of the loader, which name the library that is missing.
pub fn try_device(device: Device) -> Result<(), String> {
    let environment = environment().map_err(|e| e.to_string())?;
    let providers = crate::provider::of(device, &Options::default(), OnCard::default(), None)?;
    let builder = Session::builder(environment).map_err(|e| e.to_string())?;
    builder.with_execution_providers(providers).map_err(|e| e.to_string())?;
    cudnn()
}

/// Whether the loader finds cuDNN, which ONNX Runtime's CUDA provider opens in its first run and not before.
pub(crate) fn cudnn() -> Result<(), String> {
    // SAFETY: NVIDIA's library, whose initialisers run in the same way when ONNX Runtime opens it.
    match unsafe { unix::Library::new(CUDNN) } {
        // Stays, as ONNX Runtime's own does.
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(format!("no cuDNN: {error}")),
    }
}

fn provider(ask: fn() -> ort::Result<bool>) -> Result<bool, LibraryError> {
    let (_, path) = open()?;
    ask().map_err(|e| LibraryError::Load { path: path.clone(), reason: e.to_string() })
}

pub(crate) fn environment() -> Result<&'static Environment, LibraryError> {
    open().map(|(environment, _)| environment)
}

fn open() -> Result<&'static (Environment, PathBuf), LibraryError> {
    let opened = ENVIRONMENT.get_or_init(|| {
        let path = find(std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from), std::env::current_exe().ok().as_deref())?;
        let failed = |reason: String| LibraryError::Load { path: path.clone(), reason };
        let builder = ort::init_from(&path).map_err(|e| failed(e.to_string()))?;
        let environment = builder.with_name("gantry").with_telemetry(false).build().map_err(|e| failed(e.to_string()))?;
        Ok((environment, path))
    });
    opened.as_ref().map_err(Clone::clone)
}

/// Where the library is. A bare file name means the loader's search path.
fn find(named: Option<PathBuf>, executable: Option<&Path>) -> Result<PathBuf, LibraryError> {
    if let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) {
        return if path.is_file() { Ok(path) } else { Err(LibraryError::NotFound { searched: vec![path] }) };
    }
    let folders = executable.into_iter().flat_map(|exe| exe.ancestors().skip(1)).map(|folder| folder.join(".gantry/onnxruntime"));
    let mut searched = Vec::new();
    for folder in folders {
        if let Some(library) = newest_in(&folder) {
            return Ok(library);
        }
        searched.push(folder);
    }
    for folder in ["/usr/local/lib", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"].map(PathBuf::from) {
        if let Some(library) = newest_in(&folder) {
            return Ok(library);
        }
        searched.push(folder);
    }
    Err(LibraryError::NotFound { searched })
}

fn newest_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let is_library = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("libonnxruntime.so"));
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_library).max_by_key(|path| version_of(path))
}

fn version_of(path: &Path) -> Vec<u32> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.trim_start_matches("libonnxruntime.so").split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_that_is_missing_is_an_error_and_not_replaced_by_another() {
        let error = find(Some("/nowhere/libonnxruntime.so".into()), std::env::current_exe().ok().as_deref()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/libonnxruntime.so"), "{error}");
    }

    #[test]
    fn the_newest_library_above_the_executable_is_taken() {
        let root = std::env::temp_dir().join(format!("gantry-library-{}", std::process::id()));
        let folder = root.join(".gantry/onnxruntime");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.0", "libonnxruntime_providers_shared.so"] {
            std::fs::write(folder.join(name), b"").unwrap();
        }
        let found = find(None, Some(&root.join("target/release/detect")));
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.unwrap(), folder.join("libonnxruntime.so.1.31.0"));
    }
}
