//! Tracks and the lines that they cross, and readings that wait for that.

use crate::geometry::{Direction, Point, crossing};
use crate::rules::Line;
use gantry_messages::{ReadingRow, TracksRow};
use std::collections::BTreeMap;

/// Tracks of one camera that are remembered after their end: their reading may still come.
const MAX_ENDED: usize = 256;
/// Tracks that are remembered at all: after a restart of `track` some never end.
const MAX_TRACKS: usize = 2048;

/// A line that was crossed.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossed {
    /// Name of the line.
    pub line: String,
    /// Which way.
    pub direction: Direction,
    /// When, in ns.
    pub at_ns: i64,
}

/// A reading that can be taken now, with the line that its vehicle crossed, if it did.
pub type Settled = (ReadingRow, Option<Crossed>);

/// One camera.
#[derive(Debug, Default)]
pub struct Passages {
    tracks: BTreeMap<u64, Passage>,
    /// Ended tracks, oldest first.
    ended: std::collections::VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Passage {
    at: Option<Point>,
    crossed: Option<Crossed>,
    /// The last reading, for lines that are crossed later.
    reading: Option<ReadingRow>,
    /// It was given out: with the direction of its line, or without one.
    given: Option<Option<Direction>>,
    ended: bool,
}

impl Passages {
    /// Takes the tracks of a frame. Readings whose vehicle has crossed a line now, or is gone without having done so.
    pub fn track(&mut self, row: &TracksRow, lines: &[Line]) -> Vec<Settled> {
        let mut settled = Vec::new();
        for track in row.tracks.iter().filter(|track| track.matched) {
            let Some(plate) = track.plate_in_source else { continue };
            let (x, y) = plate.center();
            let passage = self.tracks.entry(track.track_id).or_default();
            let before = passage.at.replace([x, y]);
            for line in lines {
                if let Some(direction) = before.and_then(|before| crossing(line.from, line.to, before, [x, y])) {
                    passage.crossed = Some(Crossed { line: line.name.clone(), direction, at_ns: row.captured_ns });
                }
            }
            settled.extend(passage.settle());
        }
        for id in &row.ended {
            settled.extend(self.end(*id));
        }
        while self.tracks.len() > MAX_TRACKS
            && let Some((_, passage)) = self.tracks.pop_first()
        {
            settled.extend(Passage { ended: true, ..passage }.settle());
        }
        if row.end {
            for id in self.tracks.keys().copied().collect::<Vec<_>>() {
                settled.extend(self.end(id));
            }
        }
        settled
    }

    /// Takes a reading. It is given back now or later by [`Passages::track`].
    pub fn read(&mut self, row: ReadingRow) -> Vec<Settled> {
        let passage = self.tracks.entry(row.track_id).or_default();
        passage.reading = Some(row);
        passage.given = None;
        passage.settle().into_iter().collect()
    }

    fn end(&mut self, id: u64) -> Option<Settled> {
        let passage = self.tracks.get_mut(&id)?;
        if !std::mem::replace(&mut passage.ended, true) {
            self.ended.push_back(id);
        }
        let settled = passage.settle();
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.tracks.remove(&oldest);
        }
        settled
    }
}

impl Passage {
    /// The reading, once for each direction in which its vehicle went.
    fn settle(&mut self) -> Option<Settled> {
        let direction = self.crossed.as_ref().map(|c| c.direction);
        let is_due = match self.given {
            None => direction.is_some() || self.ended,
            // It turned back, or crossed after all.
            Some(given) => direction.is_some() && given != direction,
        };
        let reading = self.reading.as_ref().filter(|_| is_due)?.clone();
        self.given = Some(direction);
        Some((reading, self.crossed.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::{BoxXyxy, Track};

    fn at(y: f32, frame: i64) -> TracksRow {
        let track = Track {
            track_id: 7,
            age_frames: 1,
            matched: true,
            vehicle_in_source: None,
            vehicle_confidence: 0.0,
            plate_in_source: Some(BoxXyxy::new(90.0, y - 10.0, 110.0, y + 10.0)),
            plate_confidence: 0.9,
            plate_frames: 1,
        };
        TracksRow { tracks: vec![track], captured_ns: frame, ..TracksRow::default() }
    }

    fn ended() -> TracksRow {
        TracksRow { ended: vec![7], ..TracksRow::default() }
    }

    fn lines() -> [Line; 1] {
        [Line { name: "barrier".into(), from: [0.0, 100.0], to: [200.0, 100.0] }]
    }

    fn reading() -> ReadingRow {
        ReadingRow { track_id: 7, plate: "AB1".into(), ..ReadingRow::default() }
    }

    fn said(settled: &[Settled]) -> Vec<Option<(Direction, i64)>> {
        settled.iter().map(|(_, crossed)| crossed.as_ref().map(|c| (c.direction, c.at_ns))).collect()
    }

    #[test]
    fn a_reading_waits_for_the_line_and_the_line_for_the_reading() {
        let mut passages = Passages::default();
        passages.track(&at(50.0, 1), &lines());
        assert_eq!(said(&passages.read(reading())), []);
        assert_eq!(said(&passages.track(&at(90.0, 2), &lines())), []);
        assert_eq!(said(&passages.track(&at(120.0, 3), &lines())), [Some((Direction::In, 3))]);
        assert_eq!(said(&passages.track(&ended(), &lines())), []);

        let mut passages = Passages::default();
        passages.track(&at(150.0, 1), &lines());
        passages.track(&at(50.0, 2), &lines());
        passages.track(&ended(), &lines());
        assert_eq!(said(&passages.read(reading())), [Some((Direction::Out, 2))]);
    }

    #[test]
    fn a_vehicle_that_crosses_nothing_is_told_when_its_track_ends_and_one_that_turns_back_twice() {
        let mut passages = Passages::default();
        passages.track(&at(50.0, 1), &lines());
        passages.read(reading());
        assert_eq!(said(&passages.track(&ended(), &lines())), [None]);

        let mut passages = Passages::default();
        passages.read(reading());
        let steps = [50.0, 150.0, 160.0, 50.0, 40.0];
        let all: Vec<_> = steps.iter().zip(1..).flat_map(|(y, n)| said(&passages.track(&at(*y, n), &lines()))).collect();
        assert_eq!(all, [Some((Direction::In, 2)), Some((Direction::Out, 4))]);
    }

    #[test]
    fn tracks_are_forgotten_some_time_after_their_end() {
        let mut passages = Passages::default();
        for id in 0..1000 {
            let mut row = at(50.0, 1);
            row.tracks[0].track_id = id;
            passages.track(&row, &lines());
            passages.track(&TracksRow { ended: vec![id], ..TracksRow::default() }, &lines());
        }
        assert_eq!(passages.tracks.len(), MAX_ENDED);
    }
}
