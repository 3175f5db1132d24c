//! Opens one source, demuxes it and sends encoded packets. It never decodes, and it alone holds the address and its password.
//!
//! Packets keep a number from 0. `decode` says in `credit` which one it expects next: everything before that is done with and
//! forgotten here, everything after it is kept and sent again when asked for. So a lost message costs a moment, never a packet.
//! A file ends with an end row; the node exits when that one is acknowledged too.
//!
//! ```yaml
//! - id: camera_cam0
//!   path: bin/camera
//!   inputs:
//!     tick: dora/timer/millis/500
//!     credit: { source: decode_cam0/credit, queue_size: 256, queue_policy: backpressure }
//!   outputs: [packets]
//!   env: { SOURCE: ../tests/clips/gate_day.mp4, NAME: gate }
//! ```

mod contract;
mod window;

pub use contract::CONTRACT;
pub use window::Window;

use gantry_media::{Demuxer, OpenOptions, StreamInfo, VideoPacket};
use gantry_messages::{CreditRow, PacketRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use serde::Deserialize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{info, warn};

/// Bytes of packets in one message at most: dora's daemon path is slow for messages of several MB.
const GROUP_BYTES: usize = 1 << 20;
/// Time without an answer of `decode` after which the oldest unacknowledged packet is sent again.
const POKE_AFTER: Duration = Duration::from_secs(3);

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    source: String,
    #[serde(default)]
    name: Option<String>,
    start_s: f64,
    seconds: f64,
    pace: Pace,
    window_packets: u32,
    window_mb: u32,
    group_packets: usize,
}

/// How fast a file is sent.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As fast as credits allow.
    Max,
    /// By its own clock.
    Realtime,
}

/// The node.
pub struct Camera {
    demuxer: Demuxer,
    name: String,
    window: Window,
    group: usize,
    pace: Pace,
    is_file: bool,
    start_ns: i64,
    end_ns: i64,
    started: Option<Instant>,
    /// Read, but its time has not come (`pace: realtime`).
    waiting: Option<VideoPacket>,
    info_sent: bool,
    at_end: bool,
    whole_file: bool,
    last_answer: Instant,
    reported: bool,
    corrupt_counted: u64,
}

impl Stage for Camera {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let name = params.name.unwrap_or_else(|| context.node_id.clone());
        let mut demuxer = Demuxer::open(&params.source, &OpenOptions::default()).map_err(media_fault)?;
        let info = demuxer.info().clone();
        info!(
            camera = name,
            source = demuxer.name(),
            codec = info.codec,
            width = info.width,
            height = info.height,
            fps = info.fps,
            "opened"
        );
        let ns = |seconds: f64| (seconds * 1e9).round() as i64;
        let (start_ns, end_ns) = (ns(params.start_s), ns(params.start_s).saturating_add(ns(params.seconds)));
        if start_ns > 0 {
            if let Some(length) = info.duration_ns.filter(|d| *d <= start_ns) {
                return Err(Fault::new(format!(
                    "`{}` is {:.3} s long, reading was to start at {:.3} s",
                    demuxer.name(),
                    length as f64 / 1e9,
                    params.start_s
                ))
                .hint("set a smaller `START_S` (`--start`)"));
            }
            if let Err(e) = demuxer.seek(start_ns) {
                warn!(camera = name, error = %e, "cannot seek, reading from the start instead");
            }
        }
        if end_ns <= start_ns {
            return Err(Fault::new("`SECONDS` is 0: nothing would be read").hint("leave `SECONDS` out to read to the end"));
        }
        let whole_file = params.start_s == 0.0 && info.duration_ns.is_none_or(|d| d <= end_ns);
        Ok(Self {
            is_file: !params.source.contains("://") || params.source.starts_with("file:"),
            demuxer,
            window: Window::new(params.window_packets, params.window_mb as usize * 1_000_000),
            group: params.group_packets,
            pace: params.pace,
            name,
            start_ns,
            end_ns,
            started: None,
            waiting: None,
            info_sent: false,
            at_end: false,
            whole_file,
            last_answer: Instant::now(),
            reported: false,
            corrupt_counted: 0,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        for row in input.rows::<CreditRow>()? {
            if row.source != self.name {
                continue;
            }
            self.last_answer = Instant::now();
            self.window.on_credit(&row).map_err(|e| {
                Fault::new(format!("camera `{}`: {e}", self.name))
                    .hint("`decode` was restarted in the middle of a file; start the run again")
            })?;
            if row.resend {
                out.count("resent_packets", self.window.unacknowledged() as u64);
                self.resend(usize::MAX, out)?;
            }
        }
        Ok(())
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        if self.window.is_done() {
            return Ok(Work::Done);
        }
        if self.at_end {
            return Ok(Work::Idle);
        }
        // A message costs the same for one packet and for eight: wait until a whole group fits.
        let room = self.window.room();
        if room == 0 || (room < self.group && self.window.unacknowledged() > 0) {
            return Ok(Work::Idle);
        }
        let wait = self.read_group(room.min(self.group), out)?;
        out.send("packets", self.window.unsent())?;
        self.window.mark_sent();
        Ok(wait.map_or(Work::Again, Work::After))
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        // A lost message that nothing follows leaves no hole, and a credit can be lost too: ask once more with the oldest packet.
        if self.last_answer.elapsed() >= POKE_AFTER {
            self.last_answer = Instant::now();
            let sent = self.window.unacknowledged() - self.window.unsent().len();
            if sent > 0 {
                out.count("resent_packets", 1);
                self.resend(1, out)?;
            }
        }
        Ok(())
    }

    fn on_peer_restarted(&mut self, _node_id: &str, out: &mut Outputs) -> Result<(), Fault> {
        self.resend(usize::MAX, out)
    }
}

impl Camera {
    /// Reads up to `count` packets into the window; the time to wait before the next one, if it is not due.
    fn read_group(&mut self, count: usize, out: &mut Outputs) -> Result<Option<Duration>, Fault> {
        let mut bytes = 0;
        for _ in 0..count {
            if bytes >= GROUP_BYTES {
                break;
            }
            let packet = match self.waiting.take() {
                Some(packet) => Some(packet),
                None => self.demuxer.next_packet().map_err(media_fault)?,
            };
            let Some(packet) = packet.filter(|p| !self.is_past_the_end(p)) else {
                self.end(out);
                return Ok(None);
            };
            if let Some(wait) = self.time_until(&packet) {
                self.waiting = Some(packet);
                return Ok(Some(wait));
            }
            bytes += packet.data.len();
            let row = self.row(packet);
            self.window.push(row);
        }
        let corrupt = self.demuxer.stats().corrupt;
        out.count("corrupt_packets", corrupt - self.corrupt_counted);
        self.corrupt_counted = corrupt;
        Ok(None)
    }

