//! The node as a whole: files, faults, order.

use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_messages::{ReadingRow, VisitRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gantry_node_store::{CONTRACT, Params, Record, Store};
use std::path::Path;

fn open(dir: &Path, mode: Mode, extra: &[(&str, &str)]) -> Result<Store, Fault> {
    let (jsonl, sqlite, evidence) = (dir.join("readings.jsonl"), dir.join("readings.sqlite"), dir.join("evidence"));
    let mut env =
        vec![("JSONL", jsonl.to_str().unwrap()), ("SQLITE", sqlite.to_str().unwrap()), ("EVIDENCE_DIR", evidence.to_str().unwrap())];
    env.retain(|(k, _)| !extra.iter().any(|(e, _)| e == k));
    env.extend(extra);
    let params: Params = ParamSet::from_env(&CONTRACT, env).expect("parameters are valid").to().expect("parameters fit");
    Store::open(params, &Context::for_test("store", mode, dir))
}

fn reading(camera: &str, track_id: u64) -> ReadingRow {
    ReadingRow {
        source: camera.into(),
        track_id,
        plate: format!("KXW{track_id:04}"),
        confidence: 0.93,
        first_frame: 30 * track_id,
        first_pts_ns: track_id as i64 * 1_000_000_000,
        last_pts_ns: track_id as i64 * 1_000_000_000 + 500_000_000,
        evidence: vec![0xff, 0xd8, track_id as u8],
        ..ReadingRow::default()
    }
}

fn write(store: &mut Store, rows: &[ReadingRow]) -> Result<(), Fault> {
    store.on_input(&Input::of("readings", rows), &mut Outputs::collector())
}

fn lines(path: &Path) -> Vec<Record> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Store>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_cameras_lines_are_the_same_with_and_without_another_camera() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let end = |camera: &str| ReadingRow { source: camera.into(), end: true, ..ReadingRow::default() };
    let mut alone = open(&one, Mode::Lossless, &[]).unwrap();
    write(&mut alone, &[reading("b", 1), reading("b", 2), end("b")]).unwrap();
    alone.finish(&mut Outputs::collector()).unwrap();
    let mut both = open(&two, Mode::Lossless, &[]).unwrap();
    write(&mut both, &[reading("b", 1)]).unwrap();
    write(&mut both, &[reading("a", 1), end("a"), reading("b", 2), end("b")]).unwrap();
    both.finish(&mut Outputs::collector()).unwrap();
    let text = |dir: &Path| std::fs::read_to_string(dir.join("readings.jsonl")).unwrap();
    let of_b: String = text(&two).lines().filter(|l| l.contains(r#""camera":"b""#)).map(|l| format!("{l}\n")).collect();
    assert_eq!(of_b, text(&one));
    let all: Vec<(String, u64)> = lines(&two.join("readings.jsonl")).into_iter().map(|r| (r.camera, r.track_id)).collect();
    assert_eq!(all, [("a".into(), 1), ("b".into(), 1), ("b".into(), 2)]);
}

#[test]
fn lines_pictures_and_rows_name_the_same_readings() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), Mode::Lossless, &[("FORMAT", "jsonl,sqlite")]).unwrap();
    write(&mut store, &[reading("gate", 1), reading("gate", 2)]).unwrap();
    // The same message again, as after a restart of the sender.
    let mut out = Outputs::collector();
    store.on_input(&Input::of("readings", &[reading("gate", 2)]), &mut out).unwrap();
    assert_eq!(out.counted("repeated"), 1);
    store.finish(&mut Outputs::collector()).unwrap();
    drop(store);
    let records = lines(&dir.path().join("readings.jsonl"));
    assert_eq!(records[0].evidence.as_deref(), Some("evidence/gate_1_30.jpg"));
    assert_eq!(std::fs::read(dir.path().join(records[0].evidence.as_ref().unwrap())).unwrap(), [0xff, 0xd8, 1]);
    let db = rusqlite::Connection::open(dir.path().join("readings.sqlite")).unwrap();
    let count: i64 = db.query_row("SELECT count(*) FROM readings WHERE evidence LIKE 'evidence/gate_%'", [], |r| r.get(0)).unwrap();
    assert_eq!(count, 2);
}

