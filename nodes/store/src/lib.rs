//! Writes readings down: JSON Lines for scripts, SQLite for sites, a JPEG of the plate beside them.
//!
//! **JSON Lines.** One object per reading: `camera, track_id, plate, confidence, first_seen_s, last_seen_s` (media time),
//! `captured_at` (RFC 3339; `null` for files, which have media time only), `syntax, votes, frames_read, reads, bbox_xyxy,
//! evidence_frame, evidence`. A line is written whole and at once, so a stop in the middle leaves a valid file. Lossless: the
//! file starts empty, and at the end its lines are put in the order of camera, first time and track; the same input gives
//! the same bytes, and a camera's lines are the same with and without other cameras. Live: lines are added in the order in
//! which they come; after a crash a torn last line is cut off.
//!
//! **SQLite.** Tables `readings` and `votes`; WAL, so others can read meanwhile. A reading is written once per run however
//! often it arrives (unique by run, camera, track and first frame); the run is the name of the run folder.
//!
//! **Tracks.** With the optional input `tracks` and the parameter `TRACKS`, the boxes of every frame go to a JSON Lines file:
//! `gantry read --annotated` draws them.
//!
//! A disk that is full or a folder that cannot be written ends the node with a message; what was written before stays intact.
//!
//! ```yaml
//! - id: store
//!   path: bin/store
//!   inputs:
//!     tick: dora/timer/millis/500
//!     readings: { source: vote/readings, queue_size: 256, queue_policy: backpressure }
//!   env: { FORMAT: "jsonl,sqlite", JSONL: ../out/readings.jsonl, SQLITE: ../out/readings.sqlite, EVIDENCE_DIR: ../out/evidence }
//! ```

mod contract;
pub mod evidence;
pub mod jsonl;
pub mod record;
pub mod sqlite;
pub mod tracks;

pub use contract::CONTRACT;
pub use record::{Record, VoteRecord};

use crate::evidence::Evidence;
use crate::jsonl::{Jsonl, Order};
use crate::sqlite::Sqlite;
use crate::tracks::TracksFile;
use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_messages::{ReadingRow, TracksRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::path::PathBuf;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub format: Vec<String>,
    pub jsonl: PathBuf,
    pub sqlite: PathBuf,
    #[serde(default)]
    pub evidence_dir: Option<PathBuf>,
    #[serde(default)]
    pub tracks: Option<PathBuf>,
    pub fsync: bool,
}

/// The node.
pub struct Store {
    jsonl: Option<Jsonl>,
    sqlite: Option<Sqlite>,
    evidence: Option<Evidence>,
    tracks: Option<TracksFile>,
}

const HINT: &str = "make room or name another place in `JSONL`, `SQLITE` or `EVIDENCE_DIR`; readings written so far are complete";

impl Stage for Store {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, ctx: &Context) -> Result<Self, Fault> {
        if let Some(unknown) = params.format.iter().find(|f| !["jsonl", "sqlite"].contains(&f.as_str())) {
            return Err(Fault::new(format!("parameter `format`: `{unknown}` is no format")).hint("use `jsonl`, `sqlite` or `jsonl,sqlite`"));
        }
        let wants = |format: &str| params.format.iter().any(|f| f == format);
        let hinted = |fault: Fault| fault.hint("name a place that this user may write to");
        let order = if matches!(ctx.mode, Mode::Lossless) { Order::Sorted } else { Order::Arrival };
        let run = ctx.run_dir.as_ref().and_then(|d| d.file_name()).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let jsonl = wants("jsonl").then(|| Jsonl::open(&params.jsonl, order, params.fsync)).transpose().map_err(|e| hinted(e.into()))?;
        let sqlite = wants("sqlite").then(|| Sqlite::open(&params.sqlite, &run, params.fsync)).transpose().map_err(|e| hinted(e.into()))?;
        let beside = if wants("jsonl") { &params.jsonl } else { &params.sqlite };
        let evidence =
            params.evidence_dir.as_ref().map(|d| Evidence::open(d, beside.parent())).transpose().map_err(|e| hinted(e.into()))?;
        let tracks = params
            .tracks
            .as_ref()
            .map(|p| TracksFile::create(p).map_err(|e| hinted(Fault::from(e).context(p.display().to_string()))))
            .transpose()?;
        Ok(Self { jsonl, sqlite, evidence, tracks })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if input.port == "tracks" {
            return match &mut self.tracks {
                Some(file) => file.write(&input.rows::<TracksRow>()?).map_err(|e| Fault::from(e).context("tracks").hint(HINT)),
                None => Ok(()),
            };
        }
        let rows = input.rows::<ReadingRow>()?;
        let mut records: Vec<(&ReadingRow, Record)> = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|r| !r.end) {
            let evidence = match &self.evidence {
                Some(evidence) => evidence.write(row).map_err(|e| Fault::from(e).hint(HINT))?,
                None => None,
            };
            let record = Record::of(row, evidence);
            // Right after its picture: a disk that fills up at the next picture has this reading complete.
            if let Some(jsonl) = &mut self.jsonl {
                jsonl.write(&record).map_err(|e| Fault::from(e).hint(HINT))?;
            }
            records.push((row, record));
        }
        out.count("readings", records.len() as u64);
        out.age("stored", records.iter().map(|(row, _)| row.captured_ns));
        if let Some(sqlite) = &mut self.sqlite
            && !records.is_empty()
        {
            let new = sqlite.write(&records).map_err(|e| Fault::from(e).hint(HINT))?;
            out.count("repeated", records.len() as u64 - new);
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Outputs) -> Result<(), Fault> {
        // Both are tried, the first failure is told.
        let jsonl = self.jsonl.as_mut().map_or(Ok(()), Jsonl::finish).map_err(|e| Fault::from(e).hint(HINT));
        let sqlite = self.sqlite.as_mut().map_or(Ok(()), Sqlite::finish).map_err(|e| Fault::from(e).hint(HINT));
        let tracks = self.tracks.as_mut().map_or(Ok(()), TracksFile::finish).map_err(|e| Fault::from(e).context("tracks").hint(HINT));
        jsonl.and(sqlite).and(tracks)
    }
}
