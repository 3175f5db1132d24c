//! Parts, restarts, the start in the middle.

mod common;

use common::{about, limits, packet, record};
use gantry_messages::PacketRow;
use gantry_recording::{Entry, Recorder, Recording, Taken};

#[test]
fn parts_follow_each_other_without_a_hole_and_each_can_be_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    record(&path, 100, 60_000);
    let recording = Recording::open(&path).unwrap();
    assert!(recording.files().len() >= 3, "{:?}", recording.files());
    let survey = recording.survey().unwrap();
    assert!(survey.is_complete(), "{:?}", survey.faults());
    assert_eq!((survey.cameras[0].packets.delivered(), survey.results["/vote/readings"]), (100, 14));
    let second = Recording::open(&recording.files()[1]).unwrap();
    let first = second.packets("gate").next().unwrap().unwrap();
    assert!(first.keyframe && first.frame > 0 && first.codec == "h264" && first.extradata == [1, 2, 3]);
    // A part of another run does not belong to it.
    Recorder::create(&recording.files()[2], about("b"), limits(1000), true).unwrap().finish().unwrap();
    assert_eq!(Recording::open(&path).unwrap().files().len(), 2);
}

#[test]
fn a_recorder_that_is_started_again_keeps_what_the_first_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    for (run, from) in [("a", 0), ("a", 20), ("b", 0)] {
        let mut recorder = Recorder::create(&path, about(run), limits(u64::MAX), run == "a").unwrap();
        for frame in from..from + 10 {
            recorder.packet(&PacketRow { codec: "h264".into(), ..packet("gate", frame) }, None).unwrap();
        }
        recorder.finish().unwrap();
    }
    let survey = Recording::open(&path).unwrap().survey().unwrap();
    assert_eq!(survey.cameras[0].packets.delivered(), 20);
    assert_eq!(survey.cameras[0].packets.missing().to_vec(), vec![10..20]);
    assert!(dir.path().join("run.0002.mcap").is_file(), "a live run took the next free number");
}

#[test]
fn repeated_packets_are_recorded_once_and_lost_ones_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    let mut recorder = Recorder::create(&path, about("a"), limits(u64::MAX), true).unwrap();
    let mut take = |frame| recorder.packet(&packet("gate", frame), None).unwrap();
    use Taken::{After, Recorded, Repeated};
    assert_eq!([0, 1, 0, 1, 2, 5, 1 << 40].map(&mut take), [Recorded, Recorded, Repeated, Repeated, Recorded, After(2), Recorded]);
    recorder.finish().unwrap();
    let rows: Vec<PacketRow> = Recording::open(&path).unwrap().packets("gate").map(Result::unwrap).collect();
    assert_eq!(rows.iter().map(|r| r.frame).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn reading_from_the_middle_begins_at_the_key_frame_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    record(&path, 60, u64::MAX);
    let recording = Recording::open(&path).unwrap();
    // Packet 25 is shown at 1.0 s.
    for (start_ns, wanted) in [(1_000_000_000, 20), (800_000_000, 20), (0, 0), (-5, 0)] {
        let first = recording.packets("road").from(start_ns).next().unwrap().unwrap();
        assert_eq!(first.frame, wanted, "from {start_ns}");
    }
    let frames: Vec<u64> = recording.packets("road").from(1_000_000_000).map(|r| r.unwrap().frame).collect();
    assert_eq!(frames, (20..=60).collect::<Vec<_>>());
    assert_eq!(recording.packets("road").from(i64::MAX).filter(|r| !r.as_ref().unwrap().end).count(), 10, "the last group");
}

#[test]
fn foxgloves_copy_is_there_and_costs_little() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    record(&path, 60, u64::MAX);
    let recording = Recording::open(&path).unwrap();
    let messages = recording.entries().filter_map(|e| if let Entry::Message(m) = e.unwrap() { Some(m) } else { None });
    let videos: Vec<_> = messages.filter(|m| m.topic == "/gate/video").collect();
    assert!(videos.len() == 60 && videos.iter().all(|m| m.kind == "foxglove.CompressedVideo" && m.encoding == "protobuf"));
    let packets: u64 = (0..60).flat_map(|n| ["gate", "road"].map(|c| packet(c, n).data.len() as u64)).sum();
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < packets * 7 / 4, "{size} bytes for {packets} bytes of packets");
}

#[test]
fn a_camera_without_an_end_is_closed_when_the_recorder_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    let mut recorder = Recorder::create(&path, about("a"), limits(u64::MAX), true).unwrap();
    for frame in 0..12 {
        recorder.packet(&packet("gate", frame), None).unwrap();
    }
    recorder.packet(&packet("road", 0), None).unwrap();
    recorder.packet(&PacketRow { source: "road".into(), frame: 1, end: true, ..PacketRow::default() }, None).unwrap();
    recorder.end_cameras().unwrap();
    recorder.finish().unwrap();
    let survey = Recording::open(&path).unwrap().survey().unwrap();
    assert!(survey.is_complete(), "{:?}", survey.faults());
    assert_eq!(survey.cameras.iter().map(|c| c.packets.delivered()).collect::<Vec<_>>(), [12, 1]);
}
