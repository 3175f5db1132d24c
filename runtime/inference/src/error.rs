//! What can go wrong, with what, where, why, and a hint.

use crate::Device;
use std::path::PathBuf;

/// The ONNX Runtime library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// No library where it is looked for.
    #[error("the ONNX Runtime library `libonnxruntime.so` was not found, looked in {}", list(.searched))]
    NotFound {
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// There is one, but it does not load.
    #[error("the ONNX Runtime library `{}` does not load: {reason}", .path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// What the loader or ONNX Runtime said.
        reason: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ")
}

/// A model cannot be opened or run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No ONNX Runtime.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// No file there.
    #[error("model `{}`: no such file", .path.display())]
    Missing {
        /// The model.
        path: PathBuf,
    },
    /// The file is no model that ONNX Runtime can load.
    #[error("model `{}`: cannot be loaded ({bytes} bytes): {reason}", .path.display())]
    Load {
        /// The model.
        path: PathBuf,
        /// Size of the file.
        bytes: u64,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// The asked-for device cannot run it.
    #[error("model `{}`: device `{device}` is not available: {reason}", .path.display())]
    Device {
        /// The model.
        path: PathBuf,
        /// What was asked for.
        device: Device,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// The model's input is not one that fits.
    #[error("model `{}`: input differs\n  found {found}, wanted {wanted}", .path.display())]
    Input {
        /// The model.
        path: PathBuf,
        /// Type and shape found.
        found: String,
        /// What fits.
        wanted: String,
    },
    /// The model's output is not one that fits.
    #[error("model `{}`: output differs\n  found {found}, wanted {wanted}", .path.display())]
    Output {
        /// The model.
        path: PathBuf,
        /// Type and shape found.
        found: String,
        /// What fits.
        wanted: String,
    },
    /// A metadata entry, or one of the sidecar, cannot be used or is missing.
    #[error("model `{}`: metadata `{key}`: found {found}, wanted {wanted}", .path.display())]
    Metadata {
        /// The model.
        path: PathBuf,
        /// Key.
        key: &'static str,
        /// Value found, or `nothing`.
        found: String,
        /// What fits.
        wanted: String,
    },
    /// The sidecar file cannot be read.
    #[error("model sidecar `{}`: {reason}", .path.display())]
    Sidecar {
        /// The sidecar.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The bytes handed over are not the tensor that the model takes.
    #[error("model `{}`: a picture of {found}, wanted {wanted}", .path.display())]
    Picture {
        /// The model.
        path: PathBuf,
        /// What was handed over.
        found: String,
        /// What the model takes.
        wanted: String,
    },
    /// The card could not do what stands around a run.
    #[error("model `{}`: {reason}", .path.display())]
    Card {
        /// The model.
        path: PathBuf,
        /// What was tried and what the driver said.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A run failed.
    #[error("model `{}`: run failed: {reason}", .path.display())]
    Run {
        /// The model.
        path: PathBuf,
        /// What ONNX Runtime said.
        reason: String,
    },
}

impl ModelError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Library(_) => "run: cargo xtask setup (or set ORT_DYLIB_PATH to the library, version 1.22 or newer)".into(),
            Self::Missing { .. } => "check MODEL; relative paths start at the folder of the graph file".into(),
            Self::Load { .. } => "export the model again (ONNX, opset 7 to 22) and compare the file's size with the original's".into(),
            Self::Device { .. } => {
                "use DEVICE: cpu or auto, or install the GPU build of ONNX Runtime and the driver (`gantry doctor` says what is there)".into()
            }
            Self::Input { .. } => "export the model with one image input of rank 4 and fixed height and width".into(),
            Self::Output { .. } => "detectors: a YOLO11/v8 export `[N, 4 + classes, anchors]` or an end-to-end export `[N, max_det, 6]`; \
                 readers: `[N, steps, classes]` with CTC or slots; head, alphabet, blank and pad may be named in the model's metadata or in a sidecar `<model>.json`"
                .into(),
            Self::Metadata { key, .. } => format!("set `{key}` in the model's metadata or in a sidecar `<model>.json` beside it"),
            Self::Sidecar { .. } => "a JSON object, or flat YAML (`key: value`) as fast-plate-ocr ships it".into(),
            Self::Picture { .. } => "give `resize` the model's WIDTH, HEIGHT, DTYPE and LAYOUT".into(),
            Self::Card { hint, .. } => (*hint).into(),
            Self::Run { .. } => "the model loads but does not run; try it with another ONNX Runtime version".into(),
        }
    }
}
