//! Reads the text of plate crops.
//!
//! **Model.** One ONNX file, loaded by its path alone: a reader with a CTC head (`[N, steps, classes]`, also steps or classes
//! first) or with fixed slots, as fast-plate-ocr exports it. Alphabet, head, blank or padding, and colour come from the model's
//! metadata or from a sidecar beside it (`<model>.json`, `<model>_plate_config.yaml`). Every picture is stretched to the model's
//! input, or fitted on grey if the sidecar says `keep_aspect_ratio: true`.
//!
//! **Runs.** On the CPU each variant is a run of its own, which is also the fastest there; on a GPU all variants of one crop are one
//! run. Other crops are never in it: a crop's reads depend on nothing but its pictures. Live, on the CPU, the variants are read only where the original is not read
//! surely (`sure_character`): half of all runs are of variants that say what the original said.
//!
//! **Memory.** With `MEMORY: cuda` the crops lie on the card, where `enhance` with the same parameter puts them. The crops of a message, of whatever
//! cameras, are read together there, `max_batch` pictures in each run, and only the probabilities of characters come to the host. With `DEVICE: cpu` the
//! crops are fetched instead.
//!
//! **Output.** Per variant the text, its confidence (geometric mean of its characters' probabilities) and for every character the
//! `top_k` candidates with probabilities over the alphabet, for `vote` to weigh. A picture without text is a read with an empty
//! text and confidence 0.
//!
//! ```yaml
//! - id: recognize
//!   path: bin/recognize
//!   inputs:
//!     tick: dora/timer/millis/500
//!     crops: { source: enhance/crops, queue_size: 256, queue_policy: backpressure }
//!   outputs: [texts]
//!   env: { MODEL: ../models/reader.onnx }
//! ```

mod contract;
mod engine;
mod on_card;
mod pictures;

pub use contract::CONTRACT;
pub use pictures::{PicturesError, pictures};

use engine::{Engine, Single};
use gantry_contract::Contract;
use gantry_frames::{AcquireError, Acquired, Client, Handle, Memory, Mode};
use gantry_inference::{ModelError, TextRead};
use gantry_messages::{Crop, CropText, CropsRow, TextsRow, VariantRead};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::time::Instant;

/// Parameters, see the contract.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Params {
    pub model: String,
    pub top_k: usize,
    pub min_confidence: f32,
    pub sure_character: f32,
    pub threads: usize,
    pub device: String,
    pub memory: String,
    pub max_batch: usize,
    pub fp16: bool,
    pub cuda_graph: bool,
    pub engine_cache: Option<String>,
}

/// The node.
pub struct Recognize {
    engine: Engine,
    desk: Desk,
}

/// Takes crops, and makes rows of what was read.
struct Desk {
    params: Params,
    client: Client,
    mode: Mode,
}

impl Stage for Recognize {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let memory = if params.memory == "cuda" { context.memory_of_card()? } else { Memory::Host };
        let engine = Engine::open(&params, &memory)?;
        let held = if matches!(engine, Engine::Card(_)) { on_card::MOST_HELD as u32 } else { 1 };
        tracing::info!(device = %engine.info().device, memory = params.memory, input = %engine.info().input, "reader is ready");
        Ok(Self { engine, desk: Desk { params, client: context.client_on(held, &memory)?, mode: context.mode } })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let (mut handles, mut crops, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for row in input.rows::<CropsRow>()? {
            crops.extend(row.crops.into_iter().map(|crop| (texts.len(), crop)));
            texts.push(TextsRow {
                source: row.source,
                frame: row.frame,
                end: row.end,
                pts_ns: row.pts_ns,
                captured_ns: row.captured_ns,
                texts: Vec::new(),
            });
        }
        let started = Instant::now();
        match &mut self.engine {
            Engine::Card(reader) => self.desk.read_together(reader, crops, &mut texts, &mut handles, out)?,
            Engine::Single(single) => {
                for (row, crop) in crops {
                    let text = &mut texts[row];
                    let in_place = format!("crop of track {} in frame {} of `{}`", crop.track_id, text.frame, text.source);
                    let handle = Handle::from_bytes(&crop.handle).map_err(|e| Fault::from(e).context(in_place.clone()))?;
                    handles.push(handle);
                    text.texts.extend(self.desk.read(single, &handle, crop, out).map_err(|fault| fault.context(in_place))?);
                }
            }
        }
        if !handles.is_empty() {
            out.count("busy_us", started.elapsed().as_micros() as u64);
        }
        out.send("texts", &texts)?;
        for handle in &handles {
            match self.desk.client.ack(handle) {
                // A producer that has ended needs no acknowledgement any more.
                Ok(()) | Err(AcquireError::Closed { .. }) => {}
                Err(_) if self.desk.mode == Mode::Live => {}
                Err(error) => return Err(Fault::from(error).context("acknowledging a crop")),
            }
        }
        Ok(())
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.desk.params = params;
        Ok(())
    }
}

impl Desk {
    /// `None` where the crop is gone, which only live mode allows.
    fn acquire(&self, handle: &Handle, out: &mut Outputs) -> Result<Option<Acquired>, Fault> {
        match self.client.acquire(handle) {
            Ok(acquired) => Ok(Some(acquired)),
            Err(AcquireError::Stale { .. } | AcquireError::Closed { .. }) if self.mode == Mode::Live => {
                out.count("stale", 1);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `None` where the crop is gone.
    fn read(&mut self, single: &mut Single, handle: &Handle, crop: Crop, out: &mut Outputs) -> Result<Option<CropText>, Fault> {
        let Some(acquired) = self.acquire(handle, out)? else { return Ok(None) };
        let enough = if self.mode == Mode::Live { self.params.sure_character } else { f32::INFINITY };
        let reads = single.read(&acquired, crop.variants.len(), self.params.top_k, enough)?;
        out.count("crops", 1);
        out.count("pictures", reads.len() as u64);
        Ok(Some(text_of(crop, reads, self.params.min_confidence)))
    }
}

/// A crop's reads, those below `least` left out.
fn text_of(crop: Crop, reads: Vec<TextRead>, least: f32) -> CropText {
    let named = |(variant, read): (String, TextRead)| VariantRead {
        variant,
        text: read.text,
        confidence: read.confidence,
        characters: read.characters,
    };
    CropText {
        track_id: crop.track_id,
        bbox_in_source: crop.bbox_in_source,
        plate_confidence: crop.plate_confidence,
        legibility: crop.legibility,
        reads: crop.variants.into_iter().zip(reads).filter(|(_, read)| read.confidence >= least).map(named).collect(),
        evidence: crop.evidence,
        overview: crop.overview,
    }
}

pub(crate) fn model_fault(error: &ModelError) -> Fault {
    Fault::new(error.to_string()).hint(error.hint())
}
