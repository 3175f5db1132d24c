//! A source that is read to its end, nothing left out: files, and streams in lossless mode, where the other end has to wait.

use crate::address::Address;
use crate::{Batch, GROUP_BYTES, Next, Pace, media_fault};
use gantry_media::{Demuxer, OpenOptions, StreamInfo, VideoPacket};
use gantry_messages::PacketRow;
use gantry_node::{Fault, Outputs};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// An open source and the part of it that is wanted.
pub struct File {
    name: String,
    demuxer: Demuxer,
    pace: Pace,
    is_file: bool,
    start_ns: i64,
    end_ns: i64,
    started: Option<Instant>,
    /// Read, but its time has not come (`pace: realtime`).
    waiting: Option<VideoPacket>,
    info_sent: bool,
    whole_file: bool,
    corrupt_counted: u64,
}

impl File {
    /// Opens it and goes to `start_s`; `seconds` from there are read.
    ///
    /// # Errors
    /// It cannot be opened, or nothing of it would be read.
    pub fn open(name: &str, address: &Address, options: &OpenOptions, start_s: f64, seconds: f64, pace: Pace) -> Result<Self, Fault> {
        let mut demuxer = Demuxer::open(address.secret(), options).map_err(media_fault)?;
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
        let (start_ns, end_ns) = (ns(start_s), ns(start_s).saturating_add(ns(seconds)));
        if start_ns > 0 {
            if let Some(length) = info.duration_ns.filter(|d| *d <= start_ns) {
                return Err(Fault::new(format!(
                    "`{}` is {:.3} s long, reading was to start at {:.3} s",
                    demuxer.name(),
                    length as f64 / 1e9,
                    start_s
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
        Ok(Self {
            name: name.to_owned(),
            whole_file: start_s == 0.0 && info.duration_ns.is_none_or(|d| d <= end_ns),
            demuxer,
            pace,
            is_file: address.is_file(),
            start_ns,
            end_ns,
            started: None,
            waiting: None,
            info_sent: false,
            corrupt_counted: 0,
        })
    }

    /// The stream.
    pub fn info(&self) -> &StreamInfo {
        self.demuxer.info()
    }

    /// Up to `count` packets that are due.
    ///
    /// # Errors
    /// The source fails for good.
    pub fn read(&mut self, count: usize, out: &mut Outputs) -> Result<Batch, Fault> {
        let mut batch = Batch { rows: Vec::with_capacity(count), next: Next::Now };
        let mut bytes = 0;
        while batch.rows.len() < count && bytes < GROUP_BYTES {
            let packet = match self.waiting.take() {
                Some(packet) => Some(packet),
                None => self.demuxer.next_packet().map_err(media_fault)?,
            };
            let Some(packet) = packet.filter(|p| !self.is_past_the_end(p)) else {
                batch.next = Next::End;
                break;
            };
            if let Some(wait) = self.time_until(&packet) {
                self.waiting = Some(packet);
                batch.next = Next::After(wait);
                break;
            }
            bytes += packet.data.len();
            batch.rows.push(self.row(packet));
        }
        let corrupt = self.demuxer.stats().corrupt;
        out.count("corrupt_packets", corrupt - self.corrupt_counted);
        self.corrupt_counted = corrupt;
        Ok(batch)
    }

    /// Says how it ended, after `packets`.
    pub fn report(&self, packets: u64, out: &mut Outputs) {
        let promised = if self.whole_file { self.demuxer.info().packets } else { 0 };
        let (corrupt, missing) = (self.corrupt_counted, promised.saturating_sub(packets));
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
        let mut row = PacketRow {
            pts_ns: packet.pts_ns.unwrap_or(i64::MIN),
            dts_ns: packet.dts_ns.unwrap_or(i64::MIN),
            captured_ns: if self.is_file { time.unwrap_or(0) } else { crate::reader::now_ns() },
            keyframe: packet.keyframe,
            discontinuity: packet.corrupt,
            discard: packet.discard || outside,
            data: packet.data,
            ..PacketRow::default()
        };
        // With every key frame: what reads packets from the middle on (a recorder that was started again) can begin at one.
        if !self.info_sent || packet.info_changed || row.keyframe {
            crate::describe(&mut row, self.demuxer.info());
            self.info_sent = true;
        }
        row
    }
}
