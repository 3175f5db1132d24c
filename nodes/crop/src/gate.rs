//! Which plates are read: pure decisions from tracks, by frame number, so that the same tracks always give the same crops.

use gantry_messages::{BoxXyxy, Track};
use std::collections::BTreeMap;

/// A plate this much taller than any before is worth a read beyond the limit.
const TALLER: f32 = 1.10;
/// A crop this much more legible than any before is the track's new evidence.
const MORE_LEGIBLE: f32 = 1.05;
/// So is one of a plate this much wider, whatever its legibility: a plate that enters the picture is sharp before it is whole, and
/// `vote` shows the most legible of those that say the text.
const WIDER: f32 = 1.25;

/// Most frames between two rows that count for a track that is in both.
const MOST_BETWEEN: u64 = 10;

/// For so many frames behind one that nobody looked at, every row counts.
const SHORT_FRAMES: u64 = 15;

/// Limits of the gate: parameters of the node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Matched frames before the first read; see [`Gate::at`] for frames that nobody looked at.
    pub min_track_frames: u32,
    /// Score of the plate.
    pub min_plate_confidence: f32,
    /// Frames from read to read.
    pub read_every_frames: u64,
    /// Reads before only a taller plate counts.
    pub max_crops_per_track: u32,
    /// Frames from read to read of a track whose text is sure.
    pub decided_every_frames: u64,
}

/// What is remembered of the tracks of one camera.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    tracks: BTreeMap<u64, Seen>,
    /// Number of the last row.
    frame: Option<u64>,
    /// The last row that frames were missing before.
    behind_gap: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Frames that nobody looked at, right before rows in which it was matched again.
    between: u32,
    crops: u32,
    last_frame: u64,
    tallest_px: f32,
    /// Legibility and width in px of what was evidence so far, the most of each.
    evidence: Option<(f32, f32)>,
    has_overview: bool,
    /// Its text is sure.
    decided: bool,
}

/// What is kept of a crop for people to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// The crop: the evidence.
    Crop,
    /// The crop and the frame that it is from: an overview.
    CropAndFrame,
}

impl Gate {
    /// Takes note of the tracks of a row. Where the detector has no time for every frame of a live camera, rows have gaps: a track that was matched
    /// before one, and is right behind it, was there in between and need not be seen as often before its plate is read. Without gaps this changes nothing.
    pub fn at(&mut self, frame: u64, tracks: &[Track]) {
        let between = self.frame.map_or(0, |last| frame.saturating_sub(last + 1)).min(MOST_BETWEEN) as u32;
        self.frame = Some(frame);
        if between > 0 {
            self.behind_gap = Some(frame);
            for track in tracks.iter().filter(|track| track.matched && track.age_frames > 1) {
                self.tracks.entry(track.track_id).or_default().between += between;
            }
        }
    }

    /// The plate of `track` to read in `frame`, if it is to be read; takes note of it. Where rows have gaps, there are fewer to read than there should
    /// be: a track whose text is not sure is read in each of them.
    pub fn admit(&mut self, limits: &Limits, frame: u64, track: &Track) -> Option<BoxXyxy> {
        let plate = track.plate_in_source.filter(|_| track.matched)?;
        let height = plate.height();
        let large_enough = plate.width() >= 4.0 && height >= 4.0 && plate.width().is_finite() && height.is_finite();
        if !large_enough || track.plate_confidence < limits.min_plate_confidence {
            return None;
        }
        let is_short = self.behind_gap.is_some_and(|behind| frame < behind.saturating_add(SHORT_FRAMES));
        let between = self.tracks.get(&track.track_id).map_or(0, |seen| seen.between);
        if track.age_frames.saturating_add(between) < limits.min_track_frames {
            return None;
        }
        let seen = self.tracks.entry(track.track_id).or_default();
        let is_within = |frames: u64| frame < seen.last_frame.saturating_add(frames);
        let is_in_every_row = is_short && !seen.decided;
        if seen.crops > 0 && is_within(limits.read_every_frames) && !is_in_every_row {
            return None;
        }
        let is_read_enough = seen.crops >= limits.max_crops_per_track || seen.decided && is_within(limits.decided_every_frames);
        if is_read_enough && height < seen.tallest_px * TALLER {
            return None;
        }
        seen.crops += 1;
        seen.last_frame = frame;
        seen.tallest_px = seen.tallest_px.max(height);
        Some(plate)
    }

