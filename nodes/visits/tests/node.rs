//! The node as a whole: rules, lists, tracks, restarts.

use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_messages::{BoxXyxy, ReadingRow, Track, TracksRow, VisitRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gantry_node_visits::{CONTRACT, Visits};
use std::path::Path;

const S: i64 = 1_000_000_000;
/// A wall clock of long ago: the real one of `on_tick` is far later.
const T0: i64 = 1_700_000_000 * S;

const RULES: &str = "
lists: { allow: residents.txt, deny: banned.txt }
cameras:
  north_in: { role: entry }
  north_out: { role: exit }
  yard:
    lines: [{ name: barrier, from: [0, 500], to: [1920, 500] }]
    zones:
      - { name: bay, polygon: [[0, 500], [1920, 500], [1920, 1080], [0, 1080]] }
      - { name: street, polygon: [[0, 0], [1920, 0], [1920, 100], [0, 100]], ignore: true }
";

fn open(dir: &Path, mode: Mode, extra: &[(&str, &str)]) -> Result<Visits, Fault> {
    std::fs::write(dir.join("residents.txt"), "AB120CD # Miller\n").unwrap();
    std::fs::write(dir.join("banned.txt"), "KXW77\n").unwrap();
    std::fs::write(dir.join("rules.yml"), RULES).unwrap();
    let (rules, state) = (dir.join("rules.yml"), dir.join("state/visits.json"));
    let mut env = vec![("RULES", rules.to_str().unwrap()), ("STATE", state.to_str().unwrap())];
    env.extend(extra);
    let params = ParamSet::from_env(&CONTRACT, env).expect("parameters are valid").to().expect("parameters fit");
    let graph = serde_json::json!({ "nodes": [
        { "id": "visits", "path": "visits", "inputs": { "tracks": "track/tracks", "readings": "vote/readings" } },
        { "id": "track", "path": "track", "outputs": ["tracks"] }, { "id": "vote", "path": "vote", "outputs": ["readings"] },
    ] });
    Visits::open(params, &Context::for_test("visits", mode, dir).in_graph(graph)?)
}

fn reading(camera: &str, track_id: u64, plate: &str, at_s: i64, y: f32) -> ReadingRow {
    ReadingRow {
        source: camera.into(),
        track_id,
        plate: plate.into(),
        confidence: 0.9,
        first_frame: track_id * 10,
        captured_ns: T0 + at_s * S,
        bbox_in_source: BoxXyxy::new(900.0, y - 20.0, 1000.0, y + 20.0),
        ..ReadingRow::default()
    }
}

fn tracks(camera: &str, track_id: u64, at_s: i64, y: f32, ended: bool) -> TracksRow {
    let track = Track {
        track_id,
        age_frames: 1,
        matched: true,
        vehicle_in_source: None,
        vehicle_confidence: 0.0,
        plate_in_source: Some(BoxXyxy::new(900.0, y - 20.0, 1000.0, y + 20.0)),
        plate_confidence: 0.9,
        plate_frames: 1,
    };
    let (tracks, ended) = if ended { (Vec::new(), vec![track_id]) } else { (vec![track], Vec::new()) };
    TracksRow { source: camera.into(), captured_ns: T0 + at_s * S, tracks, ended, ..TracksRow::default() }
}

/// `event camera plate list:plate zone line direction duration`, what is empty left out.
fn said(out: &mut Outputs) -> Vec<String> {
    let text = |row: &VisitRow| {
        let list = if row.list.is_empty() { String::new() } else { format!("{}:{}", row.list, row.list_plate) };
        let lasted = if row.entered_ns < 0 { "?".to_owned() } else { format!("{}s", (row.captured_ns - row.entered_ns) / S) };
        let words = [&row.event, &row.source, &row.plate, &list, &row.zone, &row.line, &row.direction, &lasted];
        words.into_iter().filter(|w| !w.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    };
    out.taken::<VisitRow>("visits").iter().map(text).collect()
}

fn read(node: &mut Visits, out: &mut Outputs, rows: &[ReadingRow]) {
    node.on_input(&Input::of("readings", rows), out).unwrap();
}

fn track(node: &mut Visits, out: &mut Outputs, rows: &[TracksRow]) {
    node.on_input(&Input::of("tracks", rows), out).unwrap();
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Visits>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn entry_and_exit_make_a_visit_with_lists_and_duration() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut out) = (open(dir.path(), Mode::Lossless, &[]).unwrap(), Outputs::collector());
    read(&mut node, &mut out, &[reading("north_in", 1, "AB12OCD", 0, 300.0), reading("north_in", 2, "KXW77", 5, 300.0)]);
    read(&mut node, &mut out, &[reading("north_in", 1, "AB12OCD", 60, 300.0)]);
    read(&mut node, &mut out, &[reading("north_out", 1, "AB120CD", 3600, 300.0), reading("north_out", 2, "XX1", 3601, 300.0)]);
    let wanted = [
        "entered north_in AB12OCD allow:AB120CD 0s",
        "entered north_in KXW77 deny:KXW77 0s",
        "left north_out AB120CD allow:AB120CD 3600s",
        "left north_out XX1 ?",
    ];
    assert_eq!(said(&mut out), wanted);
    assert_eq!((out.counted("repeats"), out.counted("deny"), out.counted("entered")), (1, 1, 2));
}

#[test]
fn a_line_tells_coming_from_going_and_zones_are_named_or_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut out) = (open(dir.path(), Mode::Lossless, &[]).unwrap(), Outputs::collector());
    track(&mut node, &mut out, &[tracks("yard", 1, 0, 400.0, false)]);
    read(&mut node, &mut out, &[reading("yard", 1, "AA1", 1, 450.0), reading("yard", 9, "STREET", 1, 50.0)]);
    assert_eq!(said(&mut out), Vec::<String>::new());
    track(&mut node, &mut out, &[tracks("yard", 1, 2, 550.0, false), tracks("yard", 1, 4, 0.0, true)]);
    assert_eq!(said(&mut out), ["entered yard AA1 barrier in 0s"]);
    // The way out: the crossing comes first. And one that only stands in the bay.
    track(
        &mut node,
        &mut out,
        &[tracks("yard", 2, 50, 600.0, false), tracks("yard", 2, 51, 400.0, false), tracks("yard", 2, 52, 0.0, true)],
    );
    read(&mut node, &mut out, &[reading("yard", 2, "AA1", 50, 600.0), reading("yard", 3, "BB2", 60, 800.0)]);
    track(&mut node, &mut out, &[tracks("yard", 3, 61, 800.0, true), tracks("yard", 9, 62, 50.0, true)]);
    assert_eq!(said(&mut out), ["left yard AA1 bay barrier out 49s", "entered yard BB2 bay 0s"]);
    assert_eq!(out.counted("ignored"), 1);
}

