//! Writes readings down: JSON Lines for scripts, SQLite for sites, Parquet for analysis, JPEGs of plate and frame beside them.
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
//! **Parquet.** A file every `PARQUET_S` with the columns of the table `readings`, `votes` as a list of structs. What came since the last
//! file is in memory only: a kill loses that of Parquet, so use it beside one of the others.
//!
//! **Origin.** Each reading can be traced to the graph (without passwords) and to the digests of the models and tables that made it: table `origins`,
//! named by the column `origin`; metadata `gantry.origin` of a Parquet file; `readings.origin.jsonl` beside the JSON Lines file, one line, in live mode one
//! per change with the time since when it holds. A file that cannot be read where `store` runs is told in the log and left out.
//!
//! **Visits.** With the input `visits` and the parameter `VISITS`, events of visits go to a JSON Lines file of their own, added for ever.
//!
//! **Retention.** What was stored longer than `RETENTION_DAYS` ago is deleted, once an hour: rows with their votes (overwritten with zeros, `secure_delete`,
//! and the log emptied), pictures and Parquet files (overwritten, removed), in live mode lines of the JSON Lines file by their
//! `captured_at`, and of visits by their `at` (the file of before is overwritten). A file system that copies on write, a flash disk and a backup keep what they like.
//!
//! **Tracks.** With the optional input `tracks` and the parameter `TRACKS`, the boxes of every frame go to a JSON Lines file:
//! `gantry read --annotated` draws them.
//!
//! **A disk that takes nothing** (full, read-only) while the node runs: a live site goes on. Up to 10,000 readings wait in memory until the disk takes them (`held`),
//! the oldest are given up above that (`held_dropped`), and what still waits at the end fails the node. For their Parquet file alone 100,000 wait (`parquet_failures`,
//! `parquet_dropped`). A lossless run would not be complete and ends with the message. Either way it is said once, and what was written before stays intact. A place that
//! cannot be written at the start ends the node.
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
pub mod origins;
pub mod parquet;
pub mod retention;
pub mod sqlite;
pub mod tracks;
mod waiting;

pub use contract::CONTRACT;
pub use gantry_records::{Record, VisitRecord, VoteRecord};

use crate::evidence::Evidence;
use crate::jsonl::{Jsonl, Order};
use crate::parquet::{MAX_ROWS, Parquet};
use crate::retention::Retention;
use crate::sqlite::Sqlite;
use crate::tracks::TracksFile;
use crate::waiting::{MAX_HELD, Unwritten, Waiting};
use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_messages::{ReadingRow, TracksRow, VisitRow};
use gantry_node::{Context, Episode, Fault, Input, Outputs, Stage};
use gantry_origin::Origin;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tracing::{error, info, warn};

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
    pub parquet_dir: PathBuf,
    pub parquet_s: f64,
    pub retention_days: f64,
    #[serde(default)]
    pub visits: Option<PathBuf>,
    #[serde(default)]
    pub tracks: Option<PathBuf>,
    pub fsync: bool,
}

/// The node.
pub struct Store {
    jsonl: Option<Jsonl>,
    sqlite: Option<Sqlite>,
    parquet: Option<Parquet>,
    visits: Option<Jsonl>,
    evidence: Option<Evidence>,
    tracks: Option<TracksFile>,
    retention: Retention,
    evidence_dir: Option<PathBuf>,
    parquet_dir: PathBuf,
    mode: Mode,
    /// What the disk has not taken.
    waiting: Waiting,
    /// It takes nothing.
    holding: Episode,
    /// More waits than there is room for.
    dropping: Episode,
    /// Parquet files cannot be written.
    without_parquet: Episode,
}

const HINT: &str =
    "make room or name another place in `JSONL`, `SQLITE`, `PARQUET_DIR` or `EVIDENCE_DIR`; readings written so far are complete";

