//! The boxes of the shipped clips, made worse as a detector makes them, through the tracker: one id per plate, one plate per id.

use gantry_messages::{BoxXyxy, Detection, DetectionsRow};
use gantry_node_track::{Method, PassTracker, Thresholds, Tracker};
use std::collections::{BTreeMap, BTreeSet};

/// Boxes of one vehicle in one frame.
struct Truth {
    vehicle: usize,
    plate: Option<BoxXyxy>,
    body: BoxXyxy,
}

/// Truth per frame, from `tests/clips/<name>.truth.json`.
fn load(name: &str) -> Vec<Vec<Truth>> {
    let path = format!("{}/../../tests/clips/{name}.truth.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let clip: serde_json::Value = serde_json::from_str(&text).expect("truth is JSON");
    let bbox = |v: &serde_json::Value| {
        let n = |i: usize| v[i].as_f64().expect("a box has four numbers") as f32;
        BoxXyxy::new(n(0), n(1), n(2), n(3))
    };
    let mut frames: Vec<Vec<Truth>> = (0..clip["frames"].as_u64().expect("frames")).map(|_| Vec::new()).collect();
    for (vehicle, v) in clip["vehicles"].as_array().expect("vehicles").iter().enumerate() {
        for f in v["frames"].as_array().expect("frames of a vehicle") {
            let plate = (f["visible"] == true).then(|| bbox(&f["plate_xyxy"]));
            frames[f["frame"].as_u64().expect("frame") as usize].push(Truth { vehicle, plate, body: bbox(&f["vehicle_xyxy"]) });
        }
    }
    frames
}

/// A detector that misses, jitters and sees things.
struct Detector {
    state: u64,
    miss: f32,
    jitter: f32,
    phantoms: f32,
}

impl Detector {
    fn random(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.state >> 40) as f32) / (1_u32 << 24) as f32
    }

    fn see(&mut self, b: &BoxXyxy, kind: u8, out: &mut Vec<Detection>) {
        if self.random() < self.miss {
            return;
        }
        let (w, h) = (b.width(), b.height());
        let mut off = |size: f32| (self.random() - 0.5) * 2.0 * self.jitter * size;
        let bbox = BoxXyxy::new(b.x0 + off(w), b.y0 + off(h), b.x1 + off(w), b.y1 + off(h));
        // A quarter of the detections is doubtful.
        let confidence = if self.random() < 0.25 { 0.15 + 0.3 * self.random() } else { 0.6 + 0.39 * self.random() };
        out.push(Detection { kind, class: String::new(), confidence, bbox_in_source: bbox });
    }

    fn frame(&mut self, truths: &[Truth]) -> Vec<Detection> {
        let mut out = Vec::new();
        for t in truths {
            self.see(&t.body, 0, &mut out);
            if let Some(plate) = &t.plate {
                self.see(plate, 1, &mut out);
            }
        }
        if self.random() < self.phantoms {
            let (x, y, w) = (1800.0 * self.random(), 1000.0 * self.random(), 30.0 + 60.0 * self.random());
            self.see(&BoxXyxy::new(x, y, x + w, y + w / 4.0), 1, &mut out);
        }
        out
    }
}

/// Plates with ten visible frames and more; ids under which they were seen five times and more; ids that had two plates so.
#[derive(Debug, Default)]
struct Outcome {
    plates: usize,
    ids: usize,
    mixed: usize,
    missed: usize,
}

fn follow(name: &str, method: Method, mut detector: Detector) -> Outcome {
    let thresholds =
        Thresholds { high_confidence: 0.5, low_confidence: 0.1, match_iou: 0.2, match_distance: 1.0, max_lost_frames: 30, min_hits: 2 };
    let mut tracker = PassTracker::new(method, thresholds);
    let mut visible: BTreeMap<usize, u32> = BTreeMap::new();
    let mut seen: BTreeMap<(usize, u64), u32> = BTreeMap::new();
    for (frame, truths) in load(name).iter().enumerate() {
        let detections = detector.frame(truths);
        let row = DetectionsRow {
            source: "c".into(),
            frame: frame as u64,
            source_width: 1920,
            source_height: 1080,
            detections,
            ..Default::default()
        };
        let tracks = tracker.step(&row).tracks;
        for t in truths {
            let Some(plate) = &t.plate else { continue };
            *visible.entry(t.vehicle).or_default() += 1;
            for track in &tracks {
                if track.plate_in_source.is_some_and(|p| p.iou(plate) > 0.3) {
                    *seen.entry((t.vehicle, track.track_id)).or_default() += 1;
                }
            }
        }
    }
    seen.retain(|_, n| *n >= 5);
    visible.retain(|_, n| *n >= 10);
    let owners: BTreeSet<usize> = seen.keys().map(|(v, _)| *v).collect();
    let mut by_id: BTreeMap<u64, u32> = BTreeMap::new();
    for (_, id) in seen.keys() {
        *by_id.entry(*id).or_default() += 1;
    }
    Outcome {
        plates: visible.len(),
        ids: seen.keys().filter(|(v, _)| visible.contains_key(v)).count(),
        mixed: by_id.values().filter(|n| **n > 1).count(),
        missed: visible.keys().filter(|v| !owners.contains(v)).count(),
    }
}

fn all(name: &str, method: Method, miss: f32, jitter: f32, phantoms: f32) -> Outcome {
    let mut sum = Outcome::default();
    for seed in 1..=20_u64 {
        let one = follow(name, method, Detector { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), miss, jitter, phantoms });
        sum.plates += one.plates;
        sum.ids += one.ids;
        sum.mixed += one.mixed;
        sum.missed += one.missed;
    }
    sum
}

const CLIPS: [&str; 3] = ["gate_day", "road_day", "carpark_dusk"];

#[test]
fn a_good_detector_gives_one_id_per_plate() {
    for name in CLIPS {
        let o = all(name, Method::ByteTrack, 0.03, 0.03, 0.02);
        println!("{name}: {o:?}");
        assert_eq!((o.ids, o.mixed, o.missed), (o.plates, 0, 0), "{name}: {o:?}");
    }
}

#[test]
fn a_bad_detector_gives_few_ids_too_many_and_mixes_no_plates() {
    for name in CLIPS {
        let o = all(name, Method::ByteTrack, 0.3, 0.08, 0.2);
        println!("{name}: {o:?}");
        assert!(o.ids as f32 <= 1.05 * o.plates as f32, "{name}: {o:?}");
        assert!(o.mixed as f32 <= 0.02 * o.plates as f32, "{name}: {o:?}");
        assert!(o.missed as f32 <= 0.02 * o.plates as f32, "{name}: {o:?}");
    }
}

#[test]
fn the_method_without_motion_follows_what_is_seen_and_breaks_where_much_is_missed() {
    for name in CLIPS {
        let good = all(name, Method::Iou, 0.03, 0.03, 0.02);
        println!("{name}: {good:?}");
        assert_eq!(good.missed, 0, "{name}: {good:?}");
        assert!(good.ids as f32 <= 1.2 * good.plates as f32, "{name}: {good:?}");
    }
    let (with, without): (Vec<_>, Vec<_>) =
        CLIPS.iter().map(|name| (all(name, Method::ByteTrack, 0.3, 0.08, 0.2), all(name, Method::Iou, 0.3, 0.08, 0.2))).unzip();
    let ids = |outcomes: &[Outcome]| outcomes.iter().map(|o| o.ids + o.mixed).sum::<usize>();
    assert!(ids(&with) < ids(&without), "{with:?}\n{without:?}");
}
