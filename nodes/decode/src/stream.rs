//! One camera: which packet comes next, its decoder, the times and numbers of its frames.

use crate::decoder::Decoder;
use crate::frozen::{Change, Frozen};
use gantry_frames::{Filled, Layout};
use gantry_media::{DecodeStats, MediaError, Path, PtsClock, StreamInfo, VideoPacket};
use gantry_messages::{CreditRow, PacketRow};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Capture times that are remembered, above any decoder's delay.
const MAX_CAPTURED: usize = 256;
/// Packets that are kept until NVDEC has made its first picture, so that the software decoder can take over without a loss. A decoder's delay is 16 pictures
/// at most.
const MAX_KEPT: usize = 64;
/// Live: packets in a row without a picture and with errors, after which NVDEC is opened again: three seconds.
const STUCK: u32 = 90;
/// Live: how long a camera that the card does not decode is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// What to do with a packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one and was queued.
    Queued,
    /// It was here before.
    Duplicate,
    /// Packets before it are missing.
    Gap,
}

/// Live: packets without a key frame after which decoding is tried without one: streams with gradual refresh have none.
const KEY_PATIENCE: u32 = 300;

/// Live: a first packet so far below the next is none of before: the camera was started again after the clock had been set back, by which it numbers.
const FAR_BELOW: u64 = 10_000;

/// The order of packets: accepts each once, asks for missing ones once per hole. Pure bookkeeping.
#[derive(Debug, Default)]
pub struct Order {
    /// Number of the next packet that is accepted.
    expected: u64,
    /// Live, before the first packet: whichever comes is the first.
    anywhere: bool,
    asked: Option<u64>,
    /// An answer is due though nothing was decoded.
    answer_due: bool,
}

impl Order {
    /// For live cameras, which may have been running before this node.
    #[must_use]
    pub fn from_anywhere() -> Self {
        Self { anywhere: true, ..Self::default() }
    }

    /// Judges packet number `frame`. `starts`: decoding can start with it, and nothing before it is to come (live).
    pub fn arrive(&mut self, frame: u64, starts: bool) -> Arrival {
        let anew = frame > self.expected || self.expected - frame > FAR_BELOW;
        if std::mem::take(&mut self.anywhere) || (starts && anew) {
            self.expected = frame;
        }
        if frame < self.expected {
            self.answer_due = true;
            return Arrival::Duplicate;
        }
        if frame > self.expected {
            return Arrival::Gap;
        }
        self.expected += 1;
        Arrival::Queued
    }

    /// Whether the missing packet should be asked for; true once per hole.
    pub fn ask(&mut self) -> bool {
        let ask = self.asked != Some(self.expected);
        self.asked = Some(self.expected);
        ask
    }

    /// The request may have been lost: the next packet behind the hole asks again.
    pub fn forget_asking(&mut self) {
        self.asked = None;
    }

    /// Number of the next packet that is accepted.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// Takes the note that an answer is due.
    pub fn take_answer_due(&mut self) -> bool {
        std::mem::take(&mut self.answer_due)
    }
}

/// A camera's decoder with everything around it.
pub struct Stream {
    /// Camera.
    pub source: String,
    /// Input that it arrives on.
    pub input: String,
    /// Order of its packets.
    pub order: Order,
    /// Arrived and not decoded.
    pub queue: VecDeque<PacketRow>,
    /// Number of the next frame.
    pub frames: u64,
    /// Packets decoded since the last credit.
    pub uncredited: u32,
    /// Its end was sent on.
    pub ended: bool,
    live: bool,
    /// Live: whether its picture stands still.
    frozen: Option<Frozen>,
    /// Live: packets passed over while waiting for a key frame; `None`: not waiting.
    passed_over: Option<u32>,
    info: StreamInfo,
    decoder: Option<Decoder>,
    /// What NVDEC was given, until its first picture.
    kept: Option<Vec<VideoPacket>>,
    failures: u32,
    /// Live: the card does not decode this camera.
    refused: Option<Instant>,
    clock: PtsClock,
    captured: BTreeMap<i64, i64>,
    last_captured_ns: i64,
    counted: DecodeStats,
    before: DecodeStats,
}

