//! Passes of one camera: one reading each, whatever the tracker does.

use gantry_messages::{BoxXyxy, CharRead, CropText, ReadingRow, Track, TracksRow, VariantRead};
use gantry_node_vote::Options;
use gantry_node_vote::passes::{Counts, Passes, Rules};
use std::sync::Arc;

fn rules() -> Rules {
    Rules {
        boards: true,
        parked_vehicle_confidence: 0.65,
        options: Options::default(),
        min_confidence: 0.5,
        min_reads: 2,
        settle_frames: Some(30),
        settle_confidence: 0.9,
        decide_frames: None,
        merge_ns: 3_000_000_000,
    }
}

fn at_the_end() -> Rules {
    Rules { settle_frames: None, ..rules() }
}

/// 25 frames a second; a plate of 100 px at `x`.
struct Scene {
    passes: Passes,
    frame: u64,
    readings: Vec<ReadingRow>,
    counts: Counts,
}

#[derive(Clone)]
struct Seen<'a> {
    id: u64,
    text: &'a str,
    x: f32,
    confidence: f32,
}

fn seen(id: u64, text: &str, x: f32) -> Seen<'_> {
    Seen { id, text, x, confidence: 0.95 }
}

impl Scene {
    fn new(rules: Rules) -> Self {
        Self { passes: Passes::new("gate", Arc::new(rules)), frame: 0, readings: Vec::new(), counts: Counts::default() }
    }

    /// The next frame. An empty text: the track is seen, its plate not read.
    fn frame(&mut self, plates: &[Seen<'_>], ended: &[u64]) {
        let bbox = |x: f32| BoxXyxy::new(x, 500.0, x + 100.0, 522.0);
        let track = |s: &Seen<'_>| Track {
            track_id: s.id,
            age_frames: 9,
            matched: true,
            vehicle_in_source: None,
            vehicle_confidence: 0.0,
            plate_in_source: Some(bbox(s.x)),
            plate_confidence: 0.9,
            plate_frames: 9,
        };
        let pts_ns = self.frame as i64 * 40_000_000;
        let tracks = TracksRow {
            source: "gate".into(),
            frame: self.frame,
            pts_ns,
            captured_ns: pts_ns,
            source_width: 1920,
            source_height: 1080,
            tracks: plates.iter().map(track).collect(),
            ended: ended.to_vec(),
            ..TracksRow::default()
        };
        let texts = plates.iter().filter(|s| !s.text.is_empty()).map(|s| crop(s, bbox(s.x), self.frame)).collect();
        self.readings.extend(self.passes.step(&tracks, texts));
        self.frame += 1;
    }

    /// `n` frames of one plate that moves by `dx` px per frame from `x`.
    fn pass(&mut self, id: u64, text: &str, n: u32, x: f32, dx: f32) {
        for i in 0..n {
            self.frame(&[seen(id, text, x + dx * i as f32)], &[]);
        }
    }

    fn end(&mut self, id: u64) {
        self.frame(&[], &[id]);
    }

    fn nothing(&mut self, frames: u32) {
        (0..frames).for_each(|_| self.frame(&[], &[]));
    }

    fn finish(mut self) -> (Vec<ReadingRow>, Counts) {
        self.readings.extend(self.passes.finish());
        self.counts = self.passes.take_counts();
        (self.readings, self.counts)
    }

    fn plates(self) -> Vec<String> {
        self.finish().0.into_iter().map(|r| r.plate).collect()
    }
}

fn crop(s: &Seen<'_>, bbox: BoxXyxy, frame: u64) -> CropText {
    let characters = s.text.chars().map(|c| CharRead { candidates: c.to_string(), probabilities: vec![s.confidence] }).collect();
    let read = VariantRead { variant: "original".into(), text: s.text.into(), confidence: s.confidence, characters };
    // Later frames are more legible; only they carry pictures.
    let legibility = (0.5 + 0.002 * frame as f32).min(1.0);
    CropText {
        track_id: s.id,
        bbox_in_source: bbox,
        plate_confidence: 0.9,
        legibility,
        reads: vec![read],
        evidence: vec![frame as u8; 4],
        overview: vec![frame as u8; 5],
    }
}

