//! The node as a whole: contract, mixed cameras, end of a camera.

use gantry_frames::Mode;
use gantry_messages::{BoxXyxy, Detection, DetectionsRow, TracksRow};
use gantry_node::{Context, Input, Outputs, Stage};
use gantry_node_track::{CONTRACT, Params, Tracking};

fn open() -> Tracking {
    let params: Params = gantry_contract::ParamSet::defaults(&CONTRACT).to().expect("defaults fit");
    let dir = std::env::temp_dir();
    Tracking::open(params, &Context::for_test("track", Mode::Lossless, &dir)).expect("opens")
}

fn row(source: &str, frame: u64, x: f32) -> DetectionsRow {
    let plate = Detection { kind: 1, class: "plate".into(), confidence: 0.9, bbox_in_source: BoxXyxy::new(x, 100.0, x + 80.0, 118.0) };
    DetectionsRow { source: source.into(), frame, source_width: 1920, source_height: 1080, detections: vec![plate], ..Default::default() }
}

fn end(source: &str, frame: u64) -> DetectionsRow {
    DetectionsRow { source: source.into(), frame, end: true, ..Default::default() }
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Tracking>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_cameras_tracks_do_not_depend_on_the_other_cameras() {
    let mut alone = open();
    let mut out = Outputs::collector();
    for i in 0..20 {
        alone.on_input(&Input::of("detections", &[row("a", i, 10.0 * i as f32)]), &mut out).unwrap();
    }
    alone.on_input(&Input::of("detections", &[end("a", 20)]), &mut out).unwrap();
    let wanted: Vec<TracksRow> = out.taken("tracks");

    let mut both = open();
    let mut out = Outputs::collector();
    for i in 0..20 {
        let rows = [row("b", i, 900.0 - 20.0 * i as f32), row("a", i, 10.0 * i as f32)];
        both.on_input(&Input::of("detections", &rows), &mut out).unwrap();
    }
    both.on_input(&Input::of("detections", &[end("a", 20), end("b", 20)]), &mut out).unwrap();
    let rows: Vec<TracksRow> = out.taken("tracks");
    let found: Vec<TracksRow> = rows.iter().filter(|r| r.source == "a").cloned().collect();
    assert_eq!(found, wanted);
    assert_eq!(wanted.len(), 21);
    assert_eq!(wanted[20].ended, [1]);
    assert!(wanted[20].end && wanted[20].frame == 20);
}

#[test]
fn a_message_of_another_type_is_a_fault() {
    let mut node = open();
    let fault = node.on_input(&Input::of("detections", &[TracksRow::default()]), &mut Outputs::collector()).unwrap_err();
    assert!(fault.message().contains("detections/v1"), "{fault}");
}
