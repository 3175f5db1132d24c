//! Brings frames and tracks of one camera together.

use gantry_frames::Handle;
use gantry_messages::{FrameRow, TracksRow};
use std::collections::BTreeMap;

/// What comes out next.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack; a box would cost more")]
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Both are there.
    Both(FrameRow, TracksRow),
    /// The frame never came: it was dropped on the way.
    NoFrame(TracksRow),
    /// The frame's tracks never came: give it back.
    NoTracks(Handle),
    /// The camera is over.
    End(TracksRow),
}

/// Frames and tracks that wait for each other. Tracks lead: they come in order of frames and each gives one output row.
#[derive(Debug, Default)]
pub struct Pairing {
    frames: BTreeMap<u64, FrameRow>,
    tracks: BTreeMap<u64, TracksRow>,
    end: Option<TracksRow>,
    /// All frames below this number have come or never will: an edge keeps its order.
    frames_until: u64,
}

impl Pairing {
    /// A frame has come, or the frames' end.
    pub fn frame(&mut self, row: FrameRow) {
        self.frames_until = self.frames_until.max(if row.end { u64::MAX } else { row.frame });
        if !row.end {
            self.frames.insert(row.frame, row);
        }
    }

    /// Tracks have come, or their end.
    pub fn tracks(&mut self, row: TracksRow) {
        if row.end {
            self.end = Some(row);
        } else {
            self.tracks.insert(row.frame, row);
        }
    }

    /// The oldest frame, if more than `most` wait for their tracks: give it back. Live, where tracks may stay away.
    pub fn take_surplus(&mut self, most: usize) -> Option<Handle> {
        let (_, row) = if self.frames.len() > most { self.frames.pop_first()? } else { return None };
        Some(Handle::from_bytes(row.handle))
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.tracks.is_empty() && self.end.is_none()
    }

    /// The next thing to do, or `None` until more comes.
    pub fn take_next(&mut self) -> Option<Next> {
        let Some((&number, _)) = self.tracks.first_key_value() else {
            self.end.as_ref()?;
            if let Some((_, row)) = self.frames.pop_first() {
                return Some(Next::NoTracks(Handle::from_bytes(row.handle)));
            }
            return self.end.take().map(Next::End);
        };
        if let Some(entry) = self.frames.first_entry().filter(|e| *e.key() < number) {
            return Some(Next::NoTracks(Handle::from_bytes(entry.remove().handle)));
        }
        if let Some(frame) = self.frames.remove(&number) {
            let tracks = self.tracks.remove(&number)?;
            return Some(Next::Both(frame, tracks));
        }
        if self.frames_until > number {
            return self.tracks.remove(&number).map(Next::NoFrame);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(frame: u64) -> FrameRow {
        FrameRow { frame, ..Default::default() }
    }

    fn tracks(frame: u64) -> TracksRow {
        TracksRow { frame, ..Default::default() }
    }

    fn drain(p: &mut Pairing) -> Vec<String> {
        std::iter::from_fn(|| p.take_next())
            .map(|n| match n {
                Next::Both(f, t) => {
                    assert_eq!(f.frame, t.frame);
                    format!("both {}", f.frame)
                }
                Next::NoFrame(t) => format!("no frame {}", t.frame),
                Next::NoTracks(_) => "no tracks".to_owned(),
                Next::End(t) => format!("end {}", t.frame),
            })
            .collect()
    }

    #[test]
    fn waits_for_whichever_is_late_and_keeps_the_order() {
        let mut p = Pairing::default();
        p.tracks(tracks(0));
        p.tracks(tracks(1));
        assert!(drain(&mut p).is_empty());
        p.frame(frame(0));
        assert_eq!(drain(&mut p), ["both 0"]);
        p.frame(frame(1));
        p.frame(frame(2));
        assert_eq!(drain(&mut p), ["both 1"]);
        p.tracks(TracksRow { end: true, ..tracks(3) });
        p.tracks(tracks(2));
        assert_eq!(drain(&mut p), ["both 2", "end 3"]);
        assert!(p.is_empty());
    }

    #[test]
    fn a_dropped_frame_gives_its_row_and_dropped_tracks_give_the_frame_back() {
        let mut p = Pairing::default();
        p.frame(frame(0));
        p.frame(frame(2));
        p.frame(frame(3));
        for n in [0, 1, 3] {
            p.tracks(tracks(n));
        }
        assert_eq!(drain(&mut p), ["both 0", "no frame 1", "no tracks", "both 3"]);
        p.tracks(tracks(4));
        assert!(drain(&mut p).is_empty());
        p.frame(FrameRow { end: true, ..frame(5) });
        p.tracks(TracksRow { end: true, ..tracks(5) });
        assert_eq!(drain(&mut p), ["no frame 4", "end 5"]);
    }

    #[test]
    fn frames_whose_tracks_stay_away_are_given_back_oldest_first() {
        let mut p = Pairing::default();
        (0..4).for_each(|n| p.frame(frame(n)));
        assert_eq!(std::iter::from_fn(|| p.take_surplus(2)).count(), 2);
        p.tracks(tracks(2));
        assert_eq!(drain(&mut p), ["both 2"]);
    }

    #[test]
    fn frames_left_at_the_end_are_given_back() {
        let mut p = Pairing::default();
        p.frame(frame(0));
        p.tracks(TracksRow { end: true, ..tracks(0) });
        assert_eq!(drain(&mut p), ["no tracks", "end 0"]);
    }
}
