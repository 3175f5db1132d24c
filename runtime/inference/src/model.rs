//! One ONNX model in one session.

use crate::metadata::{self, Metadata};
use crate::provider::{self, OnCard, Progress, RunShape};
use crate::{Device, ModelError, Options, library};
use gantry_cuda::Context;
use half::f16;
use ort::ep::{self, ExecutionProvider};
use ort::session::{Session, SessionInputValue, builder::SessionBuilder};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// Element types that inputs and outputs may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// Unsigned byte.
    U8,
    /// Half precision.
    F16,
    /// Single precision.
    F32,
}

impl ElementType {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    fn of(ty: TensorElementType) -> Option<Self> {
        match ty {
            TensorElementType::Uint8 => Some(Self::U8),
            TensorElementType::Float16 => Some(Self::F16),
            TensorElementType::Float32 => Some(Self::F32),
            _ => None,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::F16 => "f16",
            Self::F32 => "f32",
        })
    }
}

/// Name, type and shape of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// Element type; `None` for one that is not read here.
    pub element: Option<ElementType>,
    /// Sizes; `None` where the model leaves one open.
    pub shape: Vec<Option<usize>>,
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.shape.iter().map(|d| d.map_or("?".into(), |d| d.to_string())).collect();
        let element = self.element.map_or("other".into(), |e| e.to_string());
        write!(f, "`{}` {element} [{}]", self.name, dims.join(", "))
    }
}

/// Where the channels stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageOrder {
    /// Planar: `[N, C, H, W]`.
    Nchw,
    /// Interleaved: `[N, H, W, C]`.
    Nhwc,
}

/// The image input of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// Order of the axes.
    pub order: ImageOrder,
    /// 1 (grey) or 3.
    pub channels: usize,
    /// Height in px; where the model leaves it open, the one that its metadata name.
    pub height: usize,
    /// Width in px.
    pub width: usize,
    /// Pictures in one run, if the model fixes it.
    pub batch: Option<usize>,
    /// Whether the model fixes height and width; else they are what its metadata recommend.
    pub fixed_size: bool,
}

impl ImageInput {
    /// Shape of a run with `n` pictures.
    #[must_use]
    pub fn dims(&self, n: usize) -> [usize; 4] {
        match self.order {
            ImageOrder::Nchw => [n, self.channels, self.height, self.width],
            ImageOrder::Nhwc => [n, self.height, self.width, self.channels],
        }
    }

    /// Elements of one picture.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether a picture has no element; never true for an opened model.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a model says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The file.
    pub path: PathBuf,
    /// Metadata of the file, then of its sidecar, which wins.
    pub metadata: Metadata,
    /// The sidecar that was read.
    pub sidecar: Option<PathBuf>,
    /// The input.
    pub input: TensorSpec,
    /// Element type of the input.
    pub element: ElementType,
    /// The input as an image.
    pub image: ImageInput,
    /// The outputs.
    pub outputs: Vec<TensorSpec>,
    /// Where it runs, never [`Device::Auto`].
    pub device: Device,
}

impl ModelInfo {
    /// The metadata entry `key`, if it is there and not empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn bad_metadata(&self, key: &'static str, wanted: &str) -> ModelError {
        let found = self.get(key).map_or("nothing".into(), |value| format!("`{}`", value.chars().take(60).collect::<String>()));
        ModelError::Metadata { path: self.path.clone(), key, found, wanted: wanted.into() }
    }

    pub(crate) fn bad_output(&self, found: String, wanted: impl Into<String>) -> ModelError {
        ModelError::Output { path: self.path.clone(), found, wanted: wanted.into() }
    }
}

/// One output of a run.
#[derive(Debug)]
pub struct OutputView<'a> {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Elements, row by row; half precision is widened.
    pub data: Cow<'a, [f32]>,
}

/// A model that is ready to run.
#[derive(Debug)]
pub struct Model {
    session: Session,
    info: ModelInfo,
    gpu: i32,
    /// Dropped last.
    _waiting: Option<Context>,
}

/// What becomes of a height and width that a model leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenSize {
    /// They are those of its metadata in every run: what depends on them is computed once, and a session on a card has one shape.
    Fixed,
    /// Each run has its own.
    Kept,
}

/// The context that ONNX Runtime will take, made here: threads that wait for the card sleep in it. Without one ONNX Runtime says what is wrong.
fn sleeping_context(gpu: i32) -> Option<Context> {
    let devices = gantry_cuda::Device::all().ok()?;
    Context::primary(*devices.get(usize::try_from(gpu).ok()?)?).ok()
}