/// A frame with its number and times.
pub struct Picture {
    /// Where the pixels are.
    pub filled: Filled,
    /// How they came there.
    pub path: Path,
    /// Number in display order.
    pub frame: u64,
    /// Media time in ns, above the frame before.
    pub pts_ns: i64,
    /// Wall clock in ns; files: media time.
    pub captured_ns: i64,
}

impl Stream {
    /// A camera that nothing is known about yet. `frozen_after`, for live ones: how long its picture may stand still.
    pub fn new(source: &str, input: &str, frozen_after: Option<Duration>) -> Self {
        let live = frozen_after.is_some();
        Self {
            source: source.to_owned(),
            input: input.to_owned(),
            order: if live { Order::from_anywhere() } else { Order::default() },
            live,
            frozen: frozen_after.map(Frozen::new),
            passed_over: live.then_some(0),
            queue: VecDeque::new(),
            frames: 0,
            uncredited: 0,
            ended: false,
            info: StreamInfo::default(),
            decoder: None,
            kept: None,
            failures: 0,
            refused: None,
            clock: PtsClock::new(0.0),
            captured: BTreeMap::new(),
            last_captured_ns: 0,
            counted: DecodeStats::default(),
            before: DecodeStats::default(),
        }
    }

    /// The decoder, once the codec is known.
    pub fn decoder(&self) -> Option<&Decoder> {
        self.decoder.as_ref()
    }

    /// What the camera said about its stream.
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Whether `row` names a codec configuration that differs from the decoder's.
    pub fn needs_decoder(&self, row: &PacketRow) -> bool {
        !row.codec.is_empty() && !self.is_refused() && (self.decoder.is_none() || self.info != info_of(row))
    }

