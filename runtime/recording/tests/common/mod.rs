//! A recording of two made-up cameras and of readings.

use gantry_messages::{Message, PacketRow, ReadingRow, encode};
use gantry_recording::{About, Limits, Recorder, Video};
use std::path::Path;
use std::time::Duration;

pub const CAMERAS: [&str; 2] = ["gate", "road"];
/// Packets between key frames.
const GROUP: u64 = 10;

pub fn about(run: &str) -> About {
    About::default().with(About::RUN, run).with(About::GRAPH, "nodes: []")
}

pub fn limits(part_bytes: u64) -> Limits {
    Limits { part_bytes, part_time: Duration::from_secs(3600), sync: false }
}

/// Packet number `frame` of a camera; its bytes look like video, that is, like nothing.
pub fn packet(camera: &str, frame: u64) -> PacketRow {
    let keyframe = frame.is_multiple_of(GROUP);
    let mut state = frame * 2 + camera.len() as u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let bytes = if keyframe { 3000 } else { 300 + usize::from(random()) };
    PacketRow {
        source: camera.into(),
        frame,
        pts_ns: frame as i64 * 40_000_000,
        dts_ns: frame as i64 * 40_000_000 - 80_000_000,
        captured_ns: 1_700_000_000_000_000_000 + frame as i64 * 40_000_000,
        keyframe,
        codec: if frame == 0 { "h264".into() } else { String::new() },
        width: if frame == 0 { 320 } else { 0 },
        extradata: if frame == 0 { vec![1, 2, 3] } else { Vec::new() },
        data: (0..bytes).map(|_| random()).collect(),
        ..PacketRow::default()
    }
}

/// Writes `frames` packets of each camera, their ends and a reading now and then, flushing often.
pub fn record(path: &Path, frames: u64, part_bytes: u64) -> Recorder {
    let mut recorder = Recorder::create(path, about("a"), limits(part_bytes), true).unwrap();
    for frame in 0..frames {
        for camera in CAMERAS {
            let row = packet(camera, frame);
            recorder.packet(&row, Some(Video { format: "h264", data: &row.data })).unwrap();
        }
        if frame % 7 == 6 {
            let row = ReadingRow { source: "gate".into(), plate: "AB123CD".into(), captured_ns: 5, ..ReadingRow::default() };
            recorder.result("/vote/readings", ReadingRow::TYPE, &encode(&[row]).unwrap()).unwrap();
            recorder.flush().unwrap();
        }
    }
    for camera in CAMERAS {
        recorder.packet(&PacketRow { source: camera.into(), frame: frames, end: true, ..PacketRow::default() }, None).unwrap();
    }
    recorder.finish().unwrap();
    recorder
}