#[test]
fn one_pass_is_one_reading_with_its_votes_and_evidence() {
    let mut scene = Scene::new(at_the_end());
    scene.frame(&[seen(1, "", 100.0)], &[]);
    scene.pass(1, "KXW7391", 10, 100.0, 10.0);
    scene.pass(1, "KXW7341", 2, 200.0, 10.0);
    scene.end(1);
    scene.nothing(74);
    assert!(scene.readings.is_empty(), "sent before the pass could go on");
    scene.nothing(2);
    assert_eq!(scene.readings.len(), 1, "not sent when the time was over");
    let (readings, counts) = scene.finish();
    assert_eq!((readings.len(), counts), (1, Counts::default()));
    let r = &readings[0];
    assert_eq!((r.plate.as_str(), r.track_id, r.source.as_str(), r.end), ("KXW7391", 1, "gate", false));
    assert_eq!((r.first_frame, r.first_pts_ns, r.last_pts_ns, r.frame), (0, 0, 12 * 40_000_000, 12));
    assert_eq!((r.frames_read, r.reads), (12, 12));
    assert_eq!(r.votes.len(), 2);
    assert_eq!(r.votes[0].frames, (1..=10).collect::<Vec<_>>());
    assert_eq!(r.votes[1].text, "KXW7341");
    // The most legible of the frames that read it, or nearly so.
    assert_eq!((r.evidence_frame, r.evidence.as_slice()), (12, &[12_u8; 4][..]));
    assert_eq!(r.bbox_in_source.x0, 210.0);
}

#[test]
fn a_settled_text_is_sent_while_the_track_goes_on_and_never_again() {
    let mut scene = Scene::new(rules());
    scene.pass(1, "KXW7391", 29, 500.0, 0.0);
    assert!(scene.readings.is_empty());
    scene.pass(1, "KXW7391", 1, 500.0, 0.0);
    assert_eq!(scene.readings.len(), 1);
    scene.pass(1, "KXW7391", 500, 500.0, 0.0);
    scene.end(1);
    scene.nothing(100);
    let (readings, _) = scene.finish();
    assert_eq!(readings.iter().map(|r| r.plate.as_str()).collect::<Vec<_>>(), ["KXW7391"]);
    assert_eq!(readings[0].frame, 29);
}

#[test]
fn a_pass_that_the_tracker_broke_is_one_reading_with_all_reads() {
    let mut scene = Scene::new(at_the_end());
    scene.pass(1, "KXW7391", 6, 100.0, 10.0);
    scene.end(1);
    scene.nothing(20);
    scene.pass(2, "KXW7391", 6, 380.0, 10.0);
    scene.end(2);
    let (readings, counts) = scene.finish();
    assert_eq!(readings.len(), 1);
    assert_eq!(counts.merged, 1);
    assert_eq!(
        (readings[0].track_id, readings[0].frames_read, readings[0].first_frame, readings[0].last_pts_ns),
        (1, 12, 0, 32 * 40_000_000)
    );
}

#[test]
fn a_broken_pass_whose_first_half_was_sent_is_not_sent_again() {
    let mut scene = Scene::new(rules());
    scene.pass(1, "KXW7391", 40, 500.0, 0.0);
    scene.end(1);
    scene.nothing(10);
    scene.pass(2, "KXW7391", 40, 500.0, 0.0);
    scene.end(2);
    scene.nothing(30);
    scene.pass(3, "KXW7391", 5, 500.0, 0.0);
    scene.end(3);
    let (readings, counts) = scene.finish();
    assert_eq!(readings.len(), 1);
    assert_eq!(counts.merged, 2);
}

#[test]
fn the_same_plate_after_the_window_is_another_pass() {
    let mut scene = Scene::new(at_the_end());
    scene.pass(1, "KXW7391", 6, 100.0, 10.0);
    scene.end(1);
    scene.nothing(100);
    scene.pass(2, "KXW7391", 6, 100.0, 10.0);
    scene.end(2);
    assert_eq!(scene.plates(), ["KXW7391", "KXW7391"]);
}

#[test]
fn a_plate_that_was_detected_twice_at_once_is_one_reading() {
    let mut scene = Scene::new(at_the_end());
    for i in 0..10 {
        let x = 100.0 + 10.0 * i as f32;
        scene.frame(&[seen(1, "KXW7391", x), seen(2, "KXW7391", x + 5.0)], &[]);
    }
    scene.frame(&[], &[1, 2]);
    let (readings, counts) = scene.finish();
    assert_eq!((readings.len(), counts.merged), (1, 1));
    assert_eq!((readings[0].track_id, readings[0].frames_read), (1, 10));
}