    /// Live: whether the card did not decode this camera a moment ago.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some_and(|since| since.elapsed() < LEFT_ALONE)
    }

    /// Live: the card does not decode this camera. It is tried again later, with a key frame.
    pub fn refuse(&mut self) {
        self.refused = Some(Instant::now());
        self.close_decoder();
    }

    /// Live: the decoder is to be opened again with the next key frame.
    pub fn close_decoder(&mut self) {
        if let Some(old) = self.decoder.take() {
            self.before = sum(self.before, old.stats());
        }
        self.kept = None;
        self.failures = 0;
        self.wait_for_key();
    }

    /// Live: packets are left out until decoding can start.
    pub fn wait_for_key(&mut self) {
        self.passed_over = self.live.then_some(0);
    }

    /// Live: whether NVDEC fails with every packet though the card is alive.
    pub fn is_stuck(&self) -> bool {
        self.live && self.failures >= STUCK && self.decoder.as_ref().is_some_and(Decoder::is_on_card)
    }

    /// Takes the decoder for `info`; the one before must have been drained.
    pub fn set_decoder(&mut self, info: StreamInfo, decoder: Decoder) {
        if let Some(old) = self.decoder.take() {
            self.before = sum(self.before, old.stats());
        } else {
            self.clock = PtsClock::new(info.fps);
        }
        self.kept = decoder.is_on_card().then(Vec::new);
        self.failures = 0;
        self.refused = None;
        self.decoder = Some(decoder);
        self.info = info;
    }

    /// Everything that NVDEC was given, if no picture came of it yet.
    pub fn take_kept(&mut self) -> Option<Vec<VideoPacket>> {
        self.kept.take()
    }

    /// Live: whether a packet is to be left out because decoding cannot start with it.
    pub fn passes_over(&mut self, row: &PacketRow) -> bool {
        let Some(passed_over) = &mut self.passed_over else { return false };
        if row.keyframe || row.discontinuity || *passed_over >= KEY_PATIENCE {
            self.passed_over = None;
            return false;
        }
        *passed_over += 1;
        true
    }

    /// Gives the next packet to the decoder.
    ///
    /// # Errors
    /// As [`Decoder::send`].
    pub fn send(&mut self, row: PacketRow) -> Result<(), MediaError> {
        self.last_captured_ns = row.captured_ns;
        let time = |t: i64| (t != i64::MIN).then_some(t);
        let pts_ns = time(row.pts_ns);
        if let (Some(pts), false) = (pts_ns, row.discard) {
            self.captured.insert(pts, row.captured_ns);
            if self.captured.len() > MAX_CAPTURED {
                self.captured.pop_first();
            }
        }
        self.pass(VideoPacket {
            pts_ns,
            dts_ns: time(row.dts_ns),
            keyframe: row.keyframe,
            // A live packet after a gap is whole itself.
            corrupt: row.discontinuity && !self.live,
            discard: row.discard,
            info_changed: false,
            data: row.data,
        })
    }

    /// Gives a packet to the decoder, the first time or again to another one.
    ///
    /// # Errors
    /// As [`Decoder::send`].
    pub fn pass(&mut self, packet: VideoPacket) -> Result<(), MediaError> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        let sent = decoder.send(&packet);
        match &mut self.kept {
            Some(kept) if kept.len() < MAX_KEPT => kept.push(packet),
            _ => self.kept = None,
        }
        sent
    }

    /// Tells the decoder that no packet follows.
    ///
    /// # Errors
    /// As [`Decoder::send_end`].
    pub fn send_end(&mut self) -> Result<(), MediaError> {
        self.decoder.as_mut().map_or(Ok(()), Decoder::send_end)
    }

    /// The next picture in display order.
    ///
    /// # Errors
    /// As [`Decoder::receive`].
    pub fn receive(&mut self) -> Result<Option<Picture>, MediaError> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let _edge = gantry_copies::edge("frames");
        let Some(done) = decoder.receive()? else { return Ok(None) };
        self.kept = None;
        let pts_ns = self.clock.next(done.pts_ns);
        let known = done.pts_ns.and_then(|pts| self.captured.remove(&pts));
        let captured_ns = known.unwrap_or(self.last_captured_ns);
        if self.live && self.frames == 0 {
            // Above all numbers of a process that was here before this one: its readers go on as if frames were missing. Media time does not go
            // back with the clock on the wall.
            self.frames = u64::try_from(captured_ns.max(pts_ns) / 1_000_000).unwrap_or(0);
        }
        let frame = self.frames;
        self.frames += 1;
        Ok(Some(Picture { filled: done.filled, path: done.path, frame, pts_ns, captured_ns }))
    }

    /// Live: looks whether the picture stands still; says so when that changes.
    pub fn look(&mut self, picture: &Picture) -> Option<Change> {
        let frozen = self.frozen.as_mut()?;
        let Layout::Image(image) = picture.filled.layout() else { return None };
        let luma = image.planes()[0];
        let (start, stride) = (luma.offset as usize, luma.stride as usize);
        // Pictures on a card are not fetched for this.
        let rows = picture.filled.bytes().get(start..start + stride * luma.rows as usize)?;
        frozen.look(picture.captured_ns, rows, image.width as usize, stride)
    }

    /// Everything since the first decoder of this camera.
    pub fn stats(&self) -> DecodeStats {
        self.decoder.as_ref().map_or(self.before, |d| sum(self.before, d.stats()))
    }

    /// What was added to the statistics since the last call: with a packet.
    pub fn new_stats(&mut self) -> DecodeStats {
        let now = self.stats();
        let new = difference(now, self.counted);
        self.counted = now;
        self.failures = if new.frames > 0 { 0 } else { self.failures + u32::from(new.errors > 0) };
        new
    }

    /// Credit for everything that was decoded.
    pub fn credit(&mut self, window: u32) -> CreditRow {
        self.uncredited = 0;
        // What waits in the queue is here, but counts as under way: that is what bounds the queue.
        let frame = self.order.expected() - self.queue.len() as u64;
        CreditRow { source: self.source.clone(), frame, window, end: self.ended, resend: false }
    }

    /// The camera was started again: its packets have other numbers, its frames go on.
    pub fn restart(&mut self) {
        self.order = if self.live { Order::from_anywhere() } else { Order::default() };
        self.queue.clear();
        self.captured.clear();
        self.refused = None;
        self.close_decoder();
    }
}