impl Model {
    /// Loads a model and reads what it says about itself.
    ///
    /// # Errors
    /// [`ModelError`] if there is no library, no such file, no model in it, or no single image input of rank 4.
    pub fn open(path: &Path, options: &Options) -> Result<Self, ModelError> {
        Self::open_with(path, options, OnCard::default(), None)
    }

    /// [`Model::open`] for runs of `options.gpu_batch` pictures on TensorRT, which makes an engine for runs of one size and must be told where the model leaves it
    /// open.
    pub(crate) fn open_for_batches(path: &Path, options: &Options) -> Result<Self, ModelError> {
        if options.device != Device::Tensorrt {
            return Self::open(path, options);
        }
        let described = Self::open(path, &Options { device: Device::Cpu, ..options.clone() })?;
        let (image, name) = (described.info().image, &described.info().input.name);
        let shape = image.batch.is_none().then(|| (name.as_str(), image.dims(options.gpu_batch.max(1))));
        Self::open_with(path, options, OnCard::default(), shape)
    }

    /// [`Model::open`] for a card's stream, and for runs of one shape.
    pub(crate) fn open_with(path: &Path, options: &Options, card: OnCard, shape: RunShape<'_>) -> Result<Self, ModelError> {
        Self::open_sized(path, options, card, shape, OpenSize::Fixed)
    }

    /// [`Model::open`] for pictures of any size, each run with its own, where the model leaves it open.
    pub(crate) fn open_for_any_size(path: &Path, options: &Options) -> Result<Self, ModelError> {
        Self::open_sized(path, options, OnCard::default(), None, OpenSize::Kept)
    }