impl Stage for Store {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, ctx: &Context) -> Result<Self, Fault> {
        if let Some(unknown) = params.format.iter().find(|f| !["jsonl", "sqlite", "parquet"].contains(&f.as_str())) {
            return Err(Fault::new(format!("parameter `format`: `{unknown}` is no format"))
                .hint("use `jsonl`, `sqlite`, `parquet`, or several, as `jsonl,sqlite`"));
        }
        let wants = |format: &str| params.format.iter().any(|f| f == format);
        let hinted = |fault: Fault| fault.hint("name a place that this user may write to");
        let order = if matches!(ctx.mode, Mode::Lossless) { Order::Sorted } else { Order::Arrival };
        let run = ctx.run_dir.as_ref().and_then(|d| d.file_name()).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let origin = Origin::of(ctx)?;
        for file in &origin.unreadable {
            warn!("readings will not say which version they were made with: {file}");
        }
        let jsonl = wants("jsonl").then(|| Jsonl::open(&params.jsonl, order, params.fsync)).transpose().map_err(|e| hinted(e.into()))?;
        if jsonl.as_ref().is_some_and(Jsonl::is_file) {
            origins::write(&params.jsonl, order, &origin).map_err(|e| hinted(e.into()))?;
        }
        let sqlite =
            wants("sqlite").then(|| Sqlite::open(&params.sqlite, &run, &origin, params.fsync)).transpose().map_err(|e| hinted(e.into()))?;
        let every = Duration::try_from_secs_f64(params.parquet_s).unwrap_or(Duration::MAX);
        let parquet =
            wants("parquet").then(|| Parquet::open(&params.parquet_dir, &run, &origin, every)).transpose().map_err(|e| hinted(e.into()))?;
        let beside = if wants("jsonl") { &params.jsonl } else { &params.sqlite };
        let evidence =
            params.evidence_dir.as_ref().map(|d| Evidence::open(d, beside.parent())).transpose().map_err(|e| hinted(e.into()))?;
        let tracks = params
            .tracks
            .as_ref()
            .map(|p| TracksFile::create(p).map_err(|e| hinted(Fault::from(e).context(p.display().to_string()))))
            .transpose()?;
        let visits = params.visits.as_ref().map(|p| Jsonl::open(p, Order::Arrival, params.fsync)).transpose();
        let visits = visits.map_err(|e| hinted(e.into()))?;
        let retention = Retention::new(params.retention_days);
        let (evidence_dir, parquet_dir) = (params.evidence_dir, params.parquet_dir);
        Ok(Self {
            jsonl,
            sqlite,
            parquet,
            visits,
            evidence,
            tracks,
            retention,
            evidence_dir,
            parquet_dir,
            mode: ctx.mode,
            waiting: Waiting::default(),
            holding: Episode::default(),
            dropping: Episode::default(),
            without_parquet: Episode::default(),
        })
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.retention.change(params.retention_days);
        Ok(())
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        if self.waiting.len() > 0 {
            self.write_or_hold(out)?;
        }
        if let Some(parquet) = self.parquet.as_mut().filter(|parquet| parquet.is_due()) {
            match parquet.flush() {
                Ok(()) => {
                    self.without_parquet.ends();
                }
                Err(error) => {
                    // They are kept in memory; the end of the node tries once more and fails then.
                    if self.without_parquet.begins() && !self.holding.lasts() {
                        error!(hint = HINT, "readings are held in memory until a Parquet file can be written: {error}");
                    }
                    out.count("parquet_failures", 1);
                    let dropped = parquet.bound(MAX_ROWS);
                    if dropped > 0 {
                        error!("{dropped} readings will be in no Parquet file: {MAX_ROWS} are held in memory, and the oldest go");
                    }
                    out.count("parquet_dropped", dropped);
                }
            }
        }
        if let Some(before) = self.retention.due() {
            self.purge(before, out);
        }
        Ok(())
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if input.port == "tracks" {
            return match &mut self.tracks {
                Some(file) => file.write(&input.rows::<TracksRow>()?).map_err(|e| Fault::from(e).context("tracks").hint(HINT)),
                None => Ok(()),
            };
        }
        if input.port == "visits" {
            if self.visits.is_some() {
                self.waiting.add_visits(input.rows::<VisitRow>()?.into_iter().filter(|row| !row.end));
            }
        } else {
            self.waiting.add_readings(input.rows::<ReadingRow>()?.into_iter().filter(|row| !row.end));
        }
        self.write_or_hold(out)
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let written = self.write_waiting(out).map_err(|unwritten| {
            let n = self.waiting.len();
            unwritten.fault.context(format!("{n} readings are not on the disk, and are lost"))
        });
        // All are tried, the first failure is told.
        let jsonl = self.jsonl.as_mut().map_or(Ok(()), Jsonl::finish).map_err(|e| Fault::from(e).hint(HINT));
        let sqlite = self.sqlite.as_mut().map_or(Ok(()), Sqlite::finish).map_err(|e| Fault::from(e).hint(HINT));
        let tracks = self.tracks.as_mut().map_or(Ok(()), TracksFile::finish).map_err(|e| Fault::from(e).context("tracks").hint(HINT));
        let parquet = self.parquet.as_mut().map_or(Ok(()), Parquet::flush).map_err(|e| Fault::from(e).hint(HINT));
        written.and(jsonl).and(sqlite).and(tracks).and(parquet)
    }
}

