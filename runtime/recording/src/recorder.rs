//! Writes a recording.

use crate::about::About;
use crate::files::{base_of, part_path};
use crate::packets::topic;
use crate::part::Part;
use crate::sequence::ANEW;
use crate::{OpenError, RecordError, Recording, batch, foxglove};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use gantry_messages::{Message, PacketRow, data_type, encode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// When a new part begins, and what is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a part; it ends at the next key frame.
    pub part_bytes: u64,
    /// Length of a part.
    pub part_time: Duration,
    /// Wait for the disk at each flush: a power cut then costs no more than a crash.
    pub sync: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the recording.
    Recorded,
    /// It was there already.
    Repeated,
    /// It is in the recording; this many before it never came.
    After(u64),
}

/// A packet in the form that Foxglove plays.
#[derive(Clone, Copy, Debug)]
pub struct Video<'a> {
    /// `h264`, `h265`, `vp9`, `av1`.
    pub format: &'a str,
    /// One frame; H.264 and H.265 with start codes, and with parameter sets at key frames.
    pub data: &'a [u8],
}

/// A recording that is being written.
#[derive(Debug)]
pub struct Recorder {
    base: PathBuf,
    number: u32,
    about: About,
    limits: Limits,
    part: Part,
    began: Instant,
    cameras: BTreeMap<String, Camera>,
    times: BTreeMap<String, i64>,
}

#[derive(Debug, Default)]
struct Camera {
    next: u64,
    /// Codec, size and so on, as the camera said last.
    description: PacketRow,
    /// Part in which that was written.
    described_in: Option<u32>,
    /// Media and capture time of the last packet.
    last: (i64, i64),
    ended: bool,
}

/// More than this above the size limit is not waited for a key frame.
const PATIENCE: f64 = 1.25;

