//! Scales full-size frames to the input of the detector. Each frame is read where the decoder wrote it and written where the
//! detector reads it: one pass over the pixels, no copy in between.
//!
//! It is for lossless runs, which it shortens by working beside `detect`, and for cards. Live sites on the CPU do without: `detect` takes pictures as they are, too, and scales
//! no more of them than it looks at.
//!
//! ```yaml
//! - id: resize_cam0
//!   path: bin/resize
//!   inputs:
//!     tick: dora/timer/millis/500
//!     frames: { source: decode_cam0/frames, queue_size: 256, queue_policy: backpressure }
//!   outputs: [images]
//!   env: { WIDTH: 960, HEIGHT: 544 }
//! ```
//!
//! In live mode four frames of a camera may wait, which is a moment in which the machine did something else; the oldest beyond them is dropped and counted
//! as `superseded`. Nothing is scaled that nobody looks at: with as many as three frames of a camera that no reader has come to yet, one where frames have been left
//! out for longer than a second, the newest waits and those before it are left out (`unwanted`). After a quarter of a second it is sent all the same, as a message may
//! have been lost.
//!
//! With `MEMORY: cuda` the tensors lie on the card: frames of the card are scaled there by a kernel that gives the same bytes, frames of the host are
//! scaled first and uploaded small, 1.6 MB instead of 3.1 MB for 1080p (`copies` in the statistics counts them).
//!
//! 1920x1080 into 960x544 is the mean of 2x2 samples with 2 grey rows above and below; other sizes use a triangle filter.

mod card;
mod contract;

pub use contract::CONTRACT;

use card::OnCard;

