//! Readings as the page gets them, and the newest of them in memory.

use gantry_messages::ReadingRow;
use gantry_records::Record;
use serde::Serialize;
use std::collections::VecDeque;

/// Readings that are kept in memory.
const MOST: usize = 500;
/// Pictures of those that are kept: at 10 kB for a plate and 60 kB for a frame, some hundred.
const MOST_PICTURE_BYTES: usize = 32_000_000;

/// A reading as the page gets it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Names it in addresses: `m12` is the 12th in memory, `d12` row 12 of the database.
    pub id: String,
    /// As `store` writes it, less what is in the other fields.
    #[serde(flatten)]
    pub record: Record,
    /// Whether `/api/evidence/<id>` has a picture.
    pub has_picture: bool,
    /// Whether `/api/overview/<id>` has one of the whole frame.
    pub has_overview: bool,
}

/// The two pictures of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jpeg {
    /// Of the plate.
    Evidence,
    /// Of the whole frame.
    Overview,
}

/// A reading in memory with its pictures.
#[derive(Debug)]
struct Kept {
    shown: Shown,
    evidence: Vec<u8>,
    overview: Vec<u8>,
}

/// The newest readings.
#[derive(Debug, Default)]
pub struct Readings {
    newest: VecDeque<Kept>,
    count: u64,
    picture_bytes: usize,
}

impl Readings {
    /// Takes one in and returns it as the page gets it.
    pub fn add(&mut self, row: ReadingRow) -> Shown {
        self.count += 1;
        let shown = Shown {
            id: format!("m{}", self.count),
            record: Record::of(&row, None),
            has_picture: !row.evidence.is_empty(),
            has_overview: !row.overview.is_empty(),
        };
        self.picture_bytes += row.evidence.len() + row.overview.len();
        self.newest.push_back(Kept { shown: shown.clone(), evidence: row.evidence, overview: row.overview });
        while self.newest.len() > MOST || (self.picture_bytes > MOST_PICTURE_BYTES && self.newest.len() > 1) {
            let Some(oldest) = self.newest.pop_front() else { break };
            self.picture_bytes -= oldest.evidence.len() + oldest.overview.len();
        }
        shown
    }

    /// Newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Shown> {
        self.newest.iter().rev().map(|kept| &kept.shown)
    }

    /// A JPEG of a reading.
    pub fn picture(&self, id: &str, which: Jpeg) -> Option<&[u8]> {
        let kept = self.newest.iter().rev().find(|kept| kept.shown.id == id)?;
        let jpeg = if which == Jpeg::Evidence { &kept.evidence } else { &kept.overview };
        Some(jpeg.as_slice()).filter(|jpeg| !jpeg.is_empty())
    }

    /// What was read of a track, if it is known.
    pub fn plate_of(&self, camera: &str, track_id: u64) -> Option<&str> {
        let of_track = |shown: &&Shown| shown.record.track_id == track_id && shown.record.camera == camera;
        // Vehicles in the picture have been read lately.
        self.newest().take(64).find(of_track).map(|shown| shown.record.plate.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(track_id: u64, bytes: usize) -> ReadingRow {
        ReadingRow { source: "gate".into(), track_id, plate: format!("P{track_id}"), evidence: vec![1; bytes], ..ReadingRow::default() }
    }

    #[test]
    fn the_newest_stay_with_their_pictures_and_memory_is_bounded() {
        let mut readings = Readings::default();
        let ids: Vec<String> = (0..MOST as u64 + 20).map(|track| readings.add(row(track, 10)).id).collect();
        assert_eq!(readings.newest().count(), MOST);
        assert_eq!(readings.newest().next().map(|shown| &shown.id), ids.last());
        assert_eq!(readings.picture(&ids[0], Jpeg::Evidence), None);
        assert_eq!(readings.picture(&ids[20], Jpeg::Evidence), Some([1; 10].as_slice()));
        assert_eq!(readings.picture(&ids[20], Jpeg::Overview), None);
        let with = readings.add(ReadingRow { overview: vec![2; 20], ..row(99, 5) });
        assert!(with.has_overview);
        assert_eq!(readings.picture(&with.id, Jpeg::Overview), Some([2; 20].as_slice()));
        readings.add(row(1, MOST_PICTURE_BYTES));
        assert_eq!(readings.newest().count(), 1);
        assert!(!readings.add(row(2, 0)).has_picture);
    }

    #[test]
    fn a_track_is_known_by_camera_and_number() {
        let mut readings = Readings::default();
        readings.add(row(7, 0));
        assert_eq!(readings.plate_of("gate", 7), Some("P7"));
        assert_eq!((readings.plate_of("road", 7), readings.plate_of("gate", 8)), (None, None));
    }
}
