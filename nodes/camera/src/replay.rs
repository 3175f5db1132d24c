//! A camera of a recording, packet by packet as it was recorded: the same bytes, media times and capture times.

use crate::{Batch, GROUP_BYTES, Next, Pace};
use gantry_media::StreamInfo;
use gantry_messages::PacketRow;
use gantry_node::{Fault, Outputs};
use gantry_recording::{OpenError, Packets, Recording};
use std::path::Path;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// An open recording and the part of it that is wanted.
pub struct Replay {
    name: String,
    packets: Packets,
    pace: Pace,
    speed: f64,
    start_ns: i64,
    end_ns: i64,
    /// Time of the packet that was sent first (`pace: realtime`).
    first_ns: Option<i64>,
    started: Option<Instant>,
    /// Read, but its time has not come (`pace: realtime`).
    waiting: Option<PacketRow>,
    info: StreamInfo,
}

impl Replay {
    /// Opens the recording at `path`; `start_s` counts from the camera's first picture in it, `seconds` from there are read.
    ///
    /// # Errors
    /// It cannot be opened, has no such camera, or nothing of it would be read.
    pub fn open(path: &Path, camera: Option<&str>, (start_s, seconds): (f64, f64), pace: Pace, speed: f64) -> Result<Self, Fault> {
        let recording = Recording::open(path).map_err(open_fault)?;
        let name = match camera {
            Some(name) => name.to_owned(),
            None => recording.survey().and_then(|survey| recording.camera(&survey, None)).map_err(open_fault)?,
        };
        let mut first = None;
        for row in recording.packets(&name) {
            let row = row.map_err(open_fault)?;
            if !row.discard {
                first = Some(row);
                break;
            }
        }
        let Some(first) = first.filter(|row| !row.end) else {
            let found = recording.survey().and_then(|survey| recording.camera(&survey, Some(&name)));
            let nothing = || Fault::new(format!("`{}`: nothing of camera `{name}` can be decoded", path.display()));
            return Err(found.map_or_else(open_fault, |_| nothing().hint("`gantry replay` says what is missing of it")));
        };
        let ns = |seconds: f64| (seconds * 1e9).round() as i64;
        let start_ns = time_of(&first).saturating_add(ns(start_s));
        let end_ns = start_ns.saturating_add(ns(seconds));
        if end_ns <= start_ns {
            return Err(Fault::new("`SECONDS` is 0: nothing would be read").hint("leave `SECONDS` out to read to the end"));
        }
        info!(camera = name, recording = %path.display(), codec = first.codec, width = first.width, height = first.height, "opened");
        let packets = recording.packets(&name);
        let packets = if start_s > 0.0 { packets.from(start_ns) } else { packets };
        // Packets that were recorded as not to be shown lie before the start anyway.
        let start_ns = if start_s > 0.0 { start_ns } else { i64::MIN };
        Ok(Self { name, packets, pace, speed, start_ns, end_ns, first_ns: None, started: None, waiting: None, info: StreamInfo::default() })
    }

    /// Name of the camera in the recording.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream.
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Up to `count` packets that are due.
    ///
    /// # Errors
    /// A file of the recording can no longer be read.
    pub fn read(&mut self, count: usize) -> Result<Batch, Fault> {
        let mut batch = Batch { rows: Vec::with_capacity(count), next: Next::Now };
        let mut bytes = 0;
        while batch.rows.len() < count && bytes < GROUP_BYTES {
            let row = match self.waiting.take() {
                Some(row) => Some(row),
                None => self.packets.next().transpose().map_err(open_fault)?,
            };
            let Some(row) = row.filter(|r| !r.end && !self.is_past_the_end(r)) else {
                batch.next = Next::End;
                break;
            };
            if let Some(wait) = self.time_until(&row) {
                self.waiting = Some(row);
                batch.next = Next::After(wait);
                break;
            }
            bytes += row.data.len();
            batch.rows.push(self.shown(row));
        }
        Ok(batch)
    }

    /// Says what was missing.
    pub fn report(&self, packets: u64, out: &mut Outputs) {
        let sequence = self.packets.sequence();
        let count = |ranges: &[std::ops::Range<u64>]| ranges.iter().map(|r| r.end - r.start).sum::<u64>();
        let (missing, unusable) = (count(sequence.missing()), count(sequence.unusable()));
        out.count("missing_packets", missing + unusable);
        if missing + unusable > 0 {
            warn!(
                camera = self.name,
                packets,
                missing,
                without_keyframe = unusable,
                "the recording is damaged; what could be read was read"
            );
        } else {
            info!(camera = self.name, packets, "end of the recording");
        }
    }

    fn is_past_the_end(&self, row: &PacketRow) -> bool {
        // All later packets are shown after `dts`.
        let time = if row.dts_ns == i64::MIN { row.pts_ns } else { row.dts_ns };
        time != i64::MIN && time >= self.end_ns
    }

    /// How long until a packet is due; none if it is.
    fn time_until(&mut self, row: &PacketRow) -> Option<Duration> {
        if self.pace == Pace::Max {
            return None;
        }
        let first_ns = *self.first_ns.get_or_insert(time_of(row).max(self.start_ns));
        let started = *self.started.get_or_insert_with(Instant::now);
        let due = Duration::from_nanos(u64::try_from(time_of(row).saturating_sub(first_ns)).ok()?).div_f64(self.speed);
        due.checked_sub(started.elapsed()).filter(|d| !d.is_zero())
    }

    fn shown(&mut self, mut row: PacketRow) -> PacketRow {
        if !row.codec.is_empty() {
            self.info = StreamInfo {
                codec: row.codec.clone(),
                extradata: row.extradata.clone(),
                width: row.width,
                height: row.height,
                rotation_deg: row.rotation_deg,
                fps: row.fps,
                ..StreamInfo::default()
            };
        }
        row.discard |= row.pts_ns != i64::MIN && (row.pts_ns < self.start_ns || row.pts_ns >= self.end_ns);
        row
    }
}

/// When a packet is shown, or decoded if that is all that is known.
fn time_of(row: &PacketRow) -> i64 {
    if row.pts_ns == i64::MIN { row.dts_ns } else { row.pts_ns }
}

fn open_fault(error: OpenError) -> Fault {
    Fault::from(error).hint("`gantry replay RECORDING` shows which cameras a recording has and what is missing")
}
