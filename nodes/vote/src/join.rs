//! Joins the tracks and the texts of one camera by frame number, whatever order they arrive in.

use crate::read::read_by;
use gantry_messages::{TextsRow, TracksRow};
use std::collections::BTreeMap;

/// Rows of one camera that wait for their counterpart.
#[derive(Clone, Debug, Default)]
pub struct Join {
    tracks: BTreeMap<u64, TracksRow>,
    /// First frame number that has not been passed; `u64::MAX` after the end.
    tracks_until: u64,
    /// By the number of the reader's edge in the graph.
    readers: BTreeMap<usize, Reader>,
    /// Readers that read this camera.
    wanted: usize,
    /// Number of frames, told by the end of the camera.
    end: Option<u64>,
    patience: Option<usize>,
}

/// The texts of one reader.
#[derive(Clone, Debug, Default)]
struct Reader {
    name: String,
    texts: BTreeMap<u64, TextsRow>,
    until: u64,
}

/// One frame with both sides; a side that was dropped on the way (live) is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Tracks, or an empty row with the times of the texts.
    pub tracks: TracksRow,
    /// Texts of that frame.
    pub texts: TextsRow,
}

impl Join {
    /// `patience`: frames that one side may wait for the other. `None` (lossless): for ever, since both send every frame.
    /// `readers`: how many nodes read this camera.
    pub fn new(patience: Option<usize>, readers: usize) -> Self {
        Self { patience, wanted: readers.max(1), ..Self::default() }
    }

    /// Whether this row of tracks begins the camera anew: its number was passed before, or its camera had ended.
    pub fn tracks_start_again(&self, frame: u64) -> bool {
        frame < self.tracks_until
    }

    /// The same of a row of texts.
    pub fn texts_start_again(&self, reader: usize, frame: u64) -> bool {
        self.readers.get(&reader).is_some_and(|r| frame < r.until)
    }

    /// Names of the readers so far, if `reader` is one more than read this camera.
    pub fn too_many(&self, reader: usize) -> Option<Vec<&str>> {
        let is_new = !self.readers.contains_key(&reader);
        (is_new && self.readers.len() >= self.wanted).then(|| self.readers.values().map(|r| r.name.as_str()).collect())
    }

    /// A row of tracks.
    pub fn add_tracks(&mut self, row: TracksRow) {
        if row.end {
            self.tracks_until = u64::MAX;
            self.end = Some(self.end.unwrap_or(0).max(row.frame));
            if !row.ended.is_empty() || !row.tracks.is_empty() {
                self.tracks.insert(row.frame, row);
            }
        } else {
            self.tracks_until = row.frame + 1;
            self.tracks.insert(row.frame, row);
        }
    }

    /// A row of texts of the reader whose edge has this number and whose node has this name.
    pub fn add_texts(&mut self, reader: usize, name: &str, row: TextsRow) {
        let side = self.readers.entry(reader).or_insert_with(|| Reader { name: name.to_owned(), ..Reader::default() });
        if row.end {
            side.until = u64::MAX;
            self.end = Some(self.end.unwrap_or(0).max(row.frame));
        } else {
            side.until = row.frame + 1;
            side.texts.insert(row.frame, row);
        }
    }

    /// The next frame that is complete: all sides have it or have passed it.
    pub fn pop(&mut self) -> Option<Joined> {
        let next = self.first()?;
        let all_know = self.readers.len() >= self.wanted && self.readers.values().all(|r| next < r.until);
        let complete = next < self.tracks_until && all_know;
        let waiting = self.readers.values().map(|r| r.texts.len()).fold(self.tracks.len(), usize::max);
        if complete || self.patience.is_some_and(|p| waiting > p) { self.take(next) } else { None }
    }

    /// Whatever is left, complete or not.
    pub fn pop_any(&mut self) -> Option<Joined> {
        self.take(self.first()?)
    }

    /// The number of frames, once all sides have ended and every frame was taken.
    pub fn ended(&self) -> Option<u64> {
        let read = self.readers.len() >= self.wanted && self.readers.values().all(|r| r.until == u64::MAX && r.texts.is_empty());
        self.end.filter(|_| read && self.tracks_until == u64::MAX && self.tracks.is_empty())
    }

    fn first(&self) -> Option<u64> {
        let texts = self.readers.values().filter_map(|r| r.texts.keys().next());
        texts.chain(self.tracks.keys().next()).min().copied()
    }

    fn take(&mut self, frame: u64) -> Option<Joined> {
        let several = self.wanted > 1;
        let mut texts: Option<TextsRow> = None;
        for reader in self.readers.values_mut() {
            let Some(mut row) = reader.texts.remove(&frame) else { continue };
            if several {
                row.texts.iter_mut().flat_map(|crop| &mut crop.reads).for_each(|read| read.variant = read_by(&read.variant, &reader.name));
            }
            match &mut texts {
                Some(texts) => add(texts, row),
                None => texts = Some(row),
            }
        }
        match (self.tracks.remove(&frame), texts) {
            (Some(tracks), texts) => {
                let texts = texts.unwrap_or_else(|| TextsRow { source: tracks.source.clone(), frame, ..TextsRow::default() });
                Some(Joined { tracks, texts })
            }
            (None, Some(texts)) => {
                let tracks = TracksRow {
                    source: texts.source.clone(),
                    frame,
                    pts_ns: texts.pts_ns,
                    captured_ns: texts.captured_ns,
                    ..TracksRow::default()
                };
                Some(Joined { tracks, texts })
            }
            (None, None) => None,
        }
    }
}

