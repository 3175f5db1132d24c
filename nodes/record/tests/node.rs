//! The node as a whole.

use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_messages::{PacketRow, ReadingRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gantry_node_record::{CONTRACT, Record};
use gantry_recording::{About, Recording};
use serde_json::json;
use std::path::Path;

fn open(dir: &Path, mode: Mode, out: &str) -> Result<Record, Fault> {
    std::fs::write(dir.join("m.onnx"), "abc").unwrap();
    let model = dir.join("m.onnx").display().to_string();
    let graph = json!({"nodes": [
        {"id": "cam", "path": "bin/camera", "outputs": ["packets"], "env": {"SOURCE": "rtsp://admin:hunter2@10.0.0.7/s"}},
        {"id": "recognize", "path": "bin/recognize", "env": {"MODEL": model}},
        {"id": "record", "path": "bin/record", "inputs": {"packets_cam": "cam/packets", "readings": "vote/readings"}},
    ]});
    let context = Context::for_test("record", mode, dir).in_graph(graph).unwrap();
    Record::open(ParamSet::from_env(&CONTRACT, [("OUT", out), ("PART_MB", "1")]).unwrap().to().unwrap(), &context)
}

/// As `open`, with `KEEP: events`.
fn open_events(dir: &Path, more: &[(&str, &str)]) -> Record {
    let out = dir.join("run.mcap").display().to_string();
    let graph = json!({"nodes": [
        {"id": "record", "path": "bin/record", "inputs": {"packets_cam": "cam/packets", "readings": "vote/readings"}},
    ]});
    let context = Context::for_test("record", Mode::Lossless, dir).in_graph(graph).unwrap();
    let env = [("OUT", out.as_str()), ("KEEP", "events"), ("BEFORE_S", "2"), ("AFTER_S", "1")].into_iter().chain(more.iter().copied());
    Record::open(ParamSet::from_env(&CONTRACT, env).unwrap().to().unwrap(), &context).unwrap()
}

/// Packets of 10 a second with a key frame each second.
fn second(from_s: u64, seconds: u64) -> Input {
    let row = |frame: u64| PacketRow {
        source: "gate".into(),
        frame,
        codec: if frame.is_multiple_of(10) { "vp9".into() } else { String::new() },
        keyframe: frame.is_multiple_of(10),
        pts_ns: frame as i64 * 100_000_000,
        dts_ns: frame as i64 * 100_000_000,
        data: vec![frame as u8; 1000],
        ..PacketRow::default()
    };
    Input::of("packets", &(10 * from_s..10 * (from_s + seconds)).map(row).collect::<Vec<_>>())
}

fn reading(plate: &str, first_s: f64, last_s: f64) -> Input {
    let ns = |s: f64| (s * 1e9) as i64;
    let row = ReadingRow {
        source: "gate".into(),
        plate: plate.into(),
        first_pts_ns: ns(first_s),
        last_pts_ns: ns(last_s),
        ..ReadingRow::default()
    };
    Input::of("readings", &[row])
}

#[test]
fn each_reading_makes_a_clip_with_the_seconds_around_it_and_overlapping_ones_share_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open_events(dir.path(), &[]);
    let mut out = Outputs::collector();
    let mut take = |record: &mut Record, input: &Input| record.on_input(input, &mut out).unwrap();
    take(&mut record, &second(0, 20));
    // Seen from 10.55 s to 12 s, said at 20 s; the next one follows closely, and comes while the first clip is open.
    take(&mut record, &reading("AB1", 10.55, 12.0));
    take(&mut record, &reading("AB2", 13.0, 14.0));
    take(&mut record, &second(20, 20));
    take(&mut record, &reading("AB3", 36.0, 37.0));
    take(&mut record, &second(40, 1));
    record.on_tick(&mut out).unwrap();
    record.finish(&mut out).unwrap();
    assert_eq!(out.counted("clips"), 2);
    let mut files: Vec<String> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["run.gate.00000080.mcap", "run.gate.00000340.mcap"]);
    let clip = |name: &str| {
        let recording = Recording::open(&dir.path().join(name)).unwrap();
        let survey = recording.survey().unwrap();
        assert!(survey.is_complete(), "{:?}", survey.faults());
        let frames: Vec<u64> = recording.packets("gate").map(|r| r.unwrap()).filter(|r| !r.end).map(|r| r.frame).collect();
        (frames, survey.results["/vote/readings"], survey.results["/gate/video"])
    };
    assert_eq!(clip(&files[0]), ((80..=150).collect(), 2, 71));
    assert_eq!(clip(&files[1]), ((340..=380).collect(), 1, 41));
}