#[test]
fn fleet_vehicles_with_numbers_in_a_row_are_two_readings() {
    // One leaves on the right as the next comes in on the left.
    let mut scene = Scene::new(at_the_end());
    scene.pass(1, "KXW7391", 10, 1500.0, 20.0);
    scene.end(1);
    scene.pass(2, "KXW7392", 10, 100.0, 20.0);
    scene.end(2);
    assert_eq!(scene.plates(), ["KXW7391", "KXW7392"]);
    // Side by side in the picture.
    let mut scene = Scene::new(at_the_end());
    for _ in 0..10 {
        scene.frame(&[seen(1, "KXW7391", 100.0), seen(2, "KXW7392", 1200.0)], &[]);
    }
    scene.frame(&[], &[1, 2]);
    assert_eq!(scene.plates(), ["KXW7391", "KXW7392"]);
}

#[test]
fn a_fragment_at_the_place_where_the_plate_went_on_is_the_same_pass() {
    let mut scene = Scene::new(at_the_end());
    scene.pass(1, "KXW7391", 12, 100.0, 10.0);
    scene.end(1);
    scene.nothing(5);
    scene.pass(2, "KXW73", 3, 280.0, 10.0);
    scene.end(2);
    assert_eq!(scene.plates(), ["KXW7391"]);
}

#[test]
fn a_track_that_slipped_to_another_vehicle_is_two_readings() {
    for rules in [rules(), at_the_end()] {
        let mut scene = Scene::new(rules);
        scene.pass(1, "KXW7391", 40, 500.0, 0.0);
        scene.pass(1, "PLM4528", 12, 520.0, 0.0);
        scene.end(1);
        let (readings, counts) = scene.finish();
        assert_eq!(readings.iter().map(|r| (r.plate.as_str(), r.track_id)).collect::<Vec<_>>(), [("KXW7391", 1), ("PLM4528", 1)]);
        assert_eq!(counts.split, 1);
        assert!(readings[0].last_pts_ns < readings[1].first_pts_ns);
        assert_eq!(readings[1].first_frame, 40);
    }
}

#[test]
fn garbage_abstains() {
    let mut scene = Scene::new(at_the_end());
    for text in ["A8KQ", "7XXPL2", "QQ12", "ZL9WP", "M4RT", "1B7CC2"] {
        scene.frame(&[Seen { confidence: 0.5, ..seen(1, text, 100.0) }], &[]);
    }
    scene.frame(&[seen(2, "KXW7391", 900.0)], &[1]);
    scene.end(2);
    let (readings, counts) = scene.finish();
    assert!(readings.is_empty(), "{readings:?}");
    assert_eq!(counts.abstained, 2, "six frames that disagree, and one frame alone");
}

#[test]
fn tracks_without_texts_are_no_passes() {
    let mut scene = Scene::new(at_the_end());
    scene.pass(1, "", 30, 100.0, 10.0);
    scene.end(1);
    let (readings, counts) = scene.finish();
    assert!(readings.is_empty());
    assert_eq!(counts, Counts::default());
}

#[test]
fn readings_due_together_are_ordered_by_last_time_and_track() {
    let mut scene = Scene::new(at_the_end());
    for _ in 0..6 {
        scene.frame(&[seen(1, "AAA1111", 100.0), seen(2, "BBB2222", 700.0), seen(3, "CCC3333", 1300.0)], &[]);
    }
    for _ in 0..3 {
        scene.frame(&[seen(2, "BBB2222", 700.0), seen(3, "CCC3333", 1300.0)], &[]);
    }
    scene.frame(&[], &[3, 2, 1]);
    assert_eq!(scene.plates(), ["AAA1111", "BBB2222", "CCC3333"]);
}