#[test]
fn a_run_without_readings_leaves_an_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), Mode::Lossless, &[]).unwrap();
    store.finish(&mut Outputs::collector()).unwrap();
    assert_eq!(std::fs::read(dir.path().join("readings.jsonl")).unwrap(), b"");
}

#[test]
fn a_live_run_goes_on_in_the_file_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    for track in [2, 1] {
        let mut store = open(dir.path(), Mode::Live, &[]).unwrap();
        write(&mut store, &[reading("gate", track)]).unwrap();
        store.finish(&mut Outputs::collector()).unwrap();
    }
    let ids: Vec<u64> = lines(&dir.path().join("readings.jsonl")).into_iter().map(|r| r.track_id).collect();
    assert_eq!(ids, [2, 1]);
}

#[test]
fn a_full_disk_is_a_fault_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), Mode::Lossless, &[("JSONL", "/dev/full")]).unwrap();
    let fault = write(&mut store, &[reading("gate", 1)]).unwrap_err();
    assert!(fault.message().contains("/dev/full") && fault.hint_text().is_some(), "{fault}");
}

#[test]
fn a_live_site_holds_what_the_disk_does_not_take_and_writes_it_once_when_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let (visits, parquet) = (dir.path().join("visits.jsonl"), dir.path().join("parquet"));
    let env = [("FORMAT", "jsonl,sqlite,parquet"), ("VISITS", visits.to_str().unwrap()), ("PARQUET_DIR", parquet.to_str().unwrap())];
    let mut store = open(dir.path(), Mode::Live, &env).unwrap();
    let mut out = Outputs::collector();
    // A folder that is gone is what root can be kept from writing to.
    let (evidence, away) = (dir.path().join("evidence"), dir.path().join("away"));
    std::fs::rename(&evidence, &away).unwrap();
    for track in [2, 1] {
        store.on_input(&Input::of("readings", &[reading("gate", track)]), &mut out).unwrap();
    }
    store.on_tick(&mut out).unwrap();
    assert_eq!((out.counted("readings"), out.gauged("held")), (0, Some(2.0)));
    // Events go to a file of their own, which can be written.
    let visit = VisitRow { event: "entered".into(), ..VisitRow::default() };
    store.on_input(&Input::of("visits", &[visit]), &mut out).unwrap();
    assert_eq!((out.counted("visits"), std::fs::read_to_string(&visits).unwrap().lines().count()), (1, 1));
    std::fs::rename(&away, &evidence).unwrap();
    store.on_tick(&mut out).unwrap();
    store.on_input(&Input::of("readings", &[reading("gate", 3)]), &mut out).unwrap();
    store.finish(&mut out).unwrap();
    assert_eq!((out.counted("readings"), out.gauged("held"), out.counted("held_dropped")), (3, Some(0.0), 0));
    let ids: Vec<u64> = lines(&dir.path().join("readings.jsonl")).into_iter().map(|r| r.track_id).collect();
    assert_eq!(ids, [2, 1, 3]);
    let db = rusqlite::Connection::open(dir.path().join("readings.sqlite")).unwrap();
    assert_eq!(db.query_row("SELECT count(*) FROM readings", [], |r| r.get::<_, i64>(0)).unwrap(), 3);
    assert_eq!((std::fs::read_dir(&evidence).unwrap().count(), std::fs::read_dir(&parquet).unwrap().count()), (3, 1));
}

