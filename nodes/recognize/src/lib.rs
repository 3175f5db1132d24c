//! Reads the text of plate crops.
//!
//! **Model.** One ONNX file, loaded by its path alone: a reader with a CTC head (`[N, steps, classes]`, also steps or classes
//! first) or with fixed slots, as fast-plate-ocr exports it. Alphabet, head, blank or padding, and colour come from the model's
//! metadata or from a sidecar beside it (`<model>.json`, `<model>_plate_config.yaml`). Every picture is stretched to the model's
//! input, or fitted on grey if the sidecar says `keep_aspect_ratio: true`.
//!
//! **Runs.** On the CPU each variant is a run of its own, which is also the fastest there; on a GPU all variants of one crop are one
//! run. Other crops are never in it: a crop's reads depend on nothing but its pictures.
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
mod pictures;

pub use contract::CONTRACT;
pub use pictures::{PicturesError, pictures};

use gantry_contract::Contract;
use gantry_frames::{AcquireError, Client, Handle, Mode};
use gantry_inference::{Device, ModelError, Options, Reader, TextRead, default_engine_cache};
use gantry_messages::{Crop, CropText, CropsRow, TextsRow, VariantRead};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Parameters, see the contract.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Params {
    pub model: String,
    pub top_k: usize,
    pub min_confidence: f32,
    pub threads: usize,
    pub device: String,
    pub fp16: bool,
    pub engine_cache: Option<String>,
}

/// The node.
pub struct Recognize {
    params: Params,
    reader: Reader,
    client: Client,
    mode: Mode,
}

impl Stage for Recognize {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let options = Options {
            device: params.device.parse::<Device>()?,
            threads: params.threads,
            fp16: params.fp16,
            engine_cache: params.engine_cache.as_ref().map(PathBuf::from).or_else(default_engine_cache),
            ..Options::default()
        };
        let reader = Reader::open(Path::new(&params.model), &options).map_err(|e| model_fault(&e))?;
        tracing::info!(device = %reader.info().device, input = %reader.info().input, "reader is ready");
        Ok(Self { params, reader, client: context.client(1)?, mode: context.mode })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let rows = input.rows::<CropsRow>()?;
        let mut handles = Vec::new();
        let mut texts = Vec::with_capacity(rows.len());
        let started = Instant::now();
        for row in rows {
            let mut text = TextsRow {
                source: row.source,
                frame: row.frame,
                end: row.end,
                pts_ns: row.pts_ns,
                captured_ns: row.captured_ns,
                texts: Vec::new(),
            };
            for crop in row.crops {
                let track_id = crop.track_id;
                let in_place =
                    |fault: Fault| fault.context(format!("crop of track {track_id} in frame {} of `{}`", text.frame, text.source));
                let handle = Handle::from_bytes(&crop.handle).map_err(|e| in_place(e.into()))?;
                handles.push(handle);
                let read = self.read(&handle, crop, out).map_err(in_place)?;
                text.texts.extend(read);
            }
            texts.push(text);
        }
        if !handles.is_empty() {
            out.count("busy_us", started.elapsed().as_micros() as u64);
        }
        out.send("texts", &texts)?;
        for handle in &handles {
            match self.client.ack(handle) {
                // A producer that has ended needs no acknowledgement any more.
                Ok(()) | Err(AcquireError::Closed { .. }) => {}
                Err(_) if self.mode == Mode::Live => {}
                Err(error) => return Err(Fault::from(error).context("acknowledging a crop")),
            }
        }
        Ok(())
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.params = params;
        Ok(())
    }
}

impl Recognize {
    /// `None` where the crop is gone, which only live mode allows.
    fn read(&mut self, handle: &Handle, crop: Crop, out: &mut Outputs) -> Result<Option<CropText>, Fault> {
        let acquired = match self.client.acquire(handle) {
            Ok(acquired) => acquired,
            Err(AcquireError::Stale { .. } | AcquireError::Closed { .. }) if self.mode == Mode::Live => {
                out.count("stale", 1);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let pictures = pictures(acquired.bytes(), acquired.layout(), crop.variants.len())?;
        let reads = self.reader.read(&pictures, self.params.top_k).map_err(|e| model_fault(&e))?;
        out.count("crops", 1);
        out.count("pictures", reads.len() as u64);
        let least = self.params.min_confidence;
        let named = |(variant, read): (String, TextRead)| VariantRead {
            variant,
            text: read.text,
            confidence: read.confidence,
            characters: read.characters,
        };
        Ok(Some(CropText {
            track_id: crop.track_id,
            bbox_in_source: crop.bbox_in_source,
            plate_confidence: crop.plate_confidence,
            legibility: crop.legibility,
            reads: crop.variants.into_iter().zip(reads).filter(|(_, read)| read.confidence >= least).map(named).collect(),
            evidence: crop.evidence,
        }))
    }
}

fn model_fault(error: &ModelError) -> Fault {
    Fault::new(error.to_string()).hint(error.hint())
}
