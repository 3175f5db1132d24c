//! Puts the pixels of frames into messages: the one edge on which pixels travel, for frames that leave the machine and for readers that
//! know no handles. [`unpack`](unpack.md) at the other end writes them into buffers, so that all nodes behind it read handles as ever.
//!
//! ```yaml
//! - id: pack_cam0
//!   path: bin/pack
//!   inputs:
//!     tick: dora/timer/millis/500
//!     frames: { source: decode_cam0/frames, queue_size: 256, queue_policy: backpressure }
//!     credit: { source: unpack_cam0/credit, queue_size: 256, queue_policy: backpressure }
//!   outputs: [pixels]
//! ```
//!
//! **Lossless.** At most `WINDOW_FRAMES` are under way. `unpack` acknowledges them by number, and only then are they given back to their
//! producer, which waits meanwhile: so the camera goes as fast as the other machine reads. What is asked for again, or was not
//! acknowledged for a second, is read from its buffer and sent once more.
//!
//! **Live.** The newest frame is sent, others are counted as `superseded`, and none is sent twice.
//!
//! A picture is copied once here and once in `unpack` (`copies` in the statistics): 93 MB a second per camera of 1080p30. Where packets
//! can cross instead, they are a hundredth of that.

mod contract;

pub use contract::CONTRACT;

use gantry_copies::{Way, edge, note};
use gantry_frames::{AcquireError, Acquired, Client, Handle, Mode, StopFlag};
use gantry_messages::{CreditRow, FrameRow, PixelsRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use serde::Deserialize;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    window_frames: usize,
}

/// How long a frame may be unacknowledged before it is sent once more.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The node.
pub struct Pack {
    client: Client,
    mode: Mode,
    window: usize,
    stop: StopFlag,
    source: Option<String>,
    /// Not sent yet. Live: the newest one.
    waiting: VecDeque<FrameRow>,
    /// Lossless: sent and not acknowledged, with numbers that follow each other.
    sent: VecDeque<FrameRow>,
    /// When something was sent or acknowledged last.
    moved: Instant,
    /// The end row was acknowledged.
    finished: bool,
}

impl Stage for Pack {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let has_credit = context.inputs().iter().any(|edge| edge.input == "credit");
        if context.mode == Mode::Lossless && !context.graph.is_null() && !has_credit {
            return Err(Fault::new("input `credit` is not connected, and without it a lossless run could lose frames")
                .hint("`credit: { source: unpack_cam0/credit, queue_size: 256, queue_policy: backpressure }`"));
        }
        Ok(Self {
            client: context.client(1)?,
            mode: context.mode,
            window: params.window_frames,
            stop: context.stop.clone(),
            source: None,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            moved: Instant::now(),
            finished: false,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if input.port == "credit" {
            return input.rows::<CreditRow>()?.iter().try_for_each(|credit| self.on_credit(credit, out));
        }
        for row in input.rows::<FrameRow>()? {
            let known = self.source.get_or_insert_with(|| row.source.clone());
            if *known != row.source {
                return Err(Fault::new(format!("frames of camera `{}` come beside those of `{known}`", row.source))
                    .hint("one `pack` and one `unpack` per camera: connect a `decode` of one camera"));
            }
            if self.mode == Mode::Live && !row.end {
                let before = self.waiting.len();
                self.waiting.retain(|older| older.end);
                out.count("superseded", (before - self.waiting.len()) as u64);
            }
            self.waiting.push_back(row);
        }
        Ok(())
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        if self.finished {
            return Ok(Work::Done);
        }
        if self.mode == Mode::Lossless && self.sent.len() >= self.window {
            return Ok(Work::Idle);
        }
        let Some(row) = self.waiting.pop_front() else { return Ok(Work::Idle) };
        self.send(&row, out)?;
        if self.mode == Mode::Lossless {
            self.sent.push_back(row);
        }
        Ok(Work::Again)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        // A lost message that none follows leaves no hole, and a credit can be lost: the oldest frame once more brings the answer.
        let Some(oldest) = self.sent.front().filter(|_| self.moved.elapsed() >= ASK_AGAIN).cloned() else { return Ok(()) };
        out.count("sent_again", 1);
        self.send(&oldest, out)
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        if self.mode == Mode::Live {
            while !self.stop.is_set() && self.work(out)? == Work::Again {}
            return Ok(());
        }
        let left = self.sent.len() + self.waiting.len();
        if left > 0 && !self.finished && !self.stop.is_set() {
            return Err(Fault::new(format!("{left} frames were not acknowledged when everything ended"))
                .hint("look for the message of the `unpack` behind this node"));
        }
        Ok(())
    }
}

impl Pack {
    fn on_credit(&mut self, credit: &CreditRow, out: &mut Outputs) -> Result<(), Fault> {
        if self.mode == Mode::Live {
            return Ok(());
        }
        if self.source.as_ref().is_some_and(|own| *own != credit.source) {
            return Err(Fault::new(format!("credit is for camera `{}`", credit.source)).hint("connect the `unpack` that reads this node"));
        }
        self.moved = Instant::now();
        while let Some(row) = self.sent.pop_front_if(|row| row.frame < credit.frame) {
            if !row.end {
                self.client.ack(&Handle::from_bytes(row.handle))?;
            }
        }
        self.finished |= credit.end;
        if credit.resend {
            match self.sent.front() {
                Some(oldest) if oldest.frame == credit.frame => {}
                Some(oldest) => {
                    let what = format!("frame {} is asked for, everything before {} was acknowledged", credit.frame, oldest.frame);
                    return Err(Fault::new(what).hint("`unpack` was started again in a lossless run; start the run again"));
                }
                None => return Ok(()),
            }
            out.count("sent_again", self.sent.len() as u64);
            return self.sent.clone().iter().try_for_each(|row| self.send(row, out));
        }
        Ok(())
    }