use gantry_frames::{
    AcquireError, Client, DType, DrainError, FrameMeta, Handle, Layout, Loaned, Memory, Mode, Pool, SourceName, StopFlag, View,
};
use gantry_images::{Arrangement, FrameScaler, Letterbox, Transform, Yuv};
use gantry_messages::FrameRow;
use gantry_node::{Context, Fault, Input, Outputs, Shortage, Stage, Work, frame_row};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    width: u32,
    height: u32,
    dtype: Samples,
    layout: Axes,
    memory: Place,
    pool_slots: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Host,
    Cuda,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Samples {
    U8,
    F32,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Axes {
    Nchw,
    Nhwc,
}

/// Live: most frames of a camera that wait.
const MOST_WAITING: usize = 4;
/// Live: as many frames of a camera that no reader has come to are enough.
const MOST_UNSEEN: u64 = 3;
/// Live: longest time without a frame for readers that do not come to those there are.
const SEND_AFTER: Duration = Duration::from_millis(250);

/// Live: the stages behind this one go first, a little.
const NICER: i32 = 1;

/// The node.
pub struct Resize {
    width: u32,
    height: u32,
    arrangement: Arrangement,
    tensor: Layout,
    pool: Pool,
    client: Client,
    mode: Mode,
    stop: StopFlag,
    on_card: Option<OnCard>,
    scaler: FrameScaler,
    /// Live: the newest frames of each camera.
    waiting: Vec<FrameRow>,
    shortage: Shortage,
    sent: Option<Instant>,
    rows: Vec<FrameRow>,
    used: Vec<Handle>,
}

impl Stage for Resize {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(p: Params, context: &Context) -> Result<Self, Fault> {
        if context.mode == Mode::Live {
            gantry_node::give_way(NICER);
        }
        let arrangement = match (p.dtype, p.layout) {
            (Samples::U8, Axes::Nchw) => Arrangement::PlanarU8,
            (Samples::U8, Axes::Nhwc) => Arrangement::InterleavedU8,
            (Samples::F32, Axes::Nchw) => Arrangement::PlanarF32,
            (Samples::F32, Axes::Nhwc) => Arrangement::InterleavedF32,
        };
        let dtype = if p.dtype == Samples::U8 { DType::U8 } else { DType::F32 };
        let shape = if p.layout == Axes::Nchw { [1, 3, p.height, p.width] } else { [1, p.height, p.width, 3] };
        let tensor = Layout::tensor(dtype, &shape)?;
        let memory = if p.memory == Place::Cuda { context.memory_of_card()? } else { Memory::Host };
        let on_card = if p.memory == Place::Cuda { Some(OnCard::open(&memory)?) } else { None };
        let pool = match &on_card {
            Some(_) => context.pool_in("images", p.pool_slots, tensor.byte_len(), 0, &memory)?,
            None => context.pool("images", p.pool_slots, tensor.byte_len())?,
        };
        let client = context.client_on(1, &memory)?;
        Ok(Self {
            width: p.width,
            height: p.height,
            arrangement,
            tensor,
            pool,
            client,
            mode: context.mode,
            on_card,
            stop: context.stop.clone(),
            scaler: FrameScaler::default(),
            waiting: Vec::new(),
            shortage: Shortage::default(),
            sent: None,
            rows: Vec::new(),
            used: Vec::new(),
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let rows = input.rows::<FrameRow>()?;
        if self.mode == Mode::Lossless {
            return self.resize_all(rows, out);
        }
        for row in rows {
            let is_its = |older: &FrameRow| !older.end && older.source == row.source;
            if !row.end && self.waiting.iter().filter(|older| is_its(older)).count() >= MOST_WAITING {
                if let Some(oldest) = self.waiting.iter().position(is_its) {
                    self.waiting.remove(oldest);
                }
                out.count("superseded", 1);
            }
            self.waiting.push(row);
        }
        Ok(())
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        if self.waiting.is_empty() {
            return Ok(Work::Idle);
        }
        let now = Instant::now();
        if self.mode == Mode::Live && self.nobody_has_time(now) {
            let before = self.waiting.len();
            self.keep_the_newest();
            if self.waiting.len() < before {
                self.shortage.met(now);
                out.count("unwanted", (before - self.waiting.len()) as u64);
            }
            // The next frame or tick looks again.
            return Ok(Work::Idle);
        }
        self.sent = Some(now);
        let rows = std::mem::take(&mut self.waiting);
        self.resize_all(rows, out)?;
        Ok(Work::Again)
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        if !self.stop.is_set() {
            let rows = std::mem::take(&mut self.waiting);
            self.resize_all(rows, out)?;
        }
        self.flush(out)?;
        match self.pool.drain(&self.stop, None) {
            Ok(()) | Err(DrainError::Stopped { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl Resize {
    /// Whether enough of the frames that were sent were not come to yet, and one was sent a moment ago.
    fn nobody_has_time(&self, now: Instant) -> bool {
        let most = if self.shortage.lasts(now) { 1 } else { MOST_UNSEEN };
        let is_soon = self.sent.is_some_and(|sent| now.saturating_duration_since(sent) < SEND_AFTER);
        is_soon && !self.waiting.iter().any(|row| row.end) && self.pool.unseen().is_some_and(|unseen| unseen >= most * self.cameras())
    }

    /// Cameras that wait.
    fn cameras(&self) -> u64 {
        let is_first = |(at, row): &(usize, &FrameRow)| !self.waiting[..*at].iter().any(|earlier| earlier.source == row.source);
        self.waiting.iter().enumerate().filter(is_first).count() as u64
    }

    /// Of each camera.
    fn keep_the_newest(&mut self) {
        let mut at = 0;
        while at < self.waiting.len() {
            let is_superseded = self.waiting[at + 1..].iter().any(|newer| newer.source == self.waiting[at].source);
            if is_superseded {
                self.waiting.remove(at);
            } else {
                at += 1;
            }
        }
    }

    fn resize_all(&mut self, rows: Vec<FrameRow>, out: &mut Outputs) -> Result<(), Fault> {
        for row in rows {
            if row.end {
                self.rows.push(row);
                continue;
            }
            // What is finished goes out before a wait for a slot: the readers may need it to free one.
            let loaned = match self.pool.try_begin_write()? {
                Some(loaned) => loaned,
                None => {
                    self.flush(out)?;
                    match self.pool.begin_write(&self.stop) {
                        Ok(loaned) => loaned,
                        Err(_) if self.stop.is_set() => return Ok(()),
                        Err(e) => return Err(e.into()),
                    }
                }
            };
            match self.resize(&row, loaned) {
                Ok(Some(done)) => self.rows.push(done),
                Ok(None) => out.count("frames_stale", 1),
                Err(fault) => return Err(fault.context(format!("camera `{}`, frame {}", row.source, row.frame))),
            }
            self.used.push(Handle::from_bytes(row.handle));
        }
        self.flush(out)
    }

    /// `None`: the frame was overwritten in live mode, or its producer was started again.
    fn resize(&mut self, row: &FrameRow, mut loaned: Loaned) -> Result<Option<FrameRow>, Fault> {
        let frame = match self.client.acquire(&Handle::from_bytes(row.handle)) {
            Ok(frame) => frame,
            Err(AcquireError::Stale { .. }) => return Ok(None),
            Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let image = frame
            .layout()
            .as_image()
            .ok_or_else(|| Fault::new("the frame is a tensor, a picture is wanted").hint("connect the output `frames` of `decode`"))?;
        let letterbox = Letterbox::fit(image.width as usize, image.height as usize, self.width as usize, self.height as usize);
        let filled = match &mut self.on_card {
            Some(on) => {
                on.resize(&frame, image, &letterbox, self.arrangement, &mut loaned)?;
                on.fill(loaned, self.tensor, frame)?
            }
            None => {
                let bytes = self.arrangement.byte_len(letterbox.width, letterbox.height);
                let target =
                    loaned.bytes_mut().get_mut(..bytes).ok_or_else(|| Fault::new(format!("slot is shorter than {bytes} bytes")))?;
                self.scaler.run(&Yuv::of(image, frame.bytes())?, &letterbox, self.arrangement, target);
                drop(frame);
                loaned.fill(self.tensor)?
            }
        };
        let source_from_frame = Transform { scale_x: row.scale_x, scale_y: row.scale_y, offset_x: row.offset_x, offset_y: row.offset_y };
        let t = source_from_frame.after(&letterbox.source_from_input());
        let view = View {
            width: self.width,
            height: self.height,
            source_width: row.source_width,
            source_height: row.source_height,
            scale_x: t.scale_x,
            scale_y: t.scale_y,
            offset_x: t.offset_x,
            offset_y: t.offset_y,
        };
        let (source, frame) = (SourceName::new(&row.source)?, row.frame);
        let meta = FrameMeta { source, frame, pts_ns: row.pts_ns, captured_ns: row.captured_ns, view };
        let published = filled.publish(&meta);
        Ok(Some(frame_row(&published.handle, &self.tensor, &meta)))
    }

    /// Sends what is finished, then gives the frames it was made from back.
    fn flush(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        out.send("images", &self.rows)?;
        self.rows.clear();
        for handle in self.used.drain(..) {
            match self.client.ack(&handle) {
                Ok(()) => {}
                // The producer was started again: nobody waits for this.
                Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}
