//! Where the model runs and where its pictures lie.

use crate::pixels::Pixels;
use crate::{MOST_HELD, Params};
use gantry_frames::{Acquired, Memory};
use gantry_images::Arrangement;
use gantry_inference::{
    Detector, Device, DeviceDetector, ElementType, ImageOrder, ModelError, Options, RawDetection, Selection, Windows, default_engine_cache,
};
use gantry_kernels::{KernelError, Kernels, LoadOptions};
use gantry_node::Fault;
use std::path::{Path, PathBuf};

/// The detector.
#[derive(Debug)]
pub enum Engine {
    /// Pictures in host memory; a model on a card uploads them.
    Host(Box<Host>),
    /// Pictures in the card's memory.
    Card(Box<DeviceDetector>),
}

/// A detector with what makes frames fit it.
#[derive(Debug)]
pub struct Host {
    pub detector: Detector,
    pub pixels: Pixels,
}

/// What frames have to be like, and what is found in them.
#[derive(Clone, Debug)]
pub struct Described {
    pub classes: Vec<String>,
    pub element: ElementType,
    /// Of one picture.
    pub dims: [usize; 4],
    /// Width, height and layout as `resize` calls them.
    pub picture: (usize, usize, String),
    /// How pictures of other sizes are scaled to it; `None` where the model does not take what becomes of them.
    pub arrangement: Option<Arrangement>,
}

impl Engine {
    /// Opens the model as the parameters say; `memory` is where the frames lie.
    ///
    /// # Errors
    /// No card or no kernels where `memory` is `cuda`; a model that does not load.
    pub fn open(params: &Params, memory: &Memory) -> Result<Self, Fault> {
        let mut options = options(params)?;
        let device = options.device;
        let path = Path::new(&params.model);
        if params.memory == "host" {
            let detector = Detector::open(path, &options).map_err(|e| model_fault(&e))?;
            let pixels = Pixels::new(&described(&detector, true));
            return Ok(Self::Host(Box::new(Host { detector, pixels })));
        }
        let wanted = |fault: Fault| fault.context("parameter `memory` is `cuda`");
        options.device = match device {
            Device::Auto => Device::Cuda,
            Device::Cpu => {
                return Err(wanted(Fault::new("`device` is `cpu`, which does not read the card's memory"))
                    .hint("set DEVICE: cuda, or MEMORY: host"));
            }
            device => device,
        };
        // A batch on a card holds all of its frames.
        options.gpu_batch = options.gpu_batch.min(MOST_HELD);
        let no_card = || Fault::new("buffers of the host, a card's are wanted").hint("`gantry doctor` says what is missing");
        let card = memory.context().ok_or_else(|| wanted(no_card()))?;
        let kernels = Kernels::load(card, &LoadOptions::from_env()).map_err(|e| wanted(kernel_fault(&e)))?;
        let detector = DeviceDetector::open(path, &options, &kernels).map_err(|e| wanted(model_fault(&e)))?;
        Ok(Self::Card(Box::new(detector)))
    }

    /// Whether each frame is a run of its own, read where it lies in host memory.
    #[must_use]
    pub fn is_single(&self) -> bool {
        matches!(self, Self::Host(host) if host.detector.batch() == 1)
    }

    /// What the model says about itself.
    #[must_use]
    pub fn description(&self) -> Described {
        match self {
            Self::Host(host) => described(&host.detector, true),
            Self::Card(detector) => described(detector.described(), false),
        }
    }

    /// Where it runs.
    #[must_use]
    pub fn device(&self) -> Device {
        match self {
            Self::Host(host) => host.detector.info().device,
            Self::Card(detector) => detector.device(),
        }
    }

    /// Pictures in one run.
    #[must_use]
    pub fn batch(&self) -> usize {
        match self {
            Self::Host(host) => host.detector.batch(),
            Self::Card(detector) => detector.batch(),
        }
    }

    /// Pictures that are taken together: a run's, and on a card no more than a reader may hold.
    #[must_use]
    pub fn together(&self) -> usize {
        match self {
            Self::Host(host) => host.detector.batch(),
            Self::Card(detector) => detector.batch().min(MOST_HELD),
        }
    }

    /// Takes the picture at `index` of the next run. Of a batch in host memory it is copied to its place and given back at once.
    ///
    /// # Errors
    /// A picture of another size.
    pub fn take(&mut self, index: usize, picture: Acquired) -> Result<Option<Acquired>, Fault> {
        match self {
            Self::Host(host) if host.detector.batch() > 1 => {
                host.detector.stage(index, host.pixels.whole(&picture)?).map_err(|e| model_fault(&e))?;
                Ok(None)
            }
            _ => Ok(Some(picture)),
        }
    }

