//! The camera alone.

use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_messages::{CreditRow, PacketRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use gantry_node_camera::{CONTRACT, Camera};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

fn clip(name: &str, frames: u32) -> PathBuf {
    let out = std::env::temp_dir().join(format!("gantry-camera-{name}-{}.mp4", std::process::id()));
    let arguments = format!("-v error -nostdin -y -f lavfi -i testsrc2=size=320x180:rate=25 -frames:v {frames} -c:v libx264 -bf 2");
    let done = Command::new("ffmpeg").args(arguments.split_whitespace()).arg(&out).status();
    assert!(done.expect("the tests make their clips with the `ffmpeg` command").success());
    out
}

fn open(source: &str, more: &[(&str, &str)]) -> Result<Camera, Fault> {
    let mut env = vec![("SOURCE", source)];
    env.extend(more);
    let params = ParamSet::from_env(&CONTRACT, env).unwrap().to().unwrap();
    Camera::open(params, &Context::for_test("gate", Mode::Lossless, &std::env::temp_dir()))
}

fn credit(frame: u64) -> Input {
    Input::of("credit", &[CreditRow { source: "gate".into(), frame, window: 8, ..CreditRow::default() }])
}

#[test]
fn sends_a_window_waits_for_credit_and_ends_when_all_is_acknowledged() {
    let file = clip("window", 20);
    let mut camera = open(file.to_str().unwrap(), &[("WINDOW_PACKETS", "8"), ("GROUP_PACKETS", "4")]).unwrap();
    let mut out = Outputs::collector();
    let mut seen = Vec::new();
    let until_idle = |camera: &mut Camera, out: &mut Outputs, seen: &mut Vec<PacketRow>| {
        let state = loop {
            match camera.work(out).unwrap() {
                Work::Again => {}
                state => break state,
            }
        };
        seen.extend(out.taken::<PacketRow>("packets"));
        state
    };
    assert_eq!(until_idle(&mut camera, &mut out, &mut seen), Work::Idle);
    assert_eq!(seen.len(), 8);
    assert_eq!((seen[0].codec.as_str(), seen[0].width, seen[0].height, seen[0].keyframe), ("h264", 320, 180, true));
    assert!(!seen[0].extradata.is_empty() && seen[1].codec.is_empty());
    assert!(seen.iter().all(|r| r.keyframe != r.codec.is_empty()), "every key frame says what it is");
    assert!(seen.iter().all(|r| r.source == "gate" && !r.data.is_empty() && r.captured_ns == r.pts_ns));
    // Two acknowledged packets are not yet room for a message of four.
    camera.on_input(&credit(2), &mut out).unwrap();
    assert_eq!(until_idle(&mut camera, &mut out, &mut seen), Work::Idle);
    assert_eq!(seen.len(), 8);
    for frame in [4, 8, 12, 16, 20] {
        camera.on_input(&credit(frame), &mut out).unwrap();
        until_idle(&mut camera, &mut out, &mut seen);
    }
    assert_eq!(seen.iter().map(|r| r.frame).collect::<Vec<_>>(), (0..=20).collect::<Vec<_>>());
    assert!(seen[20].end && seen[20].data.is_empty());
    camera.on_input(&credit(21), &mut out).unwrap();
    assert_eq!(camera.work(&mut out).unwrap(), Work::Done);
    std::fs::remove_file(file).ok();
}

#[test]
fn a_request_for_a_lost_packet_brings_everything_from_there_with_the_codec() {
    let file = clip("resend", 20);
    let mut camera = open(file.to_str().unwrap(), &[("WINDOW_PACKETS", "8"), ("GROUP_PACKETS", "4")]).unwrap();
    let mut out = Outputs::collector();
    while camera.work(&mut out).unwrap() == Work::Again {}
    out.taken::<PacketRow>("packets");
    let ask = |frame| Input::of("credit", &[CreditRow { source: "gate".into(), frame, resend: true, ..CreditRow::default() }]);
    camera.on_input(&ask(3), &mut out).unwrap();
    let again = out.taken::<PacketRow>("packets");
    assert_eq!(again.iter().map(|r| r.frame).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert_eq!(again[0].codec, "h264");
    let fault = camera.on_input(&ask(0), &mut out).unwrap_err();
    assert!(fault.hint_text().is_some(), "{fault}");
    std::fs::remove_file(file).ok();
}

#[test]
fn realtime_pace_spreads_packets_over_their_media_time() {
    let file = clip("pace", 10);
    let mut camera = open(file.to_str().unwrap(), &[("PACE", "realtime")]).unwrap();
    let mut out = Outputs::collector();
    let started = Instant::now();
    let mut rows = 0;
    while rows < 11 {
        match camera.work(&mut out).unwrap() {
            Work::After(time) => std::thread::sleep(time),
            Work::Again => {}
            other => panic!("{other:?} after {rows} rows"),
        }
        rows += out.taken::<PacketRow>("packets").len();
    }
    // Ten frames at 25 per second: the last is due 0.28 s (its decode time) or more after the first. No upper bound: machines are busy.
    assert!(started.elapsed().as_millis() >= 280, "{:?}", started.elapsed());
    std::fs::remove_file(file).ok();
}

#[test]
fn a_missing_file_is_refused_with_a_hint_and_a_password_is_never_shown() {
    let missing = open("/nonexistent/clip.mp4", &[]).err().unwrap();
    assert!(missing.message().contains("no such file") && missing.hint_text().is_some(), "{missing}");
    let stream = open("rtsp://admin:hunter2@127.0.0.1:1/stream", &[]).err().unwrap();
    assert!(!stream.to_string().contains("hunter2") && stream.message().contains("***@127.0.0.1"), "{stream}");
}

#[test]
fn contract_and_generated_pages_agree() {
    gantry_node::testing::check_contract::<Camera>(env!("CARGO_MANIFEST_DIR"));
}
