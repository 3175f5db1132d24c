//! Decodes packets of one or many cameras straight into pool slots.
//!
//! Each camera has its own decoder, and the log says which: `decoder=software` or `decoder=nvdec`. The pool is made when the first picture size is known, and made anew when a larger one
//! comes. In lossless mode a full pool makes this node wait, its credit stops, and with it the camera: that is the back
//! pressure of the whole graph. What is finished is sent before waiting.
//!
//! With `MEMORY: cuda` NVDEC decodes all cameras of the node in one context, and each picture is copied once, on the card, into a slot there (`on_card` of
//! `copies` in the statistics). What the card does not decode (10 bit, 4:2:2, turned or interlaced pictures, no decoder free) is an error of that camera
//! with `DECODER: nvdec`: it ends a lossless run, and in a live one the others go on. With `DECODER: auto` such a camera is decoded in software into host
//! memory, and the log says why; `resize` and `crop` then upload what they make of its frames. A damaged stream costs its own camera some pictures. A card
//! that fails takes the cameras of this process with it: the node ends with an error, and dora starts it again where the graph says so.
//!
//! In live mode nothing waits: the oldest frame that nobody holds is overwritten. Decoding starts with a key frame, also after a
//! restart of this node or of a camera, and frame numbers start at the milliseconds since 1970 of the first frame, so that they
//! rise over restarts.
//!
//! ```yaml
//! - id: decode_cam0
//!   path: bin/decode
//!   inputs:
//!     tick: dora/timer/millis/500
//!     packets: { source: camera_cam0/packets, queue_size: 256, queue_policy: backpressure }
//!   outputs: [frames, credit]
//! ```

mod card;
mod contract;
mod decoder;
mod fallback;
mod frozen;
mod lane;
mod slots;
mod stream;

pub use contract::CONTRACT;
pub use slots::{SlotPlan, plan_slots};
pub use stream::{Arrival, Order, Picture, Stream};

use card::Card;
use decoder::Decoder;
use frozen::Change;
use gantry_frames::{FrameMeta, Memory, Mode, SourceName, View};
use gantry_media::{DecodeStats, DecoderOptions, MediaError, Path};
use gantry_messages::{FrameRow, PacketRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work, frame_row};
use lane::{Lane, Wish};
use serde::Deserialize;
use std::time::Duration;
use tracing::{info, warn};

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    decoder: String,
    memory: String,
    threads: u32,
    deinterlace: bool,
    window_packets: u32,
    group_frames: usize,
    frozen_after_ms: u64,
    pool_slots: u32,
    pool_mb: u64,
}

/// Live: packets that credit is given for at once: each credit is a message. No window of a camera is smaller, and with a tick all of them are credited.
const LIVE_CREDIT: u32 = 4;

/// Live: the stages behind this one go first, a little.
const NICER: i32 = 2;

/// The node.
pub struct Decode {
    context: Context,
    params: Params,
    options: DecoderOptions,
    /// NVDEC, if that decodes.
    card: Option<Card>,
    /// Slots of the host.
    host: Lane,
    streams: Vec<Stream>,
    /// Finished pictures that were not sent.
    group: Vec<(usize, Picture)>,
    turn: usize,
    said_copying: bool,
}