#[test]
fn a_plate_that_comes_closer_is_read_on() {
    let mut scene = Scene::new(rules());
    let bbox = |w: f32| BoxXyxy::new(500.0, 500.0, 500.0 + w, 500.0 + w / 4.5);
    for i in 0..40_u64 {
        let w = 40.0 + 3.0 * i as f32;
        let s = seen(1, "KXW7391", 500.0);
        let tracks = TracksRow { source: "gate".into(), frame: i, pts_ns: i as i64 * 40_000_000, ..TracksRow::default() };
        scene.readings.extend(scene.passes.step(&tracks, vec![crop(&s, bbox(w), i)]));
    }
    assert!(scene.readings.is_empty(), "sent although the plate grew");
    assert_eq!(scene.plates(), ["KXW7391"]);
}

#[test]
fn a_far_misread_before_the_tracker_broke_is_no_reading_of_its_own() {
    let mut scene = Scene::new(at_the_end());
    scene.pass(1, "XKW7341", 5, 100.0, 10.0);
    scene.end(1);
    scene.nothing(8);
    scene.pass(2, "KXW7391", 30, 240.0, 10.0);
    scene.end(2);
    assert_eq!(scene.plates(), ["KXW7391"]);
}

#[test]
fn a_track_whose_end_was_lost_on_the_way_is_over_after_a_while() {
    let mut scene = Scene::new(at_the_end());
    scene.pass(1, "KXW7391", 8, 100.0, 10.0);
    scene.nothing(200);
    assert_eq!(scene.readings.len(), 1);
}

#[test]
fn a_track_is_decided_when_its_text_is_sure_and_only_where_somebody_wants_to_know() {
    let decided = |rules: Rules, p: f32| {
        let mut scene = Scene::new(rules);
        let frames: Vec<u64> = (0..29)
            .filter_map(|i| {
                scene.frame(&[Seen { confidence: p, ..seen(7, "KXW7391", 100.0 + 10.0 * i as f32) }], &[]);
                (scene.passes.take_decided() == [(7, true)]).then_some(scene.frame)
            })
            .collect();
        (frames, scene.readings.len())
    };
    let told = || Rules { decide_frames: Some(8), ..rules() };
    let (frames, readings) = decided(told(), 0.95);
    assert_eq!((frames.len(), readings), (1, 0), "once, and before it is sent");
    assert!((8..20).contains(&frames[0]), "{frames:?}");
    assert!(decided(told(), 0.4).0.is_empty(), "half-sure reads decide nothing so soon");
    assert!(decided(rules(), 0.95).0.is_empty());
}

#[test]
fn another_plate_in_a_decided_track_has_it_read_as_before() {
    let mut scene = Scene::new(Rules { decide_frames: Some(5), ..rules() });
    scene.pass(7, "KXW7391", 12, 100.0, 10.0);
    assert_eq!(scene.passes.take_decided(), [(7, true)]);
    // A misread and a read that nobody is sure of are no other plate.
    scene.pass(7, "KXW7341", 1, 220.0, 10.0);
    scene.frame(&[Seen { confidence: 0.4, ..seen(7, "PLM4528", 230.0) }], &[]);
    assert!(scene.passes.take_decided().is_empty());
    scene.pass(7, "PLM4528", 1, 100.0, 10.0);
    assert_eq!(scene.passes.take_decided(), [(7, false)]);
    scene.pass(7, "PLM4528", 9, 110.0, 10.0);
    assert_eq!(scene.passes.take_decided(), [(7, true)]);
    scene.end(7);
    assert_eq!(scene.plates(), ["KXW7391", "PLM4528"]);
}

#[test]
fn a_read_of_a_decided_track_stands_for_the_frames_before_it() {
    let sent_after = |every: u32| {
        let mut scene = Scene::new(Rules { decide_frames: Some(8), ..rules() });
        let (mut is_decided, mut reads) = (false, 0);
        while scene.readings.is_empty() && scene.frame < 200 {
            let is_read = !is_decided || scene.frame.is_multiple_of(u64::from(every));
            reads += u32::from(is_read);
            let text = if is_read { "KXW7391" } else { "" };
            scene.frame(&[seen(7, text, 100.0 + 3.0 * scene.frame as f32)], &[]);
            is_decided |= !scene.passes.take_decided().is_empty();
        }
        assert!(is_decided);
        (scene.frame, reads)
    };
    assert_eq!(sent_after(1), (30, 30));
    let (frame, reads) = sent_after(10);
    assert!((30..=50).contains(&frame) && reads < 20, "{frame} {reads}");
}