#[test]
fn a_parked_car_stays_while_its_track_lives_and_leaves_when_it_was_not_seen_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut out) = (open(dir.path(), Mode::Lossless, &[("ABSENT_S", "120")]).unwrap(), Outputs::collector());
    read(&mut node, &mut out, &[reading("lane", 1, "AA1", 0, 300.0)]);
    for minute in 0..30 {
        track(&mut node, &mut out, &[tracks("lane", 1, minute * 60, 300.0, false)]);
    }
    // Its track was lost and found under another number; it is read again.
    track(&mut node, &mut out, &[tracks("lane", 1, 1741, 300.0, true)]);
    read(&mut node, &mut out, &[reading("lane", 2, "AA1", 1800, 300.0)]);
    track(&mut node, &mut out, &[tracks("lane", 2, 1860, 300.0, false), tracks("lane", 2, 1861, 300.0, true)]);
    assert_eq!(said(&mut out), ["entered lane AA1 0s"]);
    track(&mut node, &mut out, &[tracks("lane", 7, 2000, 300.0, false)]);
    read(&mut node, &mut out, &[reading("lane", 8, "AA1", 2400, 300.0)]);
    assert_eq!(said(&mut out), ["left lane AA1 1860s", "entered lane AA1 0s"]);
}

#[test]
fn open_visits_survive_a_kill_and_time_goes_on_without_cameras() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut out) = (open(dir.path(), Mode::Lossless, &[]).unwrap(), Outputs::collector());
    read(&mut node, &mut out, &[reading("north_in", 1, "AB1", 0, 300.0), reading("lane", 1, "CC3", 0, 300.0)]);
    assert_eq!(said(&mut out).len(), 2);
    drop(node);
    let (mut node, mut out) = (open(dir.path(), Mode::Live, &[]).unwrap(), Outputs::collector());
    read(&mut node, &mut out, &[reading("north_out", 1, "AB1", 900, 300.0)]);
    assert_eq!(said(&mut out), ["left north_out AB1 900s"]);
    node.on_tick(&mut out).unwrap();
    assert_eq!(said(&mut out), ["left lane CC3 0s"]);
    assert_eq!(out.gauged("open_visits"), Some(0.0));
    std::fs::write(dir.path().join("state/visits.json"), "{}x").unwrap();
    let fault = open(dir.path(), Mode::Live, &[]).err().expect("refused");
    assert!(fault.message().contains("is no state of visits") && fault.hint_text().is_some(), "{fault}");
}

#[test]
fn lists_follow_their_files_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut out) = (open(dir.path(), Mode::Lossless, &[]).unwrap(), Outputs::collector());
    std::fs::write(dir.path().join("banned.txt"), "ZZ 9999\n").unwrap();
    node.on_tick(&mut out).unwrap();
    read(&mut node, &mut out, &[reading("north_in", 1, "ZZ9999", 0, 300.0)]);
    assert_eq!(said(&mut out), ["entered north_in ZZ9999 deny:ZZ9999 0s"]);
}

#[test]
fn lines_without_tracks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.yml"), RULES).unwrap();
    let rules = dir.path().join("rules.yml");
    let params = ParamSet::from_env(&CONTRACT, [("RULES", rules.to_str().unwrap())]).unwrap().to().unwrap();
    let fault = Visits::open(params, &Context::for_test("visits", Mode::Live, dir.path())).err().expect("refused");
    assert!(fault.message().contains("the rules have lines"), "{fault}");
}