    fn open_sized(path: &Path, options: &Options, card: OnCard, shape: RunShape<'_>, size: OpenSize) -> Result<Self, ModelError> {
        let environment = library::environment()?;
        let bytes = match std::fs::metadata(path) {
            Ok(file) if file.is_file() => file.len(),
            _ => return Err(ModelError::Missing { path: path.to_owned() }),
        };
        let device =
            if options.device == Device::Auto && !ep::CUDA::is_available().unwrap_or(false) { Device::Cpu } else { options.device };
        let load_failed = |reason: String| ModelError::Load { path: path.to_owned(), bytes, reason };
        let attempt = |device: Device, sizes: &[(String, i64)]| -> Result<Session, ModelError> {
            let builder = Session::builder(environment).map_err(|e| load_failed(e.to_string()))?;
            let builder = configure(builder, options, size, sizes).map_err(|e| load_failed(e.to_string()))?;
            let no_device = |reason: String| ModelError::Device { path: path.to_owned(), device: options.device, reason };
            let providers = provider::of(device, options, card, shape).map_err(no_device)?;
            let mut builder = if providers.is_empty() {
                builder
            } else {
                builder.with_execution_providers(providers).map_err(|e| no_device(e.to_string()))?
            };
            let _told = Progress::of(device, path);
            builder.commit_from_file(path).map_err(|e| load_failed(e.to_string()))
        };
        let waiting = if device == Device::Cpu { None } else { sleeping_context(options.gpu) };
        // On a card a session can take minutes to open; what the model leaves open is asked where it is cheap.
        let first = attempt(Device::Cpu, &[])?;
        let sizes = match size {
            OpenSize::Fixed => open_sizes(&first, &describe(&first, path, Device::Cpu)?.image),
            OpenSize::Kept => Vec::new(),
        };
        let on_cpu = |first: Session| if sizes.is_empty() { Ok(first) } else { attempt(Device::Cpu, &sizes) };
        let (session, device) = match device {
            Device::Cpu => (on_cpu(first)?, Device::Cpu),
            // A session opens without cuDNN, and its first run fails.
            Device::Auto => match library::cudnn().map_err(load_failed).and_then(|()| attempt(Device::Cuda, &sizes)) {
                Ok(session) => (session, Device::Cuda),
                Err(error) => {
                    tracing::warn!(%error, "no GPU for the model, the CPU is used");
                    (on_cpu(first)?, Device::Cpu)
                }
            },
            device => (attempt(device, &sizes)?, device),
        };
        let mut info = describe(&session, path, device)?;
        info.image.fixed_size &= sizes.is_empty();
        Ok(Self { session, info, gpu: options.gpu, _waiting: waiting })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Index of the GPU that it would run on.
    pub(crate) fn gpu(&self) -> i32 {
        self.gpu
    }

    /// What the model says about itself.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Runs `n` pictures and hands the outputs to `read`. The bytes are read where they lie, nothing is copied.
    ///
    /// `bytes`: the input tensor, `image.dims(n)` of the input's element type, aligned for it.
    ///
    /// # Errors
    /// [`ModelError::Picture`] if `bytes` is no such tensor, [`ModelError::Run`] if ONNX Runtime fails.
    pub fn run<R>(&mut self, bytes: &[u8], n: usize, read: impl FnOnce(&[OutputView<'_>]) -> R) -> Result<R, ModelError> {
        self.run_shaped(bytes, self.info.image.dims(n), read)
    }

    /// [`Model::run`] for an input of that shape.
    pub(crate) fn run_shaped<R>(
        &mut self,
        bytes: &[u8],
        dims: [usize; 4],
        read: impl FnOnce(&[OutputView<'_>]) -> R,
    ) -> Result<R, ModelError> {
        let element = self.info.element;
        let wanted = dims.iter().product::<usize>() * element.size();
        if bytes.len() != wanted || bytes.as_ptr().align_offset(element.size()) != 0 {
            let found = format!("{} bytes", bytes.len());
            let wanted = format!("{wanted} bytes: {element} {dims:?}, aligned to {} bytes", element.size());
            return Err(ModelError::Picture { path: self.info.path.clone(), found, wanted });
        }
        let path = &self.info.path;
        let failed = |e: ort::Error| ModelError::Run { path: path.clone(), reason: e.to_string() };
        let value: SessionInputValue<'_> = match element {
            ElementType::U8 => TensorRef::from_array_view((dims, bytes)).map_err(failed)?.into(),
            ElementType::F16 => TensorRef::from_array_view((dims, bytemuck::cast_slice::<u8, f16>(bytes))).map_err(failed)?.into(),
            ElementType::F32 => TensorRef::from_array_view((dims, bytemuck::cast_slice::<u8, f32>(bytes))).map_err(failed)?.into(),
        };
        if self.info.device != Device::Cpu {
            // ONNX Runtime uploads it.
            gantry_copies::note(gantry_copies::Way::ToCard, bytes.len());
        }
        let outputs = self.session.run([value]).map_err(failed)?;
        let views: Vec<OutputView<'_>> = (0..outputs.len()).map(|i| view(&outputs[i])).collect::<ort::Result<_>>().map_err(failed)?;
        Ok(read(&views))
    }
}

fn view(value: &DynValue) -> ort::Result<OutputView<'_>> {
    let shape = |dims: &[i64]| dims.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
    if let Ok((dims, data)) = value.try_extract_tensor::<f32>() {
        return Ok(OutputView { shape: shape(dims), data: Cow::Borrowed(data) });
    }
    if let Ok((dims, data)) = value.try_extract_tensor::<f16>() {
        return Ok(OutputView { shape: shape(dims), data: Cow::Owned(data.iter().map(|v| v.to_f32()).collect()) });
    }
    // Outputs of other types are not read; the caller sees one without elements.
    Ok(OutputView { shape: Vec::new(), data: Cow::Borrowed(&[]) })
}

#[allow(clippy::result_large_err, reason = "ort's own error type, once per model")]
fn configure(
    mut builder: SessionBuilder,
    options: &Options,
    size: OpenSize,
    sizes: &[(String, i64)],
) -> Result<SessionBuilder, ort::Error<SessionBuilder>> {
    for (name, size) in sizes {
        builder = builder.with_dimension_override(name, *size)?;
    }
    builder
        // It keeps a plan of memory for every shape that it has met.
        .with_memory_pattern(size == OpenSize::Fixed)?
        .with_intra_threads(options.threads.max(1))?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        // Spinning threads take the cores away from the other nodes of the graph.
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_deterministic_compute(true)?
        .with_flush_to_zero()
}

fn describe(session: &Session, path: &Path, device: Device) -> Result<ModelInfo, ModelError> {
    let failed = |e: ort::Error| ModelError::Run { path: path.to_owned(), reason: e.to_string() };
    let mut metadata = Metadata::new();
    {
        let entries = session.metadata().map_err(failed)?;
        for key in entries.custom_keys().map_err(failed)? {
            if let Some(value) = entries.custom(&key) {
                metadata.insert(key, value);
            }
        }
    }
    let sidecar = metadata::sidecar_of(path);
    if let Some(sidecar) = &sidecar {
        metadata.extend(metadata::read_sidecar(sidecar)?);
    }
    let outputs: Vec<TensorSpec> = session.outputs().iter().map(spec).collect();
    let inputs: Vec<TensorSpec> = session.inputs().iter().map(spec).collect();
    let wanted = "one input u8, f16 or f32 [N, 1 or 3, H, W] or [N, H, W, 1 or 3]";
    let found = inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let refused = || ModelError::Input { path: path.to_owned(), found: found.clone(), wanted: wanted.into() };
    let [input] = <[TensorSpec; 1]>::try_from(inputs).map_err(|_| refused())?;
    let element = input.element.ok_or_else(refused)?;
    let (order, channels, [batch, height, width]) = axes(&input.shape).ok_or_else(refused)?;
    let named = size_of_metadata(&metadata);
    let image = ImageInput {
        order,
        channels,
        height: height.or(named.map(|(h, _)| h)).ok_or_else(refused)?,
        width: width.or(named.map(|(_, w)| w)).ok_or_else(refused)?,
        batch,
        fixed_size: height.is_some() && width.is_some(),
    };
    if image.is_empty() || batch == Some(0) {
        return Err(refused());
    }
    Ok(ModelInfo { path: path.to_owned(), metadata, sidecar, input, element, image, outputs, device })
}

/// Names of an open height and width, and their sizes; none where the model fixes them, gives them no names, or gives one name to axes of two sizes.
fn open_sizes(session: &Session, image: &ImageInput) -> Vec<(String, i64)> {
    let Some(ValueType::Tensor { shape, dimension_symbols, .. }) = session.inputs().first().map(Outlet::dtype) else { return Vec::new() };
    let open = |axis: &usize| shape.get(*axis).is_some_and(|size| *size < 0);
    let named = |axis: usize| Some((dimension_symbols.get(axis)?.clone(), image.dims(1)[axis] as i64));
    let channels = if image.order == ImageOrder::Nchw { 1 } else { 3 };
    let sizes: Vec<(String, i64)> = (1..4).filter(|axis| *axis != channels).filter(open).filter_map(named).collect();
    let is_clear = |(name, size): &(String, i64)| {
        let of_batch = open(&0) && dimension_symbols.first() == Some(name);
        !name.is_empty() && !of_batch && sizes.iter().all(|(other, of_other)| other != name || of_other == size)
    };
    if sizes.iter().all(is_clear) { sizes } else { Vec::new() }
}

/// Order of the axes, channels, and batch, height and width: by where the 1 or 3 of the channels stands.
fn axes(shape: &[Option<usize>]) -> Option<(ImageOrder, usize, [Option<usize>; 3])> {
    let [n, a, b, c] = *<&[Option<usize>; 4]>::try_from(shape).ok()?;
    let channels = |dim: Option<usize>| dim.filter(|d| matches!(d, 1 | 3));
    match (channels(a), channels(c)) {
        (Some(channels), _) => Some((ImageOrder::Nchw, channels, [n, b, c])),
        (None, Some(channels)) => Some((ImageOrder::Nhwc, channels, [n, a, b])),
        (None, None) => None,
    }
}

/// Height and width by Ultralytics' `imgsz` or by the `img_height` and `img_width` of a plate config.
fn size_of_metadata(metadata: &Metadata) -> Option<(usize, usize)> {
    let number = |key: &str| metadata.get(key)?.trim().parse::<usize>().ok();
    if let (Some(h), Some(w)) = (number("img_height"), number("img_width")) {
        return Some((h, w));
    }
    match metadata::numbers(metadata.get("imgsz")?)?[..] {
        [size] => Some((size as usize, size as usize)),
        [h, w] => Some((h as usize, w as usize)),
        _ => None,
    }
}

fn spec(outlet: &Outlet) -> TensorSpec {
    let dtype = outlet.dtype();
    TensorSpec {
        name: outlet.name().to_owned(),
        element: dtype.tensor_type().and_then(ElementType::of),
        shape: dtype.tensor_shape().map(|dims| dims.iter().map(|d| usize::try_from(*d).ok()).collect()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channels_tell_the_order_of_the_axes() {
        assert_eq!(axes(&[None, Some(3), Some(544), Some(960)]), Some((ImageOrder::Nchw, 3, [None, Some(544), Some(960)])));
        assert_eq!(axes(&[Some(1), Some(64), Some(128), Some(1)]), Some((ImageOrder::Nhwc, 1, [Some(1), Some(64), Some(128)])));
        assert_eq!(axes(&[Some(1), Some(3), None, None]), Some((ImageOrder::Nchw, 3, [Some(1), None, None])));
        assert_eq!(axes(&[None, Some(4), Some(64), Some(64)]), None);
        assert_eq!(axes(&[None, Some(3), Some(64)]), None);
    }
}
