//! Synthetic traffic through the tracker: one id per pass.

use gantry_messages::{BoxXyxy, Detection, DetectionsRow, TracksRow};
use gantry_node_track::{Method, PassTracker, Thresholds, Tracker};
use std::collections::BTreeSet;

const THRESHOLDS: Thresholds =
    Thresholds { high_confidence: 0.5, low_confidence: 0.1, match_iou: 0.2, match_distance: 1.0, max_lost_frames: 30, min_hits: 2 };

fn vehicle(x: f32, y: f32, w: f32, h: f32, confidence: f32) -> Detection {
    Detection { kind: 0, class: "car".into(), confidence, bbox_in_source: BoxXyxy::new(x, y, x + w, y + h) }
}

fn plate(x: f32, y: f32, w: f32, confidence: f32) -> Detection {
    Detection { kind: 1, class: "plate".into(), confidence, bbox_in_source: BoxXyxy::new(x, y, x + w, y + w / 4.5) }
}

/// A plate in the lower middle of a vehicle box.
fn plate_of(v: &Detection) -> Detection {
    let b = v.bbox_in_source;
    plate(b.x0 + 0.37 * b.width(), b.y0 + 0.78 * b.height(), 0.26 * b.width(), 0.9)
}

fn row(frame: u64, detections: Vec<Detection>) -> DetectionsRow {
    DetectionsRow {
        source: "cam".into(),
        frame,
        pts_ns: frame as i64 * 40_000_000,
        source_width: 1920,
        source_height: 1080,
        detections,
        ..Default::default()
    }
}

fn run(frames: impl Iterator<Item = Vec<Detection>>) -> Vec<TracksRow> {
    run_with(Method::ByteTrack, frames)
}

fn run_with(method: Method, frames: impl Iterator<Item = Vec<Detection>>) -> Vec<TracksRow> {
    let mut tracker = PassTracker::new(method, THRESHOLDS);
    let mut count = 0;
    let mut rows: Vec<TracksRow> = frames
        .enumerate()
        .map(|(i, d)| {
            count = i as u64 + 1;
            tracker.step(&row(i as u64, d))
        })
        .collect();
    rows.push(tracker.finish(&DetectionsRow { end: true, ..row(count, Vec::new()) }));
    rows
}

/// Ids under which a plate was seen.
fn plate_ids(rows: &[TracksRow]) -> BTreeSet<u64> {
    rows.iter().flat_map(|r| &r.tracks).filter(|t| t.plate_in_source.is_some()).map(|t| t.track_id).collect()
}

fn ids(rows: &[TracksRow]) -> BTreeSet<u64> {
    rows.iter().flat_map(|r| &r.tracks).map(|t| t.track_id).collect()
}

#[test]
fn one_vehicle_with_a_plate_is_one_track_that_ends_once() {
    let rows = run((0..60).map(|i| {
        let v = vehicle(100.0 + 20.0 * i as f32, 300.0, 400.0, 300.0, 0.9);
        vec![v.clone(), plate_of(&v)]
    }));
    assert_eq!(ids(&rows), BTreeSet::from([1]));
    let last = &rows[59].tracks[0];
    assert_eq!((last.age_frames, last.plate_frames, last.matched), (60, 60, true));
    assert!(last.vehicle_in_source.is_some() && last.plate_in_source.is_some());
    assert_eq!(rows.iter().flat_map(|r| r.ended.iter().copied()).collect::<Vec<_>>(), [1]);
    assert!(rows[60].end && rows[60].tracks.is_empty());
}

#[test]
fn a_small_fast_plate_without_overlap_from_frame_to_frame_keeps_its_id() {
    let rows = run((0..40).map(|i| vec![plate(100.0 + 35.0 * i as f32, 500.0 + 8.0 * i as f32, 32.0, 0.8)]));
    assert_eq!(plate_ids(&rows), BTreeSet::from([1]));
    assert_eq!(rows[39].tracks[0].plate_frames, 40);
}

