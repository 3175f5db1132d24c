//! Votes over all reads of a pass (frames x variants) and sends one reading for it.
//!
//! **The vote.** Reads are aligned to each other and every position is voted on with the reader's probabilities, weighted by
//! confidence, legibility and size; the variants of a frame share the weight of one. A vote over whole strings decides where
//! the alignment is poor or makes a text that nobody read. Look-alikes that stay tied (O/0 I/1 S/5 B/8 Z/2 G/6) are decided by
//! position from soft plate layouts; a plate that fits no layout is read as it stands. The confidence rises with the number
//! of independent frames that agree and falls with every position that is disputed. Formulas: `consensus.rs`, `syntax.rs`.
//!
//! `RULE` takes simpler rules, for comparison: whole texts, or the heaviest read alone. **Several readers** of a camera, each with
//! an edge to `texts` and `READERS` saying how many: all that was read in a frame votes together, as the variants of one reader
//! do, and the votes name picture and reader (`original@recognize_b`).
//!
//! **One reading per pass.** It is sent when the text is settled (`SETTLE_FRAMES` frames in a row say it, it is certain, and
//! the plate no longer grows) or, if that never happens, `MERGE_MS` of media time after the track ended: a new track that
//! reads the same plate within that time, or nearly the same at the place where the first would be by now, is the same pass
//! and its reads join the vote. A track whose text changes for good to a clearly different one (3 edits and more, 3 sure
//! frames each, one after the other) was two vehicles and gives two readings with its id. Passes with fewer than `MIN_READS`
//! frames or less than `MIN_CONFIDENCE` give none and are counted as `abstained`, and so do texts that never move
//! and that no sure vehicle carries: boards, clocks in the picture (`BOARDS: true` reads them too).
//!
//! **Decided tracks.** In live sites `decided` tells `crop` of tracks whose text is sure after `DECIDE_FRAMES` frames in a row: their plates are then read
//! more seldom, which leaves time for those that are not sure; and of those in which a different plate appears later, which are read as before. Until such a reading is settled each of its reads stands for the frames before it.
//!
//! **Order.** Tracks and texts are joined by camera and frame number; in lossless runs nothing depends on when messages
//! arrive or on other cameras. Readings of a camera come in the order in which they are due; those due with one frame by
//! last time, then track.
//!
//! ```yaml
//! - id: vote
//!   path: bin/vote
//!   inputs:
//!     tick: dora/timer/millis/500
//!     texts: { source: recognize/texts, queue_size: 256, queue_policy: backpressure }
//!     tracks: { source: track/tracks, queue_size: 256, queue_policy: backpressure }
//!   outputs: [readings]
//!   env: { MIN_CONFIDENCE: 0.5, SYNTAXES: ../nodes/vote/syntaxes.yml }
//! ```

pub mod alignment;
pub mod clash;
mod consensus;
mod contract;
pub mod join;
pub mod passes;
mod read;
pub mod segment;
mod syntax;
pub mod traffic;

pub use consensus::{Consensus, MOST_VOTES, Options, Rule, consensus};
pub use contract::CONTRACT;
pub use read::{Candidates, ORIGINAL, Read};
pub use syntax::{FLOOR, Fitted, SyntaxError, Syntaxes};

use crate::join::{Join, Joined};
use crate::passes::{Passes, Rules};
use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_messages::{DecidedRow, Message, ReadingRow, TextsRow, TracksRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub rule: Rule,
    pub readers: usize,
    pub min_confidence: f32,
    pub min_reads: u32,
    pub settle: bool,
    pub settle_frames: u32,
    pub settle_confidence: f32,
    pub decide_frames: u32,
    pub merge_ms: u32,
    pub boards: bool,
    pub parked_vehicle_confidence: f32,
    pub variants: bool,
    pub variant_weight: f64,
    pub syntax: bool,
    #[serde(default)]
    pub syntaxes: Option<PathBuf>,
    pub min_length: usize,
    pub max_length: usize,
}