    fn is_past_the_end(&self, packet: &VideoPacket) -> bool {
        // All later packets are shown after `dts`, so with it the cut is exact whatever the order of decoding.
        packet.dts_ns.or(packet.pts_ns).is_some_and(|t| t >= self.end_ns)
    }

    /// How long until a packet is due; none if it is.
    fn time_until(&mut self, packet: &VideoPacket) -> Option<Duration> {
        if self.pace == Pace::Max || !self.is_file {
            return None;
        }
        let started = *self.started.get_or_insert_with(Instant::now);
        let due = packet.dts_ns.or(packet.pts_ns)? - self.start_ns;
        Duration::from_nanos(u64::try_from(due).ok()?).checked_sub(started.elapsed()).filter(|d| !d.is_zero())
    }

    fn row(&mut self, packet: VideoPacket) -> PacketRow {
        let time = packet.pts_ns.or(packet.dts_ns);
        let outside = time.is_some_and(|t| t < self.start_ns || t >= self.end_ns);
        let captured_ns = if self.is_file { time.unwrap_or(0) } else { now_ns() };
        let mut row = PacketRow {
            source: self.name.clone(),
            frame: self.window.next(),
            pts_ns: packet.pts_ns.unwrap_or(i64::MIN),
            dts_ns: packet.dts_ns.unwrap_or(i64::MIN),
            captured_ns,
            keyframe: packet.keyframe,
            discontinuity: packet.corrupt,
            discard: packet.discard || outside,
            data: packet.data,
            ..PacketRow::default()
        };
        if !self.info_sent || packet.info_changed {
            describe(&mut row, self.demuxer.info());
            self.info_sent = true;
        }
        row
    }

    fn end(&mut self, out: &mut Outputs) {
        let corrupt = self.demuxer.stats().corrupt;
        out.count("corrupt_packets", corrupt - self.corrupt_counted);
        self.corrupt_counted = corrupt;
        self.at_end = true;
        let packets = self.window.next();
        self.window.push(PacketRow { source: self.name.clone(), frame: packets, end: true, ..PacketRow::default() });
        if self.reported {
            return;
        }
        self.reported = true;
        let promised = if self.whole_file { self.demuxer.info().packets } else { 0 };
        let missing = promised.saturating_sub(packets);
        out.count("missing_packets", missing);
        if corrupt > 0 || missing > 0 {
            warn!(
                camera = self.name,
                source = self.demuxer.name(),
                packets,
                corrupt,
                missing,
                "the source is damaged; what could be read was read"
            );
        } else {
            info!(camera = self.name, packets, "end of the source");
        }
    }

    /// The oldest `count` unacknowledged packets once more, in messages of the usual size.
    fn resend(&mut self, count: usize, out: &mut Outputs) -> Result<(), Fault> {
        let info = self.demuxer.info().clone();
        let rows = self.window.all();
        let count = count.min(rows.len());
        let rows = &mut rows[..count];
        if let Some(first) = rows.first_mut().filter(|r| r.codec.is_empty() && !r.end) {
            // The receiver may be new: it needs to know the codec. For one that is not, nothing has changed.
            describe(first, &info);
        }
        let mut from = 0;
        while from < rows.len() {
            let mut to = from;
            let mut bytes = 0;
            while to < rows.len() && to - from < self.group && bytes < GROUP_BYTES {
                bytes += rows[to].data.len();
                to += 1;
            }
            out.send("packets", &rows[from..to])?;
            from = to;
        }
        Ok(())
    }
}

fn describe(row: &mut PacketRow, info: &StreamInfo) {
    row.codec = info.codec.clone();
    row.width = info.width;
    row.height = info.height;
    row.rotation_deg = info.rotation_deg;
    row.fps = info.fps;
    row.extradata = info.extradata.clone();
}

fn media_fault(error: gantry_media::MediaError) -> Fault {
    let hint = error.hint();
    let fault = Fault::from(error);
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}