/// What a row says about its stream.
pub fn info_of(row: &PacketRow) -> StreamInfo {
    StreamInfo {
        codec: row.codec.clone(),
        extradata: row.extradata.clone(),
        width: row.width,
        height: row.height,
        rotation_deg: row.rotation_deg,
        fps: row.fps,
        ..StreamInfo::default()
    }
}

fn each(a: DecodeStats, b: DecodeStats, f: impl Fn(u64, u64) -> u64) -> DecodeStats {
    DecodeStats {
        frames: f(a.frames, b.frames),
        direct: f(a.direct, b.direct),
        copied: f(a.copied, b.copied),
        converted: f(a.converted, b.converted),
        transformed: f(a.transformed, b.transformed),
        on_card: f(a.on_card, b.on_card),
        errors: f(a.errors, b.errors),
        corrupt: f(a.corrupt, b.corrupt),
    }
}

fn sum(a: DecodeStats, b: DecodeStats) -> DecodeStats {
    each(a, b, |x, y| x + y)
}

fn difference(a: DecodeStats, b: DecodeStats) -> DecodeStats {
    each(a, b, u64::saturating_sub)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_each_packet_once_and_asks_once_per_hole() {
        let mut order = Order::default();
        assert_eq!(order.arrive(0, false), Arrival::Queued);
        assert_eq!(order.arrive(2, false), Arrival::Gap);
        assert!(order.ask());
        assert_eq!(order.arrive(3, false), Arrival::Gap);
        assert!(!order.ask());
        assert_eq!(order.arrive(0, false), Arrival::Duplicate);
        assert!(order.take_answer_due());
        assert!(!order.take_answer_due());
        assert_eq!((1..5).map(|n| order.arrive(n, false)).collect::<Vec<_>>(), [Arrival::Queued; 4]);
        assert_eq!(order.arrive(7, false), Arrival::Gap);
        assert!(order.ask());
        assert_eq!(order.expected(), 5);
    }

    #[test]
    fn a_live_camera_begins_anywhere_and_goes_on_behind_a_hole_where_it_says_so() {
        let mut order = Order::from_anywhere();
        assert_eq!(order.arrive(70, false), Arrival::Queued);
        assert_eq!(order.arrive(70, true), Arrival::Duplicate);
        assert_eq!(order.arrive(90, false), Arrival::Gap);
        assert_eq!((order.arrive(95, true), order.expected()), (Arrival::Queued, 96));
        // Numbers are milliseconds since 1970, and somebody has set the clock back.
        let mut order = Order::from_anywhere();
        assert_eq!(order.arrive(3_600_000, true), Arrival::Queued);
        assert_eq!((order.arrive(500, false), order.arrive(3_599_990, true)), (Arrival::Duplicate, Arrival::Duplicate));
        assert_eq!((order.arrive(500, true), order.arrive(501, false)), (Arrival::Queued, Arrival::Queued));
    }

    #[test]
    fn live_decoding_starts_with_a_key_frame_or_where_none_is_to_be_had() {
        let mut stream = Stream::new("cam0", "packets", Some(Duration::from_secs(20)));
        let row = |keyframe, discontinuity| PacketRow { keyframe, discontinuity, ..PacketRow::default() };
        assert!(stream.passes_over(&row(false, false)));
        assert!(!stream.passes_over(&row(true, false)) && !stream.passes_over(&row(false, false)));
        stream.restart();
        assert_eq!((0..KEY_PATIENCE + 1).filter(|_| stream.passes_over(&row(false, false))).count(), KEY_PATIENCE as usize);
        assert!(!Stream::new("cam0", "packets", None).passes_over(&row(false, false)));
    }

    #[test]
    fn credit_leaves_out_what_waits_to_be_decoded() {
        let mut stream = Stream::new("cam0", "packets", None);
        for frame in 0..3 {
            assert_eq!(stream.order.arrive(frame, false), Arrival::Queued);
            stream.queue.push_back(PacketRow { frame, ..Default::default() });
        }
        stream.queue.pop_front();
        let credit = stream.credit(64);
        assert_eq!((credit.frame, credit.window, credit.end), (1, 64, false));
    }
}