#[test]
fn what_the_disk_does_not_take_ends_a_lossless_run_and_is_told_at_the_end_of_a_live_one() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [Mode::Lossless, Mode::Live] {
        let mut store = open(dir.path(), mode, &[]).unwrap();
        std::fs::remove_dir_all(dir.path().join("evidence")).unwrap();
        let written = write(&mut store, &[reading("gate", 1)]);
        if matches!(mode, Mode::Live) {
            written.unwrap();
            let fault = store.finish(&mut Outputs::collector()).unwrap_err();
            assert!(fault.message().contains("1 readings are not on the disk, and are lost: "), "{fault}");
            assert!(fault.message().contains("picture cannot be written") && fault.hint_text().is_some(), "{fault}");
        } else {
            assert!(written.unwrap_err().message().contains("picture cannot be written"));
        }
    }
}

#[test]
fn a_place_that_cannot_be_written_and_an_unknown_format_are_faults_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let below = dir.path().join("file/readings.jsonl");
    let fault = open(dir.path(), Mode::Lossless, &[("JSONL", below.to_str().unwrap())]).err().expect("refused");
    assert!(fault.message().contains("file/readings.jsonl") && fault.hint_text().is_some(), "{fault}");
    let fault = open(dir.path(), Mode::Lossless, &[("FORMAT", "csv")]).err().expect("refused");
    assert!(fault.message().contains("`csv` is no format"), "{fault}");
}

#[test]
fn everything_about_a_reading_is_gone_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let (visits, parquet) = (dir.path().join("visits.jsonl"), dir.path().join("parquet"));
    // A second and a quarter.
    let env = [
        ("FORMAT", "jsonl,sqlite,parquet"),
        ("RETENTION_DAYS", "0.000015"),
        ("VISITS", visits.to_str().unwrap()),
        ("PARQUET_DIR", parquet.to_str().unwrap()),
        ("PARQUET_S", "1"),
    ];
    let mut store = open(dir.path(), Mode::Live, &env).unwrap();
    let mut out = Outputs::collector();
    let now_ns = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let add = |store: &mut Store, out: &mut Outputs, track_id: u64, plate: &str| {
        let row = ReadingRow { plate: plate.into(), captured_ns: now_ns(), ..reading("gate", track_id) };
        store.on_input(&Input::of("readings", &[row]), out).unwrap();
        let visit = VisitRow { plate: plate.into(), captured_ns: now_ns(), event: "entered".into(), ..VisitRow::default() };
        store.on_input(&Input::of("visits", &[visit]), out).unwrap();
    };
    add(&mut store, &mut out, 1, "SECRET1");
    // Kept, as `dora param set` may say later on; the first look happened at once.
    store.on_tick(&mut out).unwrap();
    let holding = || {
        let all = files_below(dir.path());
        let has = |path: &std::path::PathBuf| std::fs::read(path).unwrap().windows(7).any(|w| w == b"SECRET1");
        (all.iter().filter(|p| has(p)).count(), all.iter().filter(|p| p.extension().is_some_and(|e| e == "jpg")).count())
    };
    let (with_text, pictures) = holding();
    assert!(with_text >= 3 && pictures == 1, "{with_text} {pictures}");
    let started = std::time::Instant::now();
    while holding() != (0, 0) {
        assert!(started.elapsed().as_secs() < 10, "after {:?} still in {:?}", started.elapsed(), holding());
        std::thread::sleep(std::time::Duration::from_millis(100));
        store.on_tick(&mut out).unwrap();
    }
    assert!(started.elapsed().as_millis() > 800, "deleted too early");
    for name in ["purged_rows", "purged_lines", "purged_visits", "purged_pictures", "purged_files"] {
        assert_eq!(out.counted(name), 1, "{name}");
    }
    // It goes on.
    add(&mut store, &mut out, 2, "NEWCOMER");
    assert_eq!(lines(&dir.path().join("readings.jsonl"))[0].plate, "NEWCOMER");
    store.finish(&mut out).unwrap();
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files_below(&path)) } else { all.push(path) }
    }
    all
}