    /// What is kept of a crop that was admitted: the crop if it is the track's first, its most legible so far by 5 %, or of a plate wider by a quarter.
    ///
    /// `overviews`: also the frame, but for the first crop: of one read alone there is no reading, and the tracks that end with it are many. So the second
    /// crop is kept in any case.
    pub fn shown(&mut self, track_id: u64, legibility: f32, width_px: f32, overviews: bool) -> Shown {
        let seen = self.tracks.entry(track_id).or_default();
        let (clearest, widest) = seen.evidence.unwrap_or_default();
        let is_better = seen.evidence.is_none() || legibility > clearest * MORE_LEGIBLE || width_px > widest * WIDER;
        let has_frame = overviews && seen.crops > 1;
        if !is_better && (!has_frame || seen.has_overview) {
            return Shown::Nothing;
        }
        seen.evidence = Some((clearest.max(legibility), widest.max(width_px)));
        seen.has_overview |= has_frame;
        if has_frame { Shown::CropAndFrame } else { Shown::Crop }
    }

    /// Whether the text of a track is sure: then it is read more seldom. Nothing if the track is over by now.
    pub fn decide(&mut self, track_id: u64, sure: bool) {
        if let Some(seen) = self.tracks.get_mut(&track_id) {
            seen.decided = sure;
        }
    }

