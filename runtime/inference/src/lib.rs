//! ONNX models on ONNX Runtime: loading them by path alone, running them over borrowed bytes, and reading their outputs.
//!
//! - [`Model`]: one session; what the file says about its input, outputs and classes is in [`ModelInfo`].
//! - [`Detector`]: YOLO11/v8 exports (`[N, 4 + classes, anchors]`) and end-to-end exports (`[N, max_det, 6]`).
//! - [`Windows`]: the same on parts of pictures, for models that take pictures of any size.
//! - [`DeviceDetector`]: the same on pictures in a card's memory; only candidate boxes come to the host.
//! - [`Reader`]: plate readers with a CTC head or with a fixed number of slots.
//! - [`DeviceReader`]: the same on pictures in a card's memory; only the probabilities of characters come to the host.
//! - [`yolo`], [`nms`], [`text`]: the arithmetic behind them, pure functions without files and clocks.
//!
//! The ONNX Runtime library is loaded when the first model is opened, see [`library`].

mod aligned;
mod bound;
mod card_session;
mod detector;
mod device_reader;
mod error;
pub mod library;
mod metadata;
mod model;
pub mod nms;
mod on_device;
mod options;
mod picture;
mod provider;
mod reader;
pub mod text;
mod windows;
pub mod yolo;

pub use bound::{Bound, BoundOutput};
pub use detector::{Detector, Selection};
pub use device_reader::{DeviceReader, ReaderInput};
pub use error::{LibraryError, ModelError};
pub use model::{ElementType, ImageInput, ImageOrder, Model, ModelInfo, OutputView, TensorSpec};
pub use nms::RawDetection;
pub use on_device::DeviceDetector;
pub use options::{Device, Options, default_engine_cache};
pub use picture::{Picture, prepare};
pub use reader::Reader;
pub use text::TextRead;
pub use windows::{Window, Windows};

/// Why bytes are no picture, see [`Picture`].
pub use gantry_images::PixelsError;