impl Store {
    /// Writes what waits. What the disk does not take is held in a live site, which goes on, and ends a lossless run, which would not be complete.
    fn write_or_hold(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        match self.write_waiting(out) {
            Ok(()) => {
                self.dropping.ends();
                if let Some(held) = self.holding.ends() {
                    info!(held_s = held.as_secs(), "the disk takes readings again; those that were held are written");
                }
            }
            Err(Unwritten { fault, may_pass: true }) if matches!(self.mode, Mode::Live) => {
                if self.holding.begins() {
                    error!(hint = fault.hint_text(), "readings are held in memory until the disk takes them: {}", fault.message());
                }
                let dropped = self.waiting.bound();
                if dropped > 0 && self.dropping.begins() {
                    error!("readings are lost: {MAX_HELD} are held, and the oldest go");
                }
                out.count("held_dropped", dropped);
            }
            Err(Unwritten { fault, .. }) => return Err(fault),
        }
        out.gauge("held", self.waiting.len() as f64);
        Ok(())
    }

    /// Readings and events, each as far as it goes.
    fn write_waiting(&mut self, out: &mut Outputs) -> Result<(), Unwritten> {
        let readings = self.write_readings(out);
        let Some(file) = &mut self.visits else { return readings };
        let (n, visits) = self.waiting.write_visits(file);
        if n > 0 {
            out.count("visits", n);
        }
        readings.and(visits)
    }

    fn write_readings(&mut self, out: &mut Outputs) -> Result<(), Unwritten> {
        self.waiting.write_lines(self.evidence.as_ref(), self.jsonl.as_mut())?;
        let records = self.waiting.records();
        if let Some(sqlite) = self.sqlite.as_mut().filter(|_| !records.is_empty()) {
            // All rows or none, and none twice.
            let new = sqlite.write(&records).map_err(|error| Unwritten { may_pass: error.may_pass(), ..Unwritten::now(error) })?;
            out.count("repeated", records.len() as u64 - new);
        }
        if let Some(parquet) = &mut self.parquet {
            parquet.write(&records);
        }
        out.count("readings", records.len() as u64);
        out.age("stored", records.iter().map(|(row, _)| row.captured_ns));
        self.waiting.readings_are_written();
        Ok(())
    }

    /// Deletes what is older than `before`. What cannot be deleted is told and tried again: new readings matter more.
    fn purge(&mut self, before: SystemTime, out: &mut Outputs) {
        let text = retention::text(before);
        let mut deleted: Vec<(&'static str, Result<u64, Fault>)> = Vec::new();
        if let Some(sqlite) = &mut self.sqlite {
            deleted.push(("purged_rows", sqlite.purge(&text).map_err(Fault::from)));
        }
        if let Some(jsonl) = &mut self.jsonl {
            deleted.push(("purged_lines", jsonl.purge(&text).map_err(Fault::from)));
        }
        if let Some(visits) = &mut self.visits {
            deleted.push(("purged_visits", visits.purge(&text).map_err(Fault::from)));
        }
        let folders = [
            ("purged_pictures", self.evidence_dir.as_deref().filter(|_| self.evidence.is_some()), "jpg"),
            ("purged_files", Some(self.parquet_dir.as_path()).filter(|_| self.parquet.is_some()), "parquet"),
        ];
        for (name, folder, extension) in folders {
            if let Some(folder) = folder {
                let purged = retention::purge_files(folder, extension, before);
                deleted.push((name, purged.map_err(|e| Fault::from(e).context(folder.display().to_string()))));
            }
        }
        for (name, result) in deleted {
            match result {
                Ok(0) => {}
                Ok(n) => {
                    info!(n, before = text, "{name}");
                    out.count(name, n);
                }
                Err(fault) => {
                    error!("readings older than {text} cannot be deleted: {}", fault.message());
                    out.count("purge_failures", 1);
                }
            }
        }
    }
}
