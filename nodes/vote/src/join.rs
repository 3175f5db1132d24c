//! Joins the tracks and the texts of one camera by frame number, whatever order they arrive in.

use gantry_messages::{TextsRow, TracksRow};
use std::collections::BTreeMap;

/// Rows of one camera that wait for their counterpart.
#[derive(Clone, Debug, Default)]
pub struct Join {
    tracks: BTreeMap<u64, TracksRow>,
    texts: BTreeMap<u64, TextsRow>,
    /// First frame number that each side has not passed; `u64::MAX` after its end.
    tracks_until: u64,
    texts_until: u64,
    /// Number of frames, told by the end of the camera.
    end: Option<u64>,
    patience: Option<usize>,
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
    pub fn new(patience: Option<usize>) -> Self {
        Self { patience, ..Self::default() }
    }

    /// Whether this row begins the camera anew: its number was passed before, or its camera had ended.
    pub fn starts_again(&self, tracks: Option<u64>, texts: Option<u64>) -> bool {
        tracks.is_some_and(|f| f < self.tracks_until) || texts.is_some_and(|f| f < self.texts_until)
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

    /// A row of texts.
    pub fn add_texts(&mut self, row: TextsRow) {
        if row.end {
            self.texts_until = u64::MAX;
            self.end = Some(self.end.unwrap_or(0).max(row.frame));
        } else {
            self.texts_until = row.frame + 1;
            self.texts.insert(row.frame, row);
        }
    }

    /// The next frame that is complete: both sides have it or have passed it.
    pub fn pop(&mut self) -> Option<Joined> {
        let next = match (self.tracks.keys().next(), self.texts.keys().next()) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => return None,
        };
        let complete = next < self.tracks_until && next < self.texts_until;
        let waiting = self.tracks.len().max(self.texts.len());
        if complete || self.patience.is_some_and(|p| waiting > p) { self.take(next) } else { None }
    }

    /// Whatever is left, complete or not.
    pub fn pop_any(&mut self) -> Option<Joined> {
        let next = self.tracks.keys().next().into_iter().chain(self.texts.keys().next()).min().copied()?;
        self.take(next)
    }

    /// The number of frames, once both sides have ended and every frame was taken.
    pub fn ended(&self) -> Option<u64> {
        let over = self.tracks_until == u64::MAX && self.texts_until == u64::MAX && self.tracks.is_empty() && self.texts.is_empty();
        self.end.filter(|_| over)
    }

    fn take(&mut self, frame: u64) -> Option<Joined> {
        match (self.tracks.remove(&frame), self.texts.remove(&frame)) {
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

#[cfg(test)]
mod tests {
    use super::Join;
    use gantry_messages::{TextsRow, TracksRow};

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
        let mut join = Join::new(None);
        for f in 0..3 {
            join.add_tracks(tracks(f, false));
        }
        assert!(join.pop().is_none());
        join.add_texts(texts(0, false));
        join.add_texts(texts(1, false));
        assert_eq!(frames(&mut join), [0, 1]);
        join.add_texts(texts(2, false));
        join.add_texts(texts(3, true));
        assert_eq!(frames(&mut join), [2]);
        assert_eq!(join.ended(), None);
        join.add_tracks(tracks(3, true));
        assert_eq!(join.ended(), Some(3));
    }

    #[test]
    fn a_frame_that_the_other_side_has_passed_does_not_wait() {
        let mut join = Join::new(Some(100));
        join.add_tracks(tracks(0, false));
        join.add_tracks(tracks(1, false));
        join.add_texts(texts(1, false));
        assert_eq!(frames(&mut join), [0, 1]);
    }

    #[test]
    fn a_side_that_falls_silent_is_waited_for_with_patience() {
        let mut join = Join::new(Some(2));
        for f in 0..5 {
            join.add_tracks(tracks(f, false));
        }
        assert_eq!(frames(&mut join), [0, 1, 2]);
        let mut lossless = Join::new(None);
        for f in 0..5000 {
            lossless.add_tracks(tracks(f, false));
        }
        assert!(lossless.pop().is_none());
    }

    #[test]
    fn a_number_that_was_passed_starts_the_camera_again() {
        let mut join = Join::new(None);
        join.add_tracks(tracks(0, false));
        assert!(!join.starts_again(Some(1), None));
        assert!(join.starts_again(Some(0), None));
        assert!(!join.starts_again(None, Some(0)));
    }
}
