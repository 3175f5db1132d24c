//! A plate reader whose pictures lie in a card's memory: only the probabilities of characters come to the host.
//!
//! ```text
//! grey pictures of crops --kernel--> planes [batch, H, W] --kernel--> input --run--> output [batch, steps, classes] --> host: texts
//! ```
//!
//! Everything goes through one stream. Input and output stay at their addresses, so the work of a run can be recorded as a CUDA graph.
#![allow(unsafe_code)]

use crate::card_session::{CardSession, Plan, card, driver};
use crate::picture::Fit;
use crate::{ElementType, ImageInput, ImageOrder, ModelError, ModelInfo, Options, Reader, TextRead};
use gantry_cuda::{DeviceMemory, DeviceSliceMut, Stream};
use gantry_kernels::{DeviceGrey, DeviceGreyMut, KernelError, Kernels, LevelFormat, Queue, Room};
use std::path::Path;

/// Brings grey pictures of a card into a reader's input there, with the bytes that [`Reader::input`] makes on the host.
#[derive(Debug)]
pub struct ReaderInput {
    image: ImageInput,
    fit: Fit,
    levels: LevelFormat,
    is_plain: bool,
    planes: Room,
}

impl ReaderInput {
    /// For the model of `reader`.
    #[must_use]
    pub fn of(reader: &Reader) -> Self {
        let image = reader.info().image;
        let numbers: [(u32, usize); 256] = std::array::from_fn(|level| reader.number(level as u8));
        let levels = LevelFormat {
            pixels: image.width * image.height,
            channels: image.channels,
            is_planar: image.order == ImageOrder::Nchw,
            bytes: numbers[0].1,
            table: numbers.map(|number| number.0),
        };
        // Levels of one channel are the numbers themselves: the planes are the input.
        let is_plain = image.channels == 1 && reader.info().element == ElementType::U8;
        Self { image, fit: reader.fit(), levels, is_plain, planes: Room::default() }
    }

    /// Bytes of one picture in the input.
    #[must_use]
    pub fn picture_len(&self) -> usize {
        self.levels.pixels * self.levels.channels * self.levels.bytes
    }

    /// Fills the first places of `input` in order with the queue's stream; what stands at the others stays.
    ///
    /// # Errors
    /// [`KernelError`] if the pictures do not fit `input`, or what the driver says.
    pub fn fill(&mut self, queue: &mut Queue, pictures: &[DeviceGrey<'_>], input: &mut DeviceSliceMut<'_>) -> Result<(), KernelError> {
        let (width, height) = (self.image.width, self.image.height);
        let plane = width * height;
        let failed = || KernelError::cuda("the reader's input was not made");
        if self.is_plain {
            let start = input.part(0, plane * pictures.len()).map_err(failed())?;
            return fit(queue, pictures, start, (width, height), self.fit);
        }
        let context = queue.stream().context().clone();
        let memory = self.planes.at_least(&context, plane * pictures.len())?;
        let planes = memory.slice_mut(0, plane * pictures.len()).map_err(failed())?;
        let levels = planes.as_slice();
        fit(queue, pictures, planes, (width, height), self.fit)?;
        queue.levels(&levels, pictures.len(), &self.levels, input)
    }
}

/// Scales each picture to its plane.
fn fit(
    queue: &mut Queue,
    pictures: &[DeviceGrey<'_>],
    mut planes: DeviceSliceMut<'_>,
    (width, height): (usize, usize),
    fit: Fit,
) -> Result<(), KernelError> {
    let failed = || KernelError::cuda("the reader's input was not made");
    if fit.keep_aspect {
        queue.stream().fill(&mut planes, fit.fill).map_err(failed())?;
    }
    let mut rest = planes;
    let mut pairs = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let (plane, tail) = rest.split(width * height).map_err(failed())?;
        rest = tail;
        let (w, h) = fit.size((picture.width as usize, picture.height as usize), (width, height));
        let start = (height - h) / 2 * width + (width - w) / 2;
        let pixels = plane.split(start).map_err(failed())?.1;
        pairs.push((*picture, DeviceGreyMut { pixels, width: w as u32, height: h as u32, stride: width as u32 }));
    }
    queue.resize_grey(&mut pairs)
}

/// A reader that is ready to run on a card.
#[derive(Debug)]
pub struct DeviceReader {
    session: CardSession,
    /// Opened on the CPU: what the model says about itself and how its output is to be read.
    described: Reader,
    /// Places without a picture keep what was there last.
    input: DeviceMemory,
    inputs: ReaderInput,
}

impl DeviceReader {
    /// Opens the reader on the card of `kernels`. `options.device` is [`Device::Cuda`](crate::Device::Cuda) or [`Device::Tensorrt`](crate::Device::Tensorrt); runs have `options.gpu_batch` pictures
    /// where the model leaves that open.
    ///
    /// # Errors
    /// As [`Reader::open`]; [`ModelError::Device`] for another device; [`ModelError::Card`] if the card has no memory.
    pub fn open(path: &Path, options: &Options, kernels: &Kernels) -> Result<Self, ModelError> {
        let described = Reader::open(path, &CardSession::description(path, options)?)?;
        let plan = Plan::new(path, options, kernels, described.info());
        let input = plan.input()?;
        let session = plan.open(Some(&input), |batch| described.outputs(batch))?;
        let inputs = ReaderInput::of(&described);
        Ok(Self { session, described, input, inputs })
    }

    /// What the model says about itself; its device is where it runs.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        self.session.model.info()
    }

    /// Pictures in one run.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.session.batch
    }

    /// The stream of all work: pictures must be complete on it, or done, before [`DeviceReader::read`].
    #[must_use]
    pub fn stream(&self) -> &Stream {
        self.session.queue.stream()
    }

    /// Reads all pictures, [`DeviceReader::batch`] in each run. They are not read any more when this returns.
    ///
    /// `top_k`: candidates per character.
    ///
    /// # Errors
    /// [`ModelError::Run`], [`ModelError::Card`].
    pub fn read(&mut self, pictures: &[DeviceGrey<'_>], top_k: usize) -> Result<Vec<TextRead>, ModelError> {
        let path = self.session.model.info().path.clone();
        let mut reads = Vec::with_capacity(pictures.len());
        for chunk in pictures.chunks(self.session.batch) {
            let not_brought = |e: gantry_cuda::CudaError| driver(&path, "pictures were not brought to their places", &e);
            let mut input = self.input.slice_mut(0, self.session.batch * self.inputs.picture_len()).map_err(not_brought)?;
            self.inputs.fill(&mut self.session.queue, chunk, &mut input).map_err(|e| card(&path, &e))?;
            // SAFETY: a whole batch in memory of the session's card, from an allocation that starts at a multiple of 256; only this stream writes it.
            let output = unsafe { self.session.run(input.address()) }?;
            let numbers = self.session.fetch(&output)?;
            self.described.texts(&numbers, self.session.batch, chunk.len(), top_k, &mut reads);
        }
        Ok(reads)
    }
}
