//! The tracks of every frame as JSON Lines, for drawing them into the video afterwards.

use gantry_messages::{BoxXyxy, TracksRow};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

#[derive(Serialize)]
struct FrameRecord<'a> {
    camera: &'a str,
    frame: u64,
    pts_ns: i64,
    tracks: Vec<TrackRecord>,
}

#[derive(Serialize)]
struct TrackRecord {
    track_id: u64,
    vehicle_xyxy: Option<[f32; 4]>,
    plate_xyxy: Option<[f32; 4]>,
}

/// The file, open for writing.
#[derive(Debug)]
pub struct TracksFile {
    file: BufWriter<File>,
}

impl TracksFile {
    /// Makes the file, empty.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path)?) })
    }

    /// Writes the frames that have a track.
    ///
    /// # Errors
    /// For example a full disk.
    pub fn write(&mut self, rows: &[TracksRow]) -> std::io::Result<()> {
        for row in rows.iter().filter(|r| !r.end && !r.tracks.is_empty()) {
            let corners = |b: BoxXyxy| [b.x0, b.y0, b.x1, b.y1];
            let tracks = row
                .tracks
                .iter()
                .filter(|t| t.matched)
                .map(|t| TrackRecord {
                    track_id: t.track_id,
                    vehicle_xyxy: t.vehicle_in_source.map(corners),
                    plate_xyxy: t.plate_in_source.map(corners),
                })
                .collect();
            let record = FrameRecord { camera: &row.source, frame: row.frame, pts_ns: row.pts_ns, tracks };
            serde_json::to_writer(&mut self.file, &record)?;
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// For example a full disk.
    pub fn finish(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
