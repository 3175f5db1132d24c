//! Clips of what happened: the seconds before and after each reading, out of a ring of packets per camera.

use crate::ring::Ring;
use crate::video::Videos;
use gantry_messages::{Message, PacketRow, ReadingRow, encode};
use gantry_recording::{About, Limits, RecordError, Recorder, Taken};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};

/// A clip stays open this long after its end, in case the next vehicle comes: passes that overlap share one.
const LINGER_NS: i64 = 10_000_000_000;
/// A reading comes this long after its vehicle was first seen at most; the ring reaches back so far beyond `before`.
const PASS_NS: i64 = 60_000_000_000;

/// Which seconds are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Before the vehicle was first seen, in ns.
    pub before_ns: i64,
    /// After it was last seen, in ns.
    pub after_ns: i64,
    /// Memory for packets, per camera.
    pub ring_bytes: usize,
    /// Packets also in the form that Foxglove plays.
    pub video: bool,
    /// Wait for the disk at each flush.
    pub sync: bool,
}

/// The clips of all cameras.
pub struct Events {
    out: PathBuf,
    about: About,
    rules: Rules,
    cameras: BTreeMap<String, Camera>,
    /// Clips begun since they were last asked for.
    new: u64,
}

struct Camera {
    ring: Ring,
    clip: Option<Clip>,
    /// First packet of the clip that was begun last, and how many began there: with few key frames it can be the same.
    begun: (Option<u64>, u32),
}

/// One recording of one camera.
struct Clip {
    recorder: Recorder,
    videos: Option<Videos>,
    end_ns: i64,
    /// Number of the packet that comes next.
    next: u64,
}

impl Events {
    /// Clips beside `out`: `run.gate.00000123.mcap` begins with packet 123 of camera `gate`.
    pub fn new(out: &Path, about: About, rules: Rules) -> Self {
        Self { out: out.to_owned(), about, rules, cameras: BTreeMap::new(), new: 0 }
    }

    /// Takes a packet; it goes into the ring, and into the clip that is open.
    ///
    /// # Errors
    /// If the clip cannot be written; it is given up then.
    pub fn packet(&mut self, row: &PacketRow) -> Result<Taken, RecordError> {
        let keep_ns = self.rules.before_ns.saturating_add(PASS_NS);
        let new = || Camera { ring: Ring::new(keep_ns, self.rules.ring_bytes), clip: None, begun: (None, 0) };
        let camera = self.cameras.entry(row.source.clone()).or_insert_with(new);
        let taken = camera.ring.push(row);
        if taken != Taken::Repeated {
            camera.write()?;
            if row.end || camera.clip.as_ref().is_some_and(|clip| camera.ring.newest_ns() > clip.end_ns.saturating_add(LINGER_NS)) {
                camera.close()?;
            }
        }
        Ok(taken)
    }

    /// Takes a reading: begins a clip, or makes the open one longer.
    ///
    /// # Errors
    /// As [`Events::packet`].
    pub fn reading(&mut self, topic: &str, reading: &ReadingRow) -> Result<(), RecordError> {
        let Some(camera) = self.cameras.get_mut(&reading.source).filter(|_| !reading.end) else { return Ok(()) };
        let from_ns = reading.first_pts_ns.saturating_sub(self.rules.before_ns);
        let end_ns = reading.last_pts_ns.saturating_add(self.rules.after_ns);
        match &mut camera.clip {
            Some(clip) if from_ns <= clip.end_ns => clip.end_ns = clip.end_ns.max(end_ns),
            _ => {
                camera.close()?;
                let Some(first) = camera.ring.start(from_ns) else { return Ok(()) };
                if first.cut {
                    warn!(camera = reading.source, "the clip begins late: the ring does not reach back far enough; raise `RING_MB`");
                }
                let again = if camera.begun.0 == Some(first.number) { camera.begun.1 + 1 } else { 0 };
                camera.begun = (Some(first.number), again);
                let name = if again == 0 { format!("{:08}", first.number) } else { format!("{:08}-{again}", first.number) };
                camera.clip = Some(open(&self.out, &self.about, self.rules, (&reading.source, &name), first.number, end_ns)?);
                self.new += 1;
            }
        }
        camera.write()?;
        let Some(clip) = &mut camera.clip else { return Ok(()) };
        let array =
            encode(std::slice::from_ref(reading)).map_err(|e| RecordError::Message { topic: topic.to_owned(), why: e.to_string() })?;
        clip.recorder.result(topic, ReadingRow::TYPE, &array)
    }

    /// How many clips were begun since this was asked last.
    pub fn take_new(&mut self) -> u64 {
        std::mem::take(&mut self.new)
    }

    /// Makes what the open clips have survive the death of this process.
    ///
    /// # Errors
    /// As [`Events::packet`].
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.cameras.values_mut().filter_map(|c| c.clip.as_mut()).try_for_each(|clip| clip.recorder.flush())
    }

    /// Ends the open clips.
    ///
    /// # Errors
    /// As [`Events::packet`].
    pub fn finish(&mut self) -> Result<(), RecordError> {
        self.cameras.values_mut().try_for_each(Camera::close)
    }
}

impl Camera {
    /// Moves packets from the ring into the clip, up to its end.
    fn write(&mut self) -> Result<(), RecordError> {
        let Some(clip) = &mut self.clip else { return Ok(()) };
        for row in self.ring.between(clip.next, clip.end_ns) {
            clip.next = row.frame + 1;
            let picture = clip.videos.as_mut().and_then(|v| v.convert(row));
            if let Err(error) = clip.recorder.packet(row, picture.as_ref().map(crate::video::Picture::as_video)) {
                // What was flushed stays; the next reading tries a new one.
                self.clip = None;
                return Err(error);
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), RecordError> {
        let Some(mut clip) = self.clip.take() else { return Ok(()) };
        clip.recorder.end_cameras()?;
        clip.recorder.finish()
    }
}

fn open(out: &Path, about: &About, rules: Rules, (camera, clip): (&str, &str), number: u64, end_ns: i64) -> Result<Clip, RecordError> {
    let name: String = camera.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let path = out.with_extension(format!("{name}.{clip}.mcap"));
    // A recording of its own: no part of another.
    let run = format!("{} {camera} {clip}", about.get(About::RUN).unwrap_or_default());
    let about = about.clone().with(About::RUN, run).with(About::FIRST, number.to_string());
    let limits = Limits { part_bytes: u64::MAX, part_time: Duration::from_secs(u64::MAX / 2), sync: rules.sync };
    let recorder = Recorder::create(&path, about, limits, true)?;
    info!(camera, file = %path.display(), "a clip begins");
    Ok(Clip { recorder, videos: rules.video.then(Videos::default), end_ns, next: number })
}
