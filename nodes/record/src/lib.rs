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
mod origin;
mod video;

pub use contract::CONTRACT;

use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_messages::PacketRow;
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gantry_recording::{Limits, RecordError, Recorder, Taken};
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
}

/// The node.
pub struct Record {
    context: Context,
    /// None after a live run could not write on.
    recorder: Option<Recorder>,
    videos: Option<Videos>,
}

impl Stage for Record {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        if context.inputs().is_empty() && !context.graph.is_null() {
            return Err(Fault::new("nothing is connected to this node").hint("connect `camera/packets` as `packets`, and results"));
        }
        let limits =
            Limits { part_bytes: params.part_mb * 1_000_000, part_time: Duration::from_secs(params.part_minutes * 60), sync: params.fsync };
        let recorder =
            Recorder::create(&params.out, origin::about(context)?, limits, context.mode == Mode::Lossless).map_err(record_fault)?;
        info!(file = %recorder.path().display(), "recording");
        Ok(Self { context: context.clone(), recorder: Some(recorder), videos: params.video.then(Videos::default) })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let Some(recorder) = &mut self.recorder else {
            out.count("unrecorded_messages", 1);
            return Ok(());
        };
        let written = if input.port == "packets" {
            let rows = input.rows::<PacketRow>()?;
            packets(recorder, self.videos.as_mut(), &rows, &self.context, out)?
        } else {
            let sender = self.context.inputs().iter().find(|e| e.input == input.id);
            let topic = sender.map_or_else(|| format!("/{}", input.id), |e| format!("/{}/{}", e.from_node, e.from_output));
            let kind = CONTRACT.input_port(&input.id).map(|p| p.message.to_string()).unwrap_or_default();
            recorder.result(&topic, &kind, input.array())
        };
        self.settle(written, out)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let flushed = self.recorder.as_mut().map_or(Ok(()), Recorder::flush);
        self.settle(flushed, out)
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let finished = self.recorder.as_mut().map_or(Ok(()), Recorder::finish);
        self.settle(finished, out)
    }
}

impl Record {
    /// A lossless run ends with what could not be written; a live one goes on without a recording.
    fn settle(&mut self, written: Result<(), RecordError>, out: &mut Outputs) -> Result<(), Fault> {
        let Err(failure) = written else { return Ok(()) };
        if self.context.mode == Mode::Lossless {
            return Err(record_fault(failure));
        }
        error!(hint = failure.hint(), "the recording ends here: {failure}");
        self.recorder = None;
        out.count("unrecorded_messages", 1);
        Ok(())
    }
}

fn packets(
    recorder: &mut Recorder,
    mut videos: Option<&mut Videos>,
    rows: &[PacketRow],
    context: &Context,
    out: &mut Outputs,
) -> Result<Result<(), RecordError>, Fault> {
    for row in rows {
        let picture = videos.as_mut().and_then(|v| v.convert(row));
        let taken = match recorder.packet(row, picture.as_ref().map(video::Picture::as_video)) {
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

fn record_fault(error: RecordError) -> Fault {
    let hint = error.hint();
    Fault::from(error).hint(hint)
}