#[test]
fn a_clip_whose_beginning_no_longer_lies_in_memory_begins_where_the_ring_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = open_events(dir.path(), &[("RING_MB", "1"), ("VIDEO", "false"), ("BEFORE_S", "600")]);
    let mut out = Outputs::collector();
    record.on_input(&second(0, 200), &mut out).unwrap();
    record.on_input(&reading("AB1", 190.0, 195.0), &mut out).unwrap();
    record.finish(&mut out).unwrap();
    let recording = Recording::open(&dir.path().join("run.gate.00001000.mcap")).unwrap();
    assert_eq!(recording.survey().unwrap().cameras[0].packets.delivered(), 961);
}

fn packets(from: u64, count: u64) -> Input {
    let row = |frame: u64| PacketRow {
        source: "gate".into(),
        frame,
        codec: if frame.is_multiple_of(4) { "vp9".into() } else { String::new() },
        keyframe: frame.is_multiple_of(4),
        // Bytes that cannot be packed.
        data: (0..50_000_u64).map(|i| ((i + frame * 77_777).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as u8).collect(),
        ..PacketRow::default()
    };
    Input::of("packets", &(from..from + count).map(row).collect::<Vec<_>>())
}

#[test]
fn contract_and_generated_pages_agree() {
    gantry_node::testing::check_contract::<Record>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn records_packets_once_and_results_with_graph_and_digests_and_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/run.mcap");
    let mut record = open(dir.path(), Mode::Lossless, out.to_str().unwrap()).unwrap();
    let mut outputs = Outputs::collector();
    record.on_input(&packets(0, 5), &mut outputs).unwrap();
    record.on_input(&packets(3, 4), &mut outputs).unwrap();
    record.on_input(&Input::of("readings", &[ReadingRow { plate: "AB1".into(), ..ReadingRow::default() }]), &mut outputs).unwrap();
    assert_eq!((outputs.counted("packets"), outputs.counted("repeated_packets")), (7, 2));
    record.finish(&mut outputs).unwrap();
    let recording = Recording::open(&out).unwrap();
    let about = recording.about().unwrap();
    assert_eq!(
        about.digests().collect::<Vec<_>>(),
        [("recognize.MODEL", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    );
    let graph = about.get(About::GRAPH).unwrap();
    assert!(graph.contains("rtsp://***@10.0.0.7/s") && !graph.contains("hunter2"), "{graph}");
    assert!(!std::fs::read(&out).unwrap().windows(7).any(|w| w == b"hunter2"));
    let survey = recording.survey().unwrap();
    assert_eq!(survey.cameras[0].packets.delivered(), 7);
    assert_eq!(survey.results.keys().collect::<Vec<_>>(), ["/gate/video", "/vote/readings"]);
}

#[test]
fn a_lost_packet_ends_a_lossless_run_and_is_counted_in_a_live_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run.mcap");
    let mut outputs = Outputs::collector();
    let mut record = open(dir.path(), Mode::Lossless, out.to_str().unwrap()).unwrap();
    record.on_input(&packets(0, 2), &mut outputs).unwrap();
    let fault = record.on_input(&packets(5, 1), &mut outputs).unwrap_err();
    assert!(fault.message().contains("3 packets of camera `gate` before number 5") && fault.hint_text().is_some(), "{fault}");
    let mut record = open(dir.path(), Mode::Live, out.to_str().unwrap()).unwrap();
    record.on_input(&packets(0, 2), &mut outputs).unwrap();
    record.on_input(&packets(5, 1), &mut outputs).unwrap();
    assert_eq!(outputs.counted("missing_packets"), 3);
}

#[test]
fn a_place_that_cannot_be_written_is_a_fault_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let fault = open(dir.path(), Mode::Live, dir.path().join("file/run.mcap").to_str().unwrap()).err().unwrap();
    assert!(fault.message().contains("file") && fault.hint_text().is_some(), "{fault}");
}

#[test]
fn what_cannot_be_written_on_ends_a_lossless_run_and_not_a_live_one() {
    for mode in [Mode::Lossless, Mode::Live] {
        let dir = tempfile::tempdir().unwrap();
        // The second part cannot be made: a folder has its name.
        std::fs::create_dir(dir.path().join("run.0001.mcap")).unwrap();
        let out = dir.path().join("run.mcap");
        let mut outputs = Outputs::collector();
        let mut record = open(dir.path(), mode, out.to_str().unwrap()).unwrap();
        record.on_input(&packets(0, 16), &mut outputs).unwrap();
        let second = record.on_input(&packets(16, 16), &mut outputs);
        assert_eq!(second.is_ok(), mode == Mode::Live);
        if mode == Mode::Live {
            record.on_input(&packets(32, 4), &mut outputs).unwrap();
            assert_eq!(outputs.counted("unrecorded_messages"), 2);
        }
        record.finish(&mut outputs).unwrap();
        assert!(Recording::open(&out).unwrap().survey().unwrap().cameras[0].packets.delivered() >= 16);
    }
    let dir = tempfile::tempdir().unwrap();
    let fault = open(dir.path(), Mode::Lossless, "/dev/full").err().unwrap();
    assert!(fault.message().contains("No space left on device") && fault.hint_text().is_some(), "{fault}");
}