#[test]
fn keeps_the_id_while_vehicle_and_plate_flicker() {
    let rows = run((0..80).map(|i| {
        let v = vehicle(50.0 + 15.0 * i as f32, 300.0, 350.0, 260.0, if i % 3 == 0 { 0.3 } else { 0.8 });
        let mut d = Vec::new();
        if i % 4 != 1 {
            d.push(v.clone());
        }
        if i % 5 < 2 {
            d.push(plate_of(&v));
        }
        d
    }));
    assert_eq!(ids(&rows), BTreeSet::from([1]));
}

#[test]
fn keeps_the_id_across_an_occlusion_of_twenty_frames() {
    let rows = run((0..80).map(|i| {
        let v = vehicle(50.0 + 15.0 * i as f32, 300.0, 350.0, 260.0, 0.8);
        if (30..50).contains(&i) { Vec::new() } else { vec![v.clone(), plate_of(&v)] }
    }));
    assert_eq!(ids(&rows), BTreeSet::from([1]));
    assert!(!rows[40].tracks[0].matched);
    assert_eq!(rows[40].tracks[0].plate_in_source, None);
}

#[test]
fn a_vehicle_found_later_joins_the_track_of_its_plate() {
    let rows = run((0..40).map(|i| {
        let v = vehicle(50.0 + 15.0 * i as f32, 300.0, 350.0, 260.0, 0.8);
        if i < 20 { vec![plate_of(&v)] } else { vec![v.clone(), plate_of(&v)] }
    }));
    assert_eq!(ids(&rows), BTreeSet::from([1]));
    assert!(rows[39].tracks[0].vehicle_in_source.is_some());
}

#[test]
fn a_plate_found_later_joins_the_track_of_its_vehicle() {
    let rows = run((0..40).map(|i| {
        let v = vehicle(50.0 + 15.0 * i as f32, 300.0, 350.0, 260.0, 0.8);
        if i < 20 { vec![v] } else { vec![v.clone(), plate_of(&v)] }
    }));
    assert_eq!(ids(&rows), BTreeSet::from([1]));
    assert_eq!(rows[39].tracks[0].plate_frames, 20);
}

#[test]
fn two_vehicles_that_cross_keep_their_plates() {
    let rows = run((0..60).map(|i| {
        let a = vehicle(100.0 + 20.0 * i as f32, 300.0, 300.0, 220.0, 0.9);
        let b = vehicle(1300.0 - 20.0 * i as f32, 420.0, 340.0, 260.0, 0.9);
        vec![a.clone(), b.clone(), plate_of(&a), plate_of(&b)]
    }));
    assert_eq!(plate_ids(&rows), BTreeSet::from([1, 2]));
    let x = |r: &TracksRow, id: u64| r.tracks.iter().find(|t| t.track_id == id).unwrap().plate_in_source.unwrap().x0;
    let (first, last) = (&rows[1], &rows[59]);
    let left = if x(first, 1) < x(first, 2) { 1 } else { 2 };
    assert!(x(last, left) > x(last, 3 - left), "the plates swapped their ids");
}

#[test]
fn a_car_found_late_takes_its_plate_back_from_the_truck_behind_it() {
    let rows = run((0..60).map(|i| {
        let x = 3.0 * i as f32;
        let truck = vehicle(300.0 + x, 80.0, 700.0, 700.0, 0.9);
        let car = vehicle(420.0 + x, 540.0, 320.0, 230.0, 0.9);
        let mut d = vec![truck, plate_of(&car)];
        if i >= 15 {
            d.push(car);
        }
        d
    }));
    assert_eq!(plate_ids(&rows), BTreeSet::from([1]), "the plate changed its id");
    let t = rows[50].tracks.iter().find(|t| t.track_id == 1).unwrap();
    assert!((t.vehicle_in_source.unwrap().width() - 320.0).abs() < 1.0, "the plate still belongs to the truck");
    assert_eq!(rows[50].tracks.len(), 2);
}

#[test]
fn cars_that_follow_each_other_are_different_tracks() {
    // Two cars 2 s apart on the same path, the second comes in after the first has left.
    let rows = run((0..160).map(|i| {
        let at = |start: i32| {
            let t = i - start;
            (0..60).contains(&t).then(|| vehicle(-200.0 + 36.0 * t as f32, 400.0, 300.0, 220.0, 0.9))
        };
        [at(0), at(70)]
            .into_iter()
            .flatten()
            .flat_map(|v| [plate_of(&v), v])
            .filter(|d| d.bbox_in_source.x1 > 0.0 && d.bbox_in_source.x0 < 1920.0)
            .collect()
    }));
    assert_eq!(plate_ids(&rows), BTreeSet::from([1, 2]));
}