impl Stage for Decode {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        if context.mode == Mode::Live {
            gantry_node::give_way(NICER);
        }
        Ok(Self {
            card: card::open(&params, context)?,
            host: Lane::new(Memory::Host, &context.stop),
            options: DecoderOptions { threads: params.threads, deinterlace: params.deinterlace },
            params: Params { group_frames: if context.mode == Mode::Live { 1 } else { params.group_frames }, ..params },
            context: context.clone(),
            streams: Vec::new(),
            group: Vec::new(),
            turn: 0,
            said_copying: false,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        for row in input.rows::<PacketRow>()? {
            self.arrive(row, &input.id, out)?;
        }
        Ok(())
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        let count = self.streams.len();
        for i in 0..count {
            let index = (self.turn + i) % count;
            if let Some(row) = self.streams[index].queue.pop_front() {
                self.turn = index + 1;
                self.decode(index, row, out)?;
                return Ok(Work::Again);
            }
        }
        // Nothing waits: what is finished goes out now, however small the group.
        self.flush(out)?;
        let least = if self.context.mode == Mode::Live { LIVE_CREDIT } else { 1 };
        self.credit_all(least, out)?;
        Ok(Work::Idle)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        for stream in &mut self.streams {
            stream.order.forget_asking();
        }
        self.credit_all(1, out)
    }

    fn on_peer_restarted(&mut self, node_id: &str, out: &mut Outputs) -> Result<(), Fault> {
        let inputs: Vec<&str> = self.context.inputs().iter().filter(|e| e.from_node == node_id).map(|e| e.input.as_str()).collect();
        let restarted: Vec<usize> =
            (0..self.streams.len()).filter(|i| inputs.contains(&self.streams[*i].input.as_str()) && !self.streams[*i].ended).collect();
        for index in restarted {
            let stream = &self.streams[index];
            if self.context.mode == Mode::Lossless && stream.order.expected() > 0 {
                return Err(Fault::new(format!("camera `{}` was started again in the middle of a lossless run", stream.source))
                    .hint("frames would be missing or come twice; start the run again"));
            }
            self.flush(out)?;
            self.streams[index].restart();
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        if self.context.stop.is_set() {
            // The readers are told to stop too; waiting for them would only be in their way.
            self.group.clear();
            return Ok(());
        }
        while matches!(self.work(out)?, Work::Again) {}
        for index in 0..self.streams.len() {
            if !self.streams[index].ended {
                warn!(
                    camera = self.streams[index].source,
                    frames = self.streams[index].stats().frames,
                    "the camera went away before its end"
                );
                self.end(index, out)?;
            }
        }
        if let Some(card) = &mut self.card {
            card.lane.drain(&self.context.stop)?;
        }
        self.host.drain(&self.context.stop)
    }
}

impl Decode {
    fn arrive(&mut self, row: PacketRow, input: &str, out: &mut Outputs) -> Result<(), Fault> {
        let index = match self.streams.iter().position(|s| s.source == row.source) {
            Some(index) => index,
            None => {
                SourceName::new(&row.source).map_err(|e| Fault::from(e).hint("give the camera a shorter `NAME`"))?;
                let frozen_after = (self.context.mode == Mode::Live).then(|| Duration::from_millis(self.params.frozen_after_ms));
                self.streams.push(Stream::new(&row.source, input, frozen_after));
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[index];
        let starts = self.context.mode == Mode::Live && row.discontinuity && row.keyframe;
        match stream.order.arrive(row.frame, starts) {
            Arrival::Queued => stream.queue.push_back(row),
            Arrival::Duplicate => out.count("duplicate_packets", 1),
            Arrival::Gap => {
                out.count("packets_out_of_order", 1);
                if stream.order.ask() {
                    warn!(
                        camera = row.source,
                        expected = stream.order.expected(),
                        found = row.frame,
                        "packets are missing, asking for them again"
                    );
                    let credit = stream.credit(self.params.window_packets);
                    let wanted = stream.order.expected();
                    out.send("credit", &[credit.clone(), gantry_messages::CreditRow { frame: wanted, resend: true, ..credit }])?;
                }
            }
        }
        Ok(())
    }

    fn decode(&mut self, index: usize, row: PacketRow, out: &mut Outputs) -> Result<(), Fault> {
        if row.end {
            self.end(index, out)?;
            return Ok(());
        }
        if self.streams[index].needs_decoder(&row) {
            self.drain_decoder(index, out)?;
            self.open_decoder(index, &row, out)?;
        }
        if self.streams[index].is_refused() {
            out.count("packets_refused", 1);
        } else if self.streams[index].decoder().is_none() || self.streams[index].passes_over(&row) {
            out.count("packets_before_keyframe", 1);
        } else {
            self.reserve(index, out)?;
            match self.streams[index].send(row) {
                Ok(()) => self.receive_all(index, out)?,
                Err(error) => self.not_decoded(index, error, out)?,
            }
            if self.streams[index].is_stuck() {
                let stream = &mut self.streams[index];
                warn!(camera = stream.source, "NVDEC makes no pictures of this camera, it is opened again with the next key frame");
                stream.close_decoder();
                out.count("decoders_reopened", 1);
            }
        }
        self.streams[index].uncredited += 1;
        // Half the window early enough that the camera never waits for the answer.
        if self.streams[index].uncredited >= (self.params.window_packets / 4).max(1) {
            self.credit(index, out)?;
        }
        Ok(())
    }

    fn open_decoder(&mut self, index: usize, row: &PacketRow, out: &mut Outputs) -> Result<(), Fault> {
        let info = stream::info_of(row);
        let decoder = match &self.card {
            Some(card) => match Decoder::nvdec(&info, self.options, &card.device, card.lane.slots()) {
                Ok(decoder) => decoder,
                Err(error) => return self.not_opened(index, info, error, out),
            },
            None => Decoder::software(&info, self.options, self.host.slots())
                .map_err(|e| media_fault(e).context(format!("camera `{}`", row.source)))?,
        };
        self.use_decoder(index, info, decoder)
    }

    /// Lets `decoder` decode a camera, and has a pool ready for its pictures.
    fn use_decoder(&mut self, index: usize, info: gantry_media::StreamInfo, decoder: Decoder) -> Result<(), Fault> {
        let (width, height) = (info.width, info.height);
        let (bytes, held) = (decoder.slot_bytes(width, height), decoder.max_held());
        let stream = &mut self.streams[index];
        info!(camera = stream.source, decoder = decoder.name(), codec = info.codec, width, height);
        stream.set_decoder(info, decoder);
        if width > 0 && height > 0 {
            self.ensure_pool(index, bytes, held)?;
        }
        Ok(())
    }

    /// The slots of a camera's decoder.
    fn lane(&mut self, index: usize) -> &mut Lane {
        match &mut self.card {
            Some(card) if self.streams[index].decoder().is_some_and(Decoder::is_on_card) => &mut card.lane,
            _ => &mut self.host,
        }
    }

    fn ensure_pool(&mut self, index: usize, bytes: u64, held: u32) -> Result<(), Fault> {
        let wish = Wish {
            slots: self.params.pool_slots,
            max_bytes: self.params.pool_mb.saturating_mul(1_000_000),
            group: self.params.group_frames as u32,
            cameras: self.context.inputs().len().max(self.streams.len()) as u32,
        };
        let context = self.context.clone();
        self.lane(index).ensure(&context, bytes, held, &wish)
    }

    /// Sees to it that the decoder does not have to wait for slots; sends what is finished before waiting.
    fn reserve(&mut self, index: usize, out: &mut Outputs) -> Result<(), Fault> {
        if !self.lane(index).try_reserve()? {
            self.flush(out)?;
            self.lane(index).reserve()?;
        }
        Ok(())
    }

    fn receive_all(&mut self, index: usize, out: &mut Outputs) -> Result<(), Fault> {
        loop {
            match self.streams[index].receive() {
                Ok(Some(picture)) => {
                    if let Some(change) = self.streams[index].look(&picture) {
                        self.say_frozen(index, change, out);
                    }
                    self.say_copying(index, picture.path);
                    self.group.push((index, picture));
                    if self.group.len() >= self.params.group_frames {
                        self.flush(out)?;
                    }
                }
                Ok(None) => break,
                Err(MediaError::SlotTooSmall { width, height, needed, .. }) => {
                    self.flush(out)?;
                    let (bytes, held) = match self.streams[index].decoder() {
                        Some(decoder) => {
                            let (w, h) = decoder.coded_size();
                            (decoder.slot_bytes(w.max(width), h.max(height)).max(needed as u64), decoder.max_held())
                        }
                        None => (needed as u64, 0),
                    };
                    self.ensure_pool(index, bytes, held)?;
                }
                Err(error @ MediaError::NoDevice { .. }) => return self.not_decoded(index, error, out),
                Err(_) if self.context.stop.is_set() => return Ok(()),
                Err(e) => return Err(media_fault(e).context(format!("camera `{}`", self.streams[index].source))),
            }
            self.reserve(index, out)?;
        }
        let new = self.streams[index].new_stats();
        count(out, new);
        Ok(())
    }

    fn say_frozen(&self, index: usize, change: Change, out: &mut Outputs) {
        let camera = &self.streams[index].source;
        match change {
            Change::Froze => {
                out.count("freezes", 1);
                warn!(camera, seconds = self.params.frozen_after_ms / 1000, "the picture stands still while packets come");
            }
            Change::Moved => {
                out.count("freezes_over", 1);
                info!(camera, "the picture moves again");
            }
        }
    }

    /// Says once why pictures of a camera cost a copy.
    fn say_copying(&mut self, index: usize, path: Path) {
        if matches!(path, Path::Direct | Path::OnCard) || self.said_copying {
            return;
        }
        self.said_copying = true;
        let stream = &self.streams[index];
        let (format, interlaced) = stream.decoder().map_or(("", false), Decoder::format);
        info!(
            camera = stream.source,
            codec = stream.info().codec,
            format,
            interlaced,
            rotation_deg = stream.info().rotation_deg,
            "pictures of this camera cost one copy each"
        );
    }

    /// Publishes and sends the finished pictures, one message per camera.
    fn flush(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let mut rows: Vec<FrameRow> = Vec::with_capacity(self.group.len());
        for (index, picture) in std::mem::take(&mut self.group) {
            let source = &self.streams[index].source;
            if rows.last().is_some_and(|last| last.source != *source) {
                out.send("frames", &rows)?;
                rows.clear();
            }
            rows.push(publish(source, picture)?);
        }
        out.send("frames", &rows)
    }

    /// Credit for cameras of which that many packets were decoded since the last, and for those that asked.
    fn credit_all(&mut self, least: u32, out: &mut Outputs) -> Result<(), Fault> {
        for index in 0..self.streams.len() {
            if self.streams[index].uncredited >= least || self.streams[index].order.take_answer_due() {
                self.credit(index, out)?;
            }
        }
        Ok(())
    }

    fn credit(&mut self, index: usize, out: &mut Outputs) -> Result<(), Fault> {
        let credit = self.streams[index].credit(self.params.window_packets);
        out.send("credit", &[credit])
    }

    /// Takes out what the decoder still holds.
    fn drain_decoder(&mut self, index: usize, out: &mut Outputs) -> Result<(), Fault> {
        if self.streams[index].decoder().is_some() {
            self.reserve(index, out)?;
            match self.streams[index].send_end() {
                Ok(()) => self.receive_all(index, out)?,
                Err(error) => self.not_decoded(index, error, out)?,
            }
        }
        Ok(())
    }

    fn end(&mut self, index: usize, out: &mut Outputs) -> Result<(), Fault> {
        self.drain_decoder(index, out)?;
        self.flush(out)?;
        let stream = &mut self.streams[index];
        stream.ended = true;
        let row = FrameRow { source: stream.source.clone(), frame: stream.frames, end: true, ..FrameRow::default() };
        out.send("frames", &[row])?;
        // Rows sent less this are frames.
        out.count("streams_ended", 1);
        self.credit(index, out)?;
        let stream = &self.streams[index];
        let stats = stream.stats();
        if stats.frames == 0 {
            return Err(Fault::new(format!("nothing could be decoded from camera `{}` ({} decode errors)", stream.source, stats.errors))
                .hint("`ffmpeg -v error -i FILE -f null -` shows what is damaged; with `START_S`, start earlier"));
        }
        if stats.errors > 0 || stats.corrupt > 0 {
            warn!(
                camera = stream.source,
                frames = stats.frames,
                decode_errors = stats.errors,
                corrupt_frames = stats.corrupt,
                "parts of the video could not be decoded"
            );
        } else {
            info!(camera = stream.source, frames = stats.frames, direct = stats.direct, "end of the camera");
        }
        Ok(())
    }
}

fn publish(source: &str, picture: Picture) -> Result<FrameRow, Fault> {
    let layout = *picture.filled.layout();
    let (width, height) = match &layout {
        gantry_frames::Layout::Image(image) => (image.width, image.height),
        gantry_frames::Layout::Tensor(_) => (0, 0),
    };
    let meta = FrameMeta {
        source: SourceName::new(source)?,
        frame: picture.frame,
        pts_ns: picture.pts_ns,
        captured_ns: picture.captured_ns,
        view: View::whole(width, height),
    };
    let published = picture.filled.publish(&meta);
    Ok(frame_row(&published.handle, &layout, &meta))
}

fn count(out: &mut Outputs, new: DecodeStats) {
    for (name, n) in [
        ("frames_direct", new.direct),
        ("frames_copied", new.copied),
        ("frames_converted", new.converted),
        ("frames_transformed", new.transformed),
        ("frames_on_card", new.on_card),
        ("decode_errors", new.errors),
        ("corrupt_frames", new.corrupt),
    ] {
        if n > 0 {
            out.count(name, n);
        }
    }
}

pub(crate) fn media_fault(error: MediaError) -> Fault {
    let hint = error.hint();
    Fault::from(error).maybe_hint(hint)
}