impl Params {
    /// What they mean for [`Passes`]. `tells_decided`: somebody wants to know which tracks are decided.
    ///
    /// # Errors
    /// `min_length` above `max_length`.
    pub fn rules(&self, syntaxes: &Arc<Syntaxes>, tells_decided: bool) -> Result<Arc<Rules>, Fault> {
        if self.min_length > self.max_length {
            return Err(Fault::new(format!("parameter `min_length`: {} is above `max_length` {}", self.min_length, self.max_length))
                .hint("plates have 4 to 10 characters"));
        }
        Ok(Arc::new(Rules {
            options: Options {
                rule: self.rule,
                variants: self.variants,
                variant_weight: self.variant_weight,
                syntaxes: self.syntax.then(|| Arc::clone(syntaxes)),
                min_length: self.min_length,
                max_length: self.max_length,
            },
            min_confidence: self.min_confidence,
            min_reads: self.min_reads,
            settle_frames: self.settle.then_some(self.settle_frames),
            settle_confidence: self.settle_confidence,
            decide_frames: tells_decided.then_some(self.decide_frames),
            merge_ns: i64::from(self.merge_ms) * 1_000_000,
            boards: self.boards,
            parked_vehicle_confidence: self.parked_vehicle_confidence,
        }))
    }
}

/// Live: frames that one side of the join waits for the other (about 10 s).
const PATIENCE_FRAMES: usize = 256;
/// Live: seconds without a row after which a camera's passes are over.
const SILENCE_TICKS: u32 = 15;

struct Camera {
    join: Join,
    passes: Passes,
    quiet_ticks: u32,
}

/// The node.
pub struct Voting {
    /// Input id and node of each edge with texts, in the order of the graph.
    readers: Vec<(String, String)>,
    /// Readers per camera.
    wanted: usize,
    syntaxes: Arc<Syntaxes>,
    rules: Arc<Rules>,
    /// Whether `decided` is read.
    tells_decided: bool,
    mode: Mode,
    cameras: BTreeMap<String, Camera>,
}

impl Voting {
    fn camera(&mut self, source: &str) -> &mut Camera {
        let patience = matches!(self.mode, Mode::Live).then_some(PATIENCE_FRAMES);
        let (rules, wanted) = (&self.rules, self.wanted);
        self.cameras.entry(source.to_owned()).or_insert_with(|| Camera {
            join: Join::new(patience, wanted),
            passes: Passes::new(source, Arc::clone(rules)),
            quiet_ticks: 0,
        })
    }

    /// Takes rows of one side in, frame by frame.
    fn take<T: Message>(
        &mut self,
        rows: Vec<T>,
        add: impl Fn(&mut Join, T),
        again: impl Fn(&Join, u64) -> bool,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let (mut readings, mut decided) = (Vec::new(), Vec::new());
        for row in rows {
            let source = row.source().to_owned();
            if !row.is_end() && again(&self.camera(&source).join, row.frame()) {
                // The camera counts from 0 again: what was before is over.
                readings.extend(self.camera(&source).flush(out));
                self.cameras.remove(&source);
                out.count("camera_restarts", 1);
            }
            let camera = self.camera(&source);
            camera.quiet_ticks = 0;
            add(&mut camera.join, row);
            readings.extend(camera.advance(&source, &mut decided, out));
            if let Some(frames) = camera.join.ended() {
                readings.extend(camera.flush(out));
                self.cameras.remove(&source);
                readings.push(ReadingRow { source, frame: frames, end: true, ..ReadingRow::default() });
            }
        }
        out.send("decided", &decided)?;
        out.send("readings", &readings)
    }
}

impl Camera {
    fn step(&mut self, joined: Joined) -> Vec<ReadingRow> {
        self.passes.step(&joined.tracks, joined.texts.texts)
    }

    /// Votes on every frame that is complete.
    fn advance(&mut self, source: &str, decided: &mut Vec<DecidedRow>, out: &mut Outputs) -> Vec<ReadingRow> {
        let mut readings = Vec::new();
        while let Some(joined) = self.join.pop() {
            let (frame, captured_ns, before) = (joined.tracks.frame, joined.tracks.captured_ns, readings.len());
            readings.extend(self.step(joined));
            let row = |(track_id, sure)| DecidedRow { source: source.to_owned(), frame, end: false, captured_ns, track_id, sure };
            decided.extend(self.passes.take_decided().into_iter().map(row));
            // The frame that made them due, whichever they show.
            out.age("settled", std::iter::repeat_n(captured_ns, readings.len() - before));
        }
        self.count(&readings, out);
        readings
    }

