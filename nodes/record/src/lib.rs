//! Writes what cameras sent and what was made of it into a recording that can be replayed.
//!
//! A recording is an [MCAP](https://mcap.dev) file: the packets of every camera as `camera` sent them, the same as video for
//! [Foxglove](https://foxglove.dev), the edges that are connected here, the graph (passwords taken out), and the SHA-256 of every model. It is
//! written twice a second, so that the death of this process costs no more than that; a new part begins at `PART_MB` or `PART_MINUTES`.
//!
//! Nothing waits for this node. In a lossless run a packet that did not reach it ends the run with a fault; in a live run it is counted
//! (`missing_packets`) and shows in the recording. The same with a full disk: a lossless run fails, a live one goes on unrecorded and
//! counts `unrecorded_messages`; what was written until then can be replayed.
//!
//! `OUT` that is there already: a lossless run replaces it, a live one takes the next free number.
//!
//! **Clips** (`KEEP: events`). Packets go into a ring in memory, `RING_MB` per camera, and each reading makes a clip of its camera: from
//! `BEFORE_S` before the vehicle was first seen, rounded down to a key frame, to `AFTER_S` after it was last seen. A clip is a recording of
//! its own beside `OUT`, `run.gate.00000123.mcap` after its first packet, with its readings; passes that overlap share one. Other results are
//! not kept.
//!
//! ```yaml
//! - id: record
//!   path: bin/record
//!   inputs:
//!     tick: dora/timer/millis/500
//!     packets_cam0: { source: camera_cam0/packets, queue_size: 256, queue_policy: backpressure }
//!     readings: { source: vote/readings, queue_size: 256, queue_policy: backpressure }
//!   env: { OUT: ../out/run.mcap }
//! ```

mod contract;
mod events;
mod ring;
mod video;

pub use contract::CONTRACT;

use events::{Events, Rules};
use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_messages::{PacketRow, ReadingRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gantry_origin::Origin;
use gantry_recording::{About, Limits, RecordError, Recorder, Taken};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tracing::{error, info, warn};
use video::Videos;

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    out: PathBuf,
    part_mb: u64,
    part_minutes: u64,
    video: bool,
    fsync: bool,
    keep: Keep,
    before_s: f64,
    after_s: f64,
    ring_mb: usize,
}

/// What is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Keep {
    All,
    Events,
}

/// The node.
pub struct Record {
    context: Context,
    /// None after a live run could not write on.
    recorder: Option<Recorder>,
    /// In place of `recorder`, with `KEEP: events`.
    events: Option<Events>,
    videos: Option<Videos>,
}

impl Stage for Record {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        if context.inputs().is_empty() && !context.graph.is_null() {
            return Err(Fault::new("nothing is connected to this node").hint("connect `camera/packets` as `packets`, and results"));
        }
        let about = about(context)?;
        if params.keep == Keep::Events {
            return Self::open_events(&params, about, context);
        }
        let limits =
            Limits { part_bytes: params.part_mb * 1_000_000, part_time: Duration::from_secs(params.part_minutes * 60), sync: params.fsync };
        let recorder = Recorder::create(&params.out, about, limits, context.mode == Mode::Lossless).map_err(record_fault)?;
        info!(file = %recorder.path().display(), "recording");
        Ok(Self { context: context.clone(), recorder: Some(recorder), events: None, videos: params.video.then(Videos::default) })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if let Some(events) = &mut self.events {
            let written = match input.port.as_str() {
                "packets" => take_all(&input.rows::<PacketRow>()?, |row| events.packet(row), &self.context, out)?,
                "readings" => {
                    let topic = topic(&self.context, &input.id);
                    input.rows::<ReadingRow>()?.iter().try_for_each(|reading| events.reading(&topic, reading))
                }
                _ => Ok(()),
            };
            return self.settle(written, out);
        }
        let Some(recorder) = &mut self.recorder else {
            out.count("unrecorded_messages", 1);
            return Ok(());
        };
        let written = if input.port == "packets" {
            let rows = input.rows::<PacketRow>()?;
            let videos = &mut self.videos;
            let write = |row: &PacketRow| {
                let picture = videos.as_mut().and_then(|v| v.convert(row));
                recorder.packet(row, picture.as_ref().map(video::Picture::as_video))
            };
            take_all(&rows, write, &self.context, out)?
        } else {
            let kind = CONTRACT.input_port(&input.id).map(|p| p.message.to_string()).unwrap_or_default();
            recorder.result(&topic(&self.context, &input.id), &kind, input.array())
        };
        self.settle(written, out)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let flushed = match &mut self.events {
            Some(events) => {
                out.count("clips", events.take_new());
                events.flush()
            }
            None => self.recorder.as_mut().map_or(Ok(()), Recorder::flush),
        };
        self.settle(flushed, out)
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        // In a lossless run a camera without an end was cut off.
        let live = self.context.mode == Mode::Live;
        let finish = |recorder: &mut Recorder| {
            if live {
                recorder.end_cameras()?;
            }
            recorder.finish()
        };
        let finished = match &mut self.events {
            Some(events) => events.finish(),
            None => self.recorder.as_mut().map_or(Ok(()), finish),
        };
        self.settle(finished, out)
    }
}