/// Adds what another reader read in the same frame: to the crop of the same track, whose picture and legibility stay.
fn add(texts: &mut TextsRow, other: TextsRow) {
    for crop in other.texts {
        match texts.texts.iter_mut().find(|known| known.track_id == crop.track_id) {
            Some(known) => known.reads.extend(crop.reads),
            None => texts.texts.push(crop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Join;
    use gantry_messages::{BoxXyxy, CropText, TextsRow, TracksRow, VariantRead};

    fn tracks(frame: u64, end: bool) -> TracksRow {
        TracksRow { frame, end, ..TracksRow::default() }
    }

    fn texts(frame: u64, end: bool) -> TextsRow {
        TextsRow { frame, end, ..TextsRow::default() }
    }

    fn frames(join: &mut Join) -> Vec<u64> {
        std::iter::from_fn(|| join.pop()).map(|j| j.tracks.frame).collect()
    }

    #[test]
    fn frames_come_in_order_once_both_sides_have_them() {
        let mut join = Join::new(None, 1);
        for f in 0..3 {
            join.add_tracks(tracks(f, false));
        }
        assert!(join.pop().is_none());
        join.add_texts(0, "r", texts(0, false));
        join.add_texts(0, "r", texts(1, false));
        assert_eq!(frames(&mut join), [0, 1]);
        join.add_texts(0, "r", texts(2, false));
        join.add_texts(0, "r", texts(3, true));
        assert_eq!(frames(&mut join), [2]);
        assert_eq!(join.ended(), None);
        join.add_tracks(tracks(3, true));
        assert_eq!(join.ended(), Some(3));
    }

    #[test]
    fn a_frame_that_the_other_side_has_passed_does_not_wait() {
        let mut join = Join::new(Some(100), 1);
        join.add_tracks(tracks(0, false));
        join.add_tracks(tracks(1, false));
        join.add_texts(0, "r", texts(1, false));
        assert_eq!(frames(&mut join), [0, 1]);
    }

    #[test]
    fn a_side_that_falls_silent_is_waited_for_with_patience() {
        let mut join = Join::new(Some(2), 1);
        for f in 0..5 {
            join.add_tracks(tracks(f, false));
        }
        assert_eq!(frames(&mut join), [0, 1, 2]);
        let mut lossless = Join::new(None, 1);
        for f in 0..5000 {
            lossless.add_tracks(tracks(f, false));
        }
        assert!(lossless.pop().is_none());
    }

    #[test]
    fn a_number_that_was_passed_starts_the_camera_again() {
        let mut join = Join::new(None, 1);
        join.add_tracks(tracks(0, false));
        assert!(!join.tracks_start_again(1));
        assert!(join.tracks_start_again(0));
        assert!(!join.texts_start_again(0, 0));
    }

    #[test]
    fn two_readers_of_a_camera_are_waited_for_and_speak_in_the_order_of_the_graph() {
        let read = |frame, track_id, text: &str| {
            let reads = vec![VariantRead { variant: "original".into(), text: text.into(), confidence: 0.9, characters: Vec::new() }];
            let bbox_in_source = BoxXyxy::new(0.0, 0.0, 100.0, 20.0);
            let crop = CropText {
                track_id,
                bbox_in_source,
                plate_confidence: 0.9,
                legibility: 0.5,
                reads,
                evidence: Vec::new(),
                overview: Vec::new(),
            };
            TextsRow { frame, texts: vec![crop], ..TextsRow::default() }
        };
        let mut join = Join::new(None, 2);
        join.add_tracks(tracks(0, false));
        join.add_texts(1, "second", read(0, 7, "AB12"));
        assert!(join.pop().is_none(), "the first reader has not spoken");
        assert_eq!(join.too_many(0), None);
        join.add_texts(0, "first", read(0, 7, "AB11"));
        let texts = join.pop().unwrap().texts.texts;
        let reads: Vec<(&str, &str)> = texts[0].reads.iter().map(|r| (r.variant.as_str(), r.text.as_str())).collect();
        assert_eq!((texts.len(), reads), (1, vec![("original@first", "AB11"), ("original@second", "AB12")]));
        assert_eq!(join.too_many(2), Some(vec!["first", "second"]));
        for reader in 0..2 {
            assert_eq!(join.ended(), None);
            join.add_texts(reader, "", texts_end(1));
        }
        join.add_tracks(tracks(1, true));
        assert_eq!(join.ended(), Some(1));
    }

    fn texts_end(frame: u64) -> TextsRow {
        TextsRow { frame, end: true, ..TextsRow::default() }
    }
}