    /// Ends everything.
    fn flush(&mut self, out: &mut Outputs) -> Vec<ReadingRow> {
        let mut readings = Vec::new();
        while let Some(joined) = self.join.pop_any() {
            readings.extend(self.step(joined));
        }
        readings.extend(self.passes.finish());
        self.count(&readings, out);
        readings
    }

    fn count(&mut self, readings: &[ReadingRow], out: &mut Outputs) {
        let counts = self.passes.take_counts();
        out.count("readings", readings.len() as u64);
        out.count("abstained", counts.abstained);
        out.count("tracks_merged", counts.merged);
        out.count("tracks_split", counts.split);
    }
}

impl Stage for Voting {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, ctx: &Context) -> Result<Self, Fault> {
        let syntaxes = Arc::new(match &params.syntaxes {
            Some(path) => Syntaxes::open(path).map_err(|e| {
                Fault::from(e)
                    .context(format!("parameter `syntaxes`, `{}`", path.display()))
                    .hint("see nodes/vote/syntaxes.yml for the form")
            })?,
            None => Syntaxes::built_in(),
        });
        let is_texts = |input: &str| CONTRACT.input_port(input).is_some_and(|port| port.name == "texts");
        let readers: Vec<(String, String)> =
            ctx.inputs().iter().filter(|e| is_texts(&e.input)).map(|e| (e.input.clone(), e.from_node.clone())).collect();
        if !readers.is_empty() && params.readers > readers.len() {
            return Err(Fault::new(format!("parameter `readers` is {}, edges with texts: {}", params.readers, readers.len()))
                .hint("connect each reader: `texts_a: { source: recognize_a/texts, ... }`, `texts_b: ...`"));
        }
        let tells_decided = !ctx.consumers("decided").is_empty();
        Ok(Self {
            rules: params.rules(&syntaxes, tells_decided)?,
            syntaxes,
            tells_decided,
            mode: ctx.mode,
            cameras: BTreeMap::new(),
            readers,
            wanted: params.readers,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if input.port == "tracks" {
            return self.take(input.rows::<TracksRow>()?, Join::add_tracks, Join::tracks_start_again, out);
        }
        let edge = self.readers.iter().position(|(id, _)| *id == input.id).unwrap_or(0);
        let name = self.readers.get(edge).map(|(_, node)| node.clone()).unwrap_or_default();
        let rows = input.rows::<TextsRow>()?;
        for row in &rows {
            let join = &self.camera(&row.source).join;
            if let Some(others) = join.too_many(edge) {
                let (camera, others) = (&row.source, others.join("` and `"));
                return Err(Fault::new(format!(
                    "camera `{camera}` is read by `{others}` and also by `{name}`, `readers` is {}",
                    self.wanted
                ))
                .hint("set `READERS` to the number of nodes that read each camera"));
            }
        }
        self.take(rows, |join, row| join.add_texts(edge, &name, row), |join, frame| join.texts_start_again(edge, frame), out)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        if !matches!(self.mode, Mode::Live) {
            return Ok(());
        }
        let mut readings = Vec::new();
        for camera in self.cameras.values_mut() {
            camera.quiet_ticks = camera.quiet_ticks.saturating_add(1);
            // A camera that fell silent sends no more media time that would make its readings due.
            if camera.quiet_ticks == SILENCE_TICKS {
                readings.extend(camera.flush(out));
            }
        }
        out.send("readings", &readings)
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.rules = params.rules(&self.syntaxes, self.tells_decided)?;
        for camera in self.cameras.values_mut() {
            camera.passes.set(Arc::clone(&self.rules));
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let mut readings = Vec::new();
        for camera in self.cameras.values_mut() {
            readings.extend(camera.flush(out));
        }
        self.cameras.clear();
        out.send("readings", &readings)
    }
}