#[test]
fn a_single_false_detection_is_no_track() {
    let rows = run((0..30).map(|i| if i == 10 { vec![plate(500.0, 500.0, 60.0, 0.9)] } else { Vec::new() }));
    assert!(ids(&rows).is_empty());
    assert!(rows.iter().all(|r| r.ended.is_empty()));
}

#[test]
fn doubtful_detections_start_no_track_but_continue_one() {
    let weak = run((0..20).map(|i| vec![plate(100.0 + 5.0 * i as f32, 500.0, 60.0, 0.3)]));
    assert!(ids(&weak).is_empty());
    let fading = run((0..20).map(|i| vec![plate(100.0 + 5.0 * i as f32, 500.0, 60.0, if i < 5 { 0.9 } else { 0.2 })]));
    assert_eq!(fading[19].tracks[0].plate_frames, 20);
}

#[test]
fn a_camera_that_starts_again_ends_its_tracks_and_gives_new_ids() {
    let mut tracker = PassTracker::new(Method::ByteTrack, THRESHOLDS);
    let v = vehicle(500.0, 300.0, 350.0, 260.0, 0.8);
    for i in 0..10 {
        tracker.step(&row(i, vec![v.clone()]));
    }
    let again = tracker.step(&row(0, vec![v.clone()]));
    assert_eq!(again.ended, [1]);
    assert_eq!(tracker.step(&row(1, vec![v])).tracks[0].track_id, 2);
}

#[test]
fn a_vehicle_that_stops_and_turns_keeps_its_id() {
    let rows = run((0..120).map(|i| {
        let t = i as f32;
        let x = if i < 30 { 30.0 * t } else { 900.0 };
        let grow = if i < 60 { 0.0 } else { 2.0 * (t - 60.0) };
        let v = vehicle(x, 300.0 - grow * 0.5, 300.0 + grow, 220.0 + grow, 0.85);
        vec![v.clone(), plate_of(&v)]
    }));
    assert_eq!(ids(&rows), BTreeSet::from([1]));
}

#[test]
fn the_method_without_motion_follows_boxes_that_touch_and_loses_those_that_jump() {
    let slow = |method| {
        run_with(
            method,
            (0..40).map(|i| {
                let v = vehicle(100.0 + 12.0 * i as f32, 300.0, 400.0, 300.0, 0.9);
                vec![v.clone(), plate_of(&v)]
            }),
        )
    };
    assert_eq!(ids(&slow(Method::Iou)), BTreeSet::from([1]));
    assert_eq!(slow(Method::Iou)[39].tracks[0].plate_frames, 40);
    // Two thirds of its length per frame, then ten frames behind a post: where it comes out, only its motion leads.
    let hidden = |method| {
        run_with(
            method,
            (0..40).map(|i| if (20..30).contains(&i) { vec![] } else { vec![plate(100.0 + 20.0 * i as f32, 500.0, 30.0, 0.8)] }),
        )
    };
    assert_eq!(plate_ids(&hidden(Method::ByteTrack)), BTreeSet::from([1]));
    assert_eq!(plate_ids(&hidden(Method::Iou)), BTreeSet::from([1, 2]));
}

#[test]
fn the_method_without_motion_gives_a_box_to_the_older_track() {
    // Both are as near; the second vehicle came later.
    let mut tracker = PassTracker::new(Method::Iou, THRESHOLDS);
    let at = |x: f32| vehicle(x, 300.0, 200.0, 200.0, 0.9);
    tracker.step(&row(0, vec![at(100.0)]));
    tracker.step(&row(1, vec![at(100.0), at(300.0)]));
    tracker.step(&row(2, vec![at(100.0), at(300.0)]));
    let seen = tracker.step(&row(3, vec![at(200.0)]));
    let matched: Vec<u64> = seen.tracks.iter().filter(|t| t.matched).map(|t| t.track_id).collect();
    assert_eq!(matched, [1]);
}
