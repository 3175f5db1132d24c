//! Readings as the page gets them, and the newest of them in memory.

use gantry_messages::ReadingRow;
use gantry_records::Record;
use serde::Serialize;
use std::collections::VecDeque;

/// Readings that are kept in memory.
const MOST: usize = 500;
/// Pictures of those that are kept: at 10 kB each the same number.
const MOST_PICTURE_BYTES: usize = 16_000_000;

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
}

/// The newest readings.
#[derive(Debug, Default)]
pub struct Readings {
    newest: VecDeque<(Shown, Vec<u8>)>,
    count: u64,
    picture_bytes: usize,
}

impl Readings {
    /// Takes one in and returns it as the page gets it.
    pub fn add(&mut self, row: ReadingRow) -> Shown {
        self.count += 1;
        let shown = Shown { id: format!("m{}", self.count), record: Record::of(&row, None), has_picture: !row.evidence.is_empty() };
        self.picture_bytes += row.evidence.len();
        self.newest.push_back((shown.clone(), row.evidence));
        while self.newest.len() > MOST || (self.picture_bytes > MOST_PICTURE_BYTES && self.newest.len() > 1) {
            let Some((_, picture)) = self.newest.pop_front() else { break };
            self.picture_bytes -= picture.len();
        }
        shown
    }

    /// Newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Shown> {
        self.newest.iter().rev().map(|(shown, _)| shown)
    }

    /// JPEG of the plate.
    pub fn picture(&self, id: &str) -> Option<&[u8]> {
        self.newest.iter().rev().find(|(shown, _)| shown.id == id).map(|(_, jpeg)| jpeg.as_slice()).filter(|jpeg| !jpeg.is_empty())
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
        assert_eq!(readings.picture(&ids[0]), None);
        assert_eq!(readings.picture(&ids[20]), Some([1; 10].as_slice()));
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