    /// Sends a frame, or an end row. A frame that was overwritten in live mode is left out.
    fn send(&mut self, row: &FrameRow, out: &mut Outputs) -> Result<(), Fault> {
        self.moved = Instant::now();
        let pixels = if row.end {
            PixelsRow { source: row.source.clone(), frame: row.frame, end: true, captured_ns: row.captured_ns, ..PixelsRow::default() }
        } else {
            match self.client.acquire(&Handle::from_bytes(row.handle)) {
                Ok(frame) => packed(row, &frame).map_err(|fault| fault.context(format!("camera `{}`, frame {}", row.source, row.frame)))?,
                Err(AcquireError::Stale { .. }) if self.mode == Mode::Live => {
                    out.count("frames_stale", 1);
                    return Ok(());
                }
                // The producer was started again.
                Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        };
        out.send("pixels", &[pixels])
    }
}

/// The picture without the padding that its buffer has.
fn packed(row: &FrameRow, frame: &Acquired) -> Result<PixelsRow, Fault> {
    let image = frame.layout().as_image().ok_or_else(|| {
        Fault::new("the frame is a tensor, a picture is wanted").hint("connect `frames` of `decode`; `resize` works behind `unpack`")
    })?;
    let mut data = Vec::new();
    for index in 0..image.planes().len() {
        let (row_bytes, rows) = image.format.plane_size(index, image.width, image.height);
        let plane = frame.plane(index).unwrap_or_default();
        let stride = image.planes().get(index).map_or(1, |plane| plane.stride.max(1)) as usize;
        for line in plane.chunks(stride).take(rows as usize) {
            let line = line
                .get(..row_bytes as usize)
                .ok_or_else(|| Fault::new(format!("a row of plane {index} is shorter than {row_bytes} bytes")))?;
            data.extend_from_slice(line);
        }
    }
    let _edge = edge("pixels");
    note(Way::OnHost, data.len());
    Ok(PixelsRow {
        source: row.source.clone(),
        frame: row.frame,
        end: false,
        pts_ns: row.pts_ns,
        captured_ns: row.captured_ns,
        width: image.width,
        height: image.height,
        format: image.format.name().to_ascii_uppercase(),
        matrix: image.colour.matrix.name().to_owned(),
        range: image.colour.range.name().to_owned(),
        source_width: row.source_width,
        source_height: row.source_height,
        scale_x: row.scale_x,
        scale_y: row.scale_y,
        offset_x: row.offset_x,
        offset_y: row.offset_y,
        data,
    })
}