    /// Detects in the pictures that were taken; `each` gets every picture's detections, in order. The pictures are not read any more then.
    ///
    /// # Errors
    /// A picture that lies elsewhere, or a run that fails.
    pub fn detect(
        &mut self,
        pictures: &[Option<Acquired>],
        selection: &Selection,
        mut each: impl FnMut(usize, &[RawDetection]),
    ) -> Result<(), Fault> {
        match self {
            Self::Host(host) if host.detector.batch() > 1 => {
                host.detector.run_staged(pictures.len(), selection, each).map_err(|e| model_fault(&e))
            }
            Self::Host(host) => {
                for (index, picture) in pictures.iter().flatten().enumerate() {
                    each(index, host.detect(picture, selection)?);
                }
                Ok(())
            }
            Self::Card(detector) => {
                let host =
                    || Fault::new("a frame in host memory, the model reads the card's").hint("set MEMORY: cuda at the `resize` nodes");
                let slices = pictures.iter().flatten().map(|picture| picture.device().ok_or_else(host)).collect::<Result<Vec<_>, _>>()?;
                detector.detect(&slices, selection, each).map_err(|e| model_fault(&e))
            }
        }
    }

    /// Gives pictures back that were detected in.
    ///
    /// # Errors
    /// What the driver says.
    pub fn give_back(&self, pictures: Vec<Option<Acquired>>) -> Result<(), Fault> {
        if let Self::Card(detector) = self {
            for picture in pictures.into_iter().flatten() {
                picture.release_after(detector.stream()).map_err(|e| Fault::new(e.to_string()).hint(e.hint()))?;
            }
        }
        Ok(())
    }
}

impl Host {
    /// Detects in one frame.
    ///
    /// # Errors
    /// A picture that cannot be scaled, or a run that fails.
    pub fn detect(&mut self, frame: &Acquired, selection: &Selection) -> Result<&[RawDetection], Fault> {
        self.detector.detect(self.pixels.whole(frame)?, selection).map_err(|e| model_fault(&e))
    }
}

/// `scales`: whether pictures are scaled here.
fn described(detector: &Detector, scales: bool) -> Described {
    let (element, dims) = detector.picture();
    let image = detector.info().image;
    let order = format!("{:?}", image.order).to_lowercase();
    let arrangement = arrangement(detector).filter(|_| scales);
    Described { classes: detector.classes().to_vec(), element, dims, picture: (image.width, image.height, order), arrangement }
}

/// How pictures are scaled to the model's input; `None` for one that takes others than u8 or f32.
#[must_use]
pub fn arrangement(detector: &Detector) -> Option<Arrangement> {
    match (detector.picture().0, detector.info().image.order) {
        (ElementType::U8, ImageOrder::Nchw) => Some(Arrangement::PlanarU8),
        (ElementType::U8, ImageOrder::Nhwc) => Some(Arrangement::InterleavedU8),
        (ElementType::F32, ImageOrder::Nchw) => Some(Arrangement::PlanarF32),
        (ElementType::F32, ImageOrder::Nhwc) => Some(Arrangement::InterleavedF32),
        (ElementType::F16, _) => None,
    }
}

/// The detector's model for parts of pictures, if it takes them and runs on the CPU. One that says so and does not run is warned of.
pub fn windows(detector: &Detector, params: &Params) -> Result<Option<Windows>, Fault> {
    let windows = Windows::open(Path::new(&params.model), detector, &options(params)?);
    Ok(windows.unwrap_or_else(|error| {
        tracing::warn!(%error, "the model does not run on parts of pictures, so that every frame is looked at whole or not at all");
        None
    }))
}

fn options(params: &Params) -> Result<Options, Fault> {
    Ok(Options {
        device: params.device.parse::<Device>()?,
        threads: params.threads,
        fp16: params.fp16,
        engine_cache: params.engine_cache.as_ref().map(PathBuf::from).or_else(default_engine_cache),
        cuda_graph: params.cuda_graph,
        gpu_batch: params.max_batch,
        ..Options::default()
    })
}

pub(crate) fn model_fault(error: &ModelError) -> Fault {
    Fault::new(error.to_string()).hint(error.hint())
}

fn kernel_fault(error: &KernelError) -> Fault {
    let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
    Fault::new(format!("{error}{why}")).hint(error.hint())
}