impl Record {
    fn open_events(params: &Params, about: About, context: &Context) -> Result<Self, Fault> {
        let ports: Vec<String> = context.inputs().iter().filter_map(|e| Some(CONTRACT.input_port(&e.input)?.name.to_string())).collect();
        let has = |name: &str| ports.iter().any(|port| port == name);
        if !context.graph.is_null() && (!has("packets") || !has("readings")) {
            return Err(Fault::new("`KEEP: events` needs `packets` and `readings`").hint("connect both, or set `KEEP: all`"));
        }
        if ports.iter().any(|p| *p != "packets" && *p != "readings") {
            warn!("clips hold packets and readings; the other inputs are not recorded");
        }
        let ns = |seconds: f64| (seconds * 1e9) as i64;
        let rules = Rules {
            before_ns: ns(params.before_s),
            after_ns: ns(params.after_s),
            ring_bytes: params.ring_mb * 1_000_000,
            video: params.video,
            sync: params.fsync,
        };
        let events = Events::new(&params.out, about, rules);
        Ok(Self { context: context.clone(), recorder: None, events: Some(events), videos: None })
    }

    /// A lossless run ends with what could not be written; a live one goes on without a recording.
    fn settle(&mut self, written: Result<(), RecordError>, out: &mut Outputs) -> Result<(), Fault> {
        let Err(failure) = written else { return Ok(()) };
        if self.context.mode == Mode::Lossless {
            return Err(record_fault(failure));
        }
        if self.events.is_some() {
            error!(hint = failure.hint(), "a clip ends here: {failure}");
        } else {
            error!(hint = failure.hint(), "the recording ends here: {failure}");
            self.recorder = None;
        }
        out.count("unrecorded_messages", 1);
        Ok(())
    }
}

/// The channel of an input's messages.
fn topic(context: &Context, input: &str) -> String {
    let sender = context.inputs().iter().find(|e| e.input == input);
    sender.map_or_else(|| format!("/{input}"), |e| format!("/{}/{}", e.from_node, e.from_output))
}

fn take_all(
    rows: &[PacketRow],
    mut write: impl FnMut(&PacketRow) -> Result<Taken, RecordError>,
    context: &Context,
    out: &mut Outputs,
) -> Result<Result<(), RecordError>, Fault> {
    for row in rows {
        let taken = match write(row) {
            Ok(taken) => taken,
            Err(failure) => return Ok(Err(failure)),
        };
        match taken {
            Taken::Recorded => out.count("packets", 1),
            Taken::Repeated => out.count("repeated_packets", 1),
            Taken::After(missing) if context.mode == Mode::Lossless => {
                return Err(Fault::new(format!("{missing} packets of camera `{}` before number {} did not arrive", row.source, row.frame))
                    .hint("the recording would have a hole: raise `queue_size` of the edge, or give the machine less to do"));
            }
            Taken::After(missing) => {
                warn!(camera = row.source, missing, before = row.frame, "packets did not arrive; the recording has a hole");
                out.count("missing_packets", missing);
                out.count("packets", 1);
            }
        }
    }
    Ok(Ok(()))
}

/// What the recording says of its run.
fn about(context: &Context) -> Result<About, Fault> {
    let origin = Origin::of(context)?;
    for file in &origin.unreadable {
        warn!("the recording will not have the digest of {file}");
    }
    let folder = std::env::current_dir().unwrap_or_default();
    let about = About::default()
        .with(About::RUN, &context.run_id)
        .with(About::MODE, &origin.mode)
        .with(About::VERSION, &origin.gantry)
        .with(About::FOLDER, folder.display().to_string())
        .with(About::GRAPH, &origin.graph);
    Ok(origin.files.iter().fold(about, |about, (parameter, sum)| about.with_digest(parameter, sum)))
}

fn record_fault(error: RecordError) -> Fault {
    let hint = error.hint();
    Fault::from(error).hint(hint)
}