    /// Forgets a track that is over.
    pub fn end(&mut self, track_id: u64) {
        self.tracks.remove(&track_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { min_track_frames: 5, min_plate_confidence: 0.75, read_every_frames: 2, max_crops_per_track: 3, decided_every_frames: 10 };

    fn track(age_frames: u32, plate_confidence: f32, height: f32) -> Track {
        Track {
            track_id: 1,
            age_frames,
            matched: true,
            vehicle_in_source: None,
            vehicle_confidence: 0.0,
            plate_in_source: Some(BoxXyxy::new(10.0, 10.0, 110.0, 10.0 + height)),
            plate_confidence,
            plate_frames: age_frames,
        }
    }

    #[test]
    fn opens_at_five_frames_and_a_confidence_of_three_quarters() {
        let mut gate = Gate::default();
        assert!(gate.admit(&LIMITS, 4, &track(4, 0.9, 30.0)).is_none());
        assert!(gate.admit(&LIMITS, 5, &track(5, 0.74, 30.0)).is_none());
        assert!(gate.admit(&LIMITS, 6, &Track { matched: false, ..track(6, 0.9, 30.0) }).is_none());
        assert!(gate.admit(&LIMITS, 7, &Track { plate_in_source: None, ..track(6, 0.9, 30.0) }).is_none());
        assert!(gate.admit(&LIMITS, 8, &track(5, 0.75, 30.0)).is_some());
    }

    #[test]
    fn frames_that_nobody_looked_at_count_for_a_track_that_was_there_before_and_after() {
        let mut gate = Gate::default();
        let mut at = |frame: u64, age_frames: u32| {
            let track = track(age_frames, 0.9, 30.0);
            gate.at(frame, std::slice::from_ref(&track));
            gate.admit(&LIMITS, frame, &track).is_some()
        };
        // Every second frame: the third look is at the fifth frame.
        assert_eq!([at(10, 1), at(12, 2), at(14, 3)], [false, false, true]);
        let mut gate = Gate::default();
        gate.at(100, &[]);
        // A long gap before it came says nothing of it.
        let first = track(1, 0.9, 30.0);
        gate.at(200, std::slice::from_ref(&first));
        assert!(gate.admit(&LIMITS, 200, &first).is_none());
        let lost = Track { matched: false, ..track(1, 0.9, 30.0) };
        gate.at(210, std::slice::from_ref(&lost));
        let second = track(2, 0.9, 30.0);
        gate.at(211, std::slice::from_ref(&second));
        assert!(gate.admit(&LIMITS, 211, &second).is_none());
        gate.at(217, std::slice::from_ref(&second));
        assert!(gate.admit(&LIMITS, 217, &second).is_some());
    }

    #[test]
    fn reads_every_second_frame_and_after_three_only_a_plate_ten_percent_taller() {
        let mut gate = Gate::default();
        let read: Vec<u64> = (0..20).filter(|&f| gate.admit(&LIMITS, f, &track(9, 0.9, 30.0)).is_some()).collect();
        assert_eq!(read, [0, 2, 4]);
        assert!(gate.admit(&LIMITS, 20, &track(9, 0.9, 32.0)).is_none());
        assert!(gate.admit(&LIMITS, 21, &track(9, 0.9, 33.5)).is_some());
        assert!(gate.admit(&LIMITS, 24, &track(9, 0.9, 34.0)).is_none());
        gate.end(1);
        assert!(gate.admit(&LIMITS, 25, &track(9, 0.9, 10.0)).is_some());
    }

    #[test]
    fn where_rows_have_gaps_a_track_is_read_in_each_until_its_text_is_sure() {
        let (mut gate, limits) = (Gate::default(), Limits { max_crops_per_track: 100, ..LIMITS });
        let read = |gate: &mut Gate, frames: &[u64]| -> Vec<u64> {
            let track = track(9, 0.9, 30.0);
            let read = frames.iter().filter(|&&frame| {
                gate.at(frame, std::slice::from_ref(&track));
                gate.admit(&limits, frame, &track).is_some()
            });
            read.copied().collect()
        };
        assert_eq!(read(&mut gate, &[10, 11, 12, 13]), [10, 12]);
        assert_eq!(read(&mut gate, &[16, 17, 18, 21, 22]), [16, 17, 18, 21, 22]);
        gate.decide(1, true);
        assert_eq!(read(&mut gate, &[24, 25, 27, 30, 31, 32]), [32]);
        gate.decide(1, false);
        let steady: Vec<u64> = (33..60).collect();
        assert_eq!(read(&mut gate, &steady)[11..], [44, 46, 48, 50, 52, 54, 56, 58], "15 frames after the last gap");
    }

    #[test]
    fn a_track_whose_text_is_sure_is_read_every_tenth_frame_and_when_its_plate_is_ten_percent_taller() {
        let (mut gate, limits) = (Gate::default(), Limits { max_crops_per_track: 100, ..LIMITS });
        gate.decide(1, true);
        let read = |gate: &mut Gate, frames: std::ops::Range<u64>, height: f32| -> Vec<u64> {
            frames.filter(|&f| gate.admit(&limits, f, &track(9, 0.9, height)).is_some()).collect()
        };
        assert_eq!(read(&mut gate, 0..5, 30.0), [0, 2, 4], "one that is not known yet cannot be sure");
        gate.decide(1, true);
        assert_eq!(read(&mut gate, 5..30, 30.0), [14, 24]);
        assert_eq!(read(&mut gate, 30..40, 33.5), [30]);
        gate.decide(1, false);
        assert_eq!(read(&mut gate, 36..41, 33.5), [36, 38, 40]);
        gate.end(1);
        assert_eq!(read(&mut gate, 41..45, 30.0), [41, 43]);
    }

    fn kept(overviews: bool, crops: &[(f32, f32)]) -> Vec<Shown> {
        let (mut gate, limits) = (Gate::default(), Limits { max_crops_per_track: 100, ..LIMITS });
        let crops = crops.iter().enumerate().map(|(i, (legibility, width))| {
            assert!(gate.admit(&limits, 10 + 2 * i as u64, &track(9, 0.9, 30.0)).is_some());
            gate.shown(1, *legibility, *width, overviews)
        });
        crops.collect()
    }

    use Shown::{Crop, CropAndFrame, Nothing};

    #[test]
    fn the_first_crop_is_evidence_and_then_only_one_that_is_five_percent_better() {
        let of = [0.30, 0.31, 0.32, 0.2, 0.33, 0.35].map(|legibility| (legibility, 100.0));
        assert_eq!(kept(false, &of), [Crop, Nothing, Crop, Nothing, Nothing, Crop]);
        assert_eq!(kept(false, &[(0.0, 40.0)]), [Crop]);
    }

    #[test]
    fn a_plate_that_came_in_cut_off_gets_evidence_again_when_it_is_whole() {
        assert_eq!(kept(false, &[(0.5, 40.0), (0.3, 60.0), (0.3, 70.0), (0.3, 136.0)]), [Crop, Crop, Nothing, Crop]);
    }

    #[test]
    fn the_frame_is_kept_from_the_second_crop_on() {
        assert_eq!(kept(true, &[(0.5, 40.0)]), [Crop]);
        assert_eq!(kept(true, &[0.5, 0.3, 0.3, 0.6].map(|legibility| (legibility, 40.0))), [Crop, CropAndFrame, Nothing, CropAndFrame]);
    }
}