impl Recorder {
    /// Makes the first part. A file of another run at `path` is replaced if `replace`, else the next free number is taken; parts of the same
    /// run (a recorder that was started again) are always kept.
    ///
    /// # Errors
    /// [`RecordError::Write`] if the file cannot be made.
    pub fn create(path: &Path, about: About, limits: Limits, replace: bool) -> Result<Self, RecordError> {
        let (base, first) = base_of(path);
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| RecordError::Write {
                path: folder.to_owned(),
                what: "folder cannot be made",
                why: e.to_string(),
                kept_bytes: 0,
            })?;
        }
        let mut number = first;
        while part_path(&base, number).exists() && (!replace || is_of_run(&part_path(&base, number), &about)) {
            number += 1;
        }
        let part = Part::create(&part_path(&base, number), &about)?;
        Ok(Self { base, number, about, limits, part, began: Instant::now(), cameras: BTreeMap::new(), times: BTreeMap::new() })
    }

    /// The file that is being written.
    pub fn path(&self) -> &Path {
        &self.part.path
    }

    /// Writes one packet, and with `video` the same for Foxglove.
    ///
    /// # Errors
    /// [`RecordError`]; what was flushed before stays readable.
    pub fn packet(&mut self, row: &PacketRow, video: Option<Video<'_>>) -> Result<Taken, RecordError> {
        let camera = self.cameras.entry(row.source.clone()).or_default();
        if row.frame < camera.next {
            return Ok(Taken::Repeated);
        }
        // A live camera that was started again counts on from far above.
        let skipped = Some(row.frame - camera.next).filter(|n| *n <= ANEW).unwrap_or(0);
        let mut row = row.clone();
        camera.next = row.frame + 1;
        (camera.last, camera.ended) = ((row.pts_ns, row.captured_ns), row.end);
        if !row.codec.is_empty() {
            camera.description = PacketRow { data: Vec::new(), ..row.clone() };
        }
        self.rotate_if_due(row.keyframe)?;
        self.describe(&mut row);
        let time = self.time(&topic(&row.source), row.captured_ns);
        let kind = data_type::<PacketRow>().and_then(|kind| Ok((kind, encode(std::slice::from_ref(&row))?)));
        let (kind, array) = kind.map_err(|e| RecordError::Message { topic: topic(&row.source), why: e.to_string() })?;
        self.write(&topic(&row.source), PacketRow::TYPE, &kind, &array, time)?;
        if let Some(video) = video {
            let message = foxglove::compressed_video(row.captured_ns, &row.source, video.format, video.data);
            self.part.video(&format!("/{}/video", row.source), time, &message)?;
        }
        Ok(if skipped > 0 { Taken::After(skipped) } else { Taken::Recorded })
    }

    /// Writes a message of a result edge as it came. Its columns `captured_ns`, if it has one, is its time.
    ///
    /// # Errors
    /// As [`Recorder::packet`].
    pub fn result(&mut self, topic: &str, kind: &str, array: &ArrayRef) -> Result<(), RecordError> {
        let times = array.as_struct_opt().and_then(|rows| rows.column_by_name("captured_ns")?.as_primitive_opt::<Int64Type>().cloned());
        let captured_ns = times.and_then(|t| t.values().iter().copied().max()).unwrap_or(0);
        let time = self.time(topic, captured_ns);
        self.write(topic, kind, array.data_type(), array, time)
    }

    /// Makes everything written so far survive the death of this process.
    ///
    /// # Errors
    /// As [`Recorder::packet`].
    pub fn flush(&mut self) -> Result<(), RecordError> {
        self.part.flush(self.limits.sync)
    }

    /// Closes every camera that has not said its end itself: nothing of it is missing, it was recorded until now. For live cameras,
    /// which have no end of their own.
    ///
    /// # Errors
    /// As [`Recorder::packet`].
    pub fn end_cameras(&mut self) -> Result<(), RecordError> {
        let open = self.cameras.iter().filter(|(_, camera)| !camera.ended && camera.next > 0);
        let ends: Vec<PacketRow> = open
            .map(|(name, camera)| PacketRow {
                source: name.clone(),
                frame: camera.next,
                end: true,
                pts_ns: camera.last.0,
                captured_ns: camera.last.1,
                ..PacketRow::default()
            })
            .collect();
        ends.iter().try_for_each(|end| self.packet(end, None).map(|_| ()))
    }

    /// Ends the last part.
    ///
    /// # Errors
    /// As [`Recorder::packet`].
    pub fn finish(&mut self) -> Result<(), RecordError> {
        self.part.finish()
    }

    /// Each part, and each place after a hole, can be decoded by itself: key frames say what their stream is.
    fn describe(&mut self, row: &mut PacketRow) {
        let Some(camera) = self.cameras.get_mut(&row.source) else { return };
        let due = row.keyframe || camera.described_in != Some(self.number);
        if row.codec.is_empty() && due && !row.end {
            let d = &camera.description;
            (row.codec, row.extradata) = (d.codec.clone(), d.extradata.clone());
            (row.width, row.height, row.rotation_deg, row.fps) = (d.width, d.height, d.rotation_deg, d.fps);
        }
        camera.described_in = Some(self.number);
    }

    fn write(&mut self, topic: &str, kind: &str, schema: &arrow_schema::DataType, array: &ArrayRef, time: i64) -> Result<(), RecordError> {
        let data = batch::batch_message(array).map_err(|e| RecordError::Message { topic: topic.to_owned(), why: e.to_string() })?;
        self.part.arrow(topic, kind, schema, time, &data)
    }

    /// Times of a channel never fall: frames are shown in another order than they are decoded in, files have media time only.
    fn time(&mut self, topic: &str, captured_ns: i64) -> i64 {
        let last = self.times.entry(topic.to_owned()).or_insert(0);
        *last = captured_ns.max(*last);
        *last
    }

    fn rotate_if_due(&mut self, keyframe: bool) -> Result<(), RecordError> {
        let bytes = self.part.bytes();
        let due = bytes >= self.limits.part_bytes || self.began.elapsed() >= self.limits.part_time;
        let late =
            bytes as f64 >= self.limits.part_bytes as f64 * PATIENCE || self.began.elapsed() >= self.limits.part_time.mul_f64(PATIENCE);
        if !(due && keyframe || late) {
            return Ok(());
        }
        self.part.finish()?;
        self.number += 1;
        self.part = Part::create(&part_path(&self.base, self.number), &self.about)?;
        self.began = Instant::now();
        Ok(())
    }
}

/// Whether the file is a part of the same run. One that cannot be read is not.
fn is_of_run(path: &Path, about: &About) -> bool {
    let run = |r: Result<Recording, OpenError>| r.ok().and_then(|r| r.about()?.get(About::RUN).map(str::to_owned));
    run(Recording::open(path)).is_some_and(|found| about.get(About::RUN) == Some(found.as_str()))
}
