//! Where the model runs and where its pictures lie.

use crate::{Params, model_fault, pictures};
use gantry_cuda::Stream;
use gantry_frames::{Acquired, Memory};
use gantry_inference::{Device, DeviceReader, Options, Reader, TextRead, default_engine_cache};
use gantry_kernels::{KernelError, Kernels, LoadOptions};
use gantry_messages::CharRead;
use gantry_node::Fault;
use std::path::{Path, PathBuf};

/// The reader.
#[derive(Debug)]
pub enum Engine {
    /// Crops one after the other, from host memory.
    Single(Box<Single>),
    /// Pictures in the card's memory, and the model on the card: many crops in one run.
    Card(Box<DeviceReader>),
}

/// A reader of pictures in host memory; a model on a card uploads them.
#[derive(Debug)]
pub struct Single {
    reader: Reader,
    /// Where crops lie on a card: what fetches them, and the bytes of the last one.
    fetched: Option<(Stream, Vec<u8>)>,
}

impl Single {
    /// Reads a crop with that many variants: the first alone where each of its characters is read with a probability of `enough`.
    ///
    /// # Errors
    /// A buffer that is no such crop or lies elsewhere; a run that fails.
    pub fn read(&mut self, crop: &Acquired, variants: usize, top_k: usize, enough: f32) -> Result<Vec<TextRead>, Fault> {
        let bytes = match &mut self.fetched {
            None => crop.bytes(),
            Some((stream, bytes)) => {
                let host = || Fault::new("a crop in host memory, the card's are read").hint("set MEMORY: cuda at `crop` and `enhance`");
                let pixels = crop.device().ok_or_else(host)?;
                bytes.resize(pixels.len(), 0);
                stream.download(&pixels, bytes).map_err(|e| Fault::new(e.to_string()).hint(e.hint()))?;
                bytes
            }
        };
        let pictures = pictures(bytes, crop.layout(), variants)?;
        // On a card one run of all is cheaper than two.
        let together = if enough > 1.0 || self.reader.info().device != Device::Cpu { pictures.len() } else { pictures.len().min(1) };
        let (first, others) = pictures.split_at(together);
        let mut reads = self.reader.read(first, top_k).map_err(|e| model_fault(&e))?;
        if !others.is_empty() && !reads.iter().all(|read| is_sure(read, enough)) {
            reads.extend(self.reader.read(others, top_k).map_err(|e| model_fault(&e))?);
        }
        Ok(reads)
    }
}

/// Whether each character is read with that probability. The confidence of the whole would not say so: of seven, one may be in doubt.
fn is_sure(read: &TextRead, enough: f32) -> bool {
    let is_sure = |character: &CharRead| character.probabilities.first().is_some_and(|probability| *probability >= enough);
    !read.characters.is_empty() && read.characters.iter().all(is_sure)
}

impl Engine {
    /// Opens the model as the parameters say; `memory` is where the crops lie.
    ///
    /// # Errors
    /// No card or no kernels where `memory` is `cuda`; a model that does not load.
    pub fn open(params: &Params, memory: &Memory) -> Result<Self, Fault> {
        let device = params.device.parse::<Device>()?;
        let options = Options {
            device,
            threads: params.threads,
            fp16: params.fp16,
            engine_cache: params.engine_cache.as_ref().map(PathBuf::from).or_else(default_engine_cache),
            cuda_graph: params.cuda_graph,
            gpu_batch: params.max_batch,
            ..Options::default()
        };
        let path = Path::new(&params.model);
        if params.memory == "host" {
            let reader = Reader::open(path, &options).map_err(|e| model_fault(&e))?;
            return Ok(Self::Single(Box::new(Single { reader, fetched: None })));
        }
        let wanted = |fault: Fault| fault.context("parameter `memory` is `cuda`");
        let no_card = || Fault::new("buffers of the host, a card's are wanted").hint("`gantry doctor` says what is missing");
        let card = memory.context().ok_or_else(|| wanted(no_card()))?;
        if device == Device::Cpu {
            let reader = Reader::open(path, &options).map_err(|e| model_fault(&e))?;
            let stream = Stream::new(card).map_err(|e| wanted(Fault::new(e.to_string()).hint(e.hint())))?;
            return Ok(Self::Single(Box::new(Single { reader, fetched: Some((stream, Vec::new())) })));
        }
        let device = if device == Device::Auto { Device::Cuda } else { device };
        let kernels = Kernels::load(card, &LoadOptions::from_env()).map_err(|e| wanted(kernel_fault(&e)))?;
        let reader = DeviceReader::open(path, &Options { device, ..options }, &kernels).map_err(|e| wanted(model_fault(&e)))?;
        Ok(Self::Card(Box::new(reader)))
    }

    /// What the model says about itself.
    #[must_use]
    pub fn info(&self) -> &gantry_inference::ModelInfo {
        match self {
            Self::Single(single) => single.reader.info(),
            Self::Card(reader) => reader.info(),
        }
    }
}

fn kernel_fault(error: &KernelError) -> Fault {
    Fault::new(error.full()).hint(error.hint())
}
