//! `camera` and `decode` joined by hand, with a consumer that reads the frames.
#![allow(clippy::disallowed_methods, reason = "threads and channels of a test end with it")]

use gantry_contract::ParamSet;
use gantry_frames::{Client, ClientConfig, Handle, Mode};
use gantry_messages::{CreditRow, FrameRow, PacketRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use gantry_node_camera::Camera;
use gantry_node_decode::Decode;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("gantry-decode-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn clip(&self, name: &str, arguments: &str) -> PathBuf {
        let out = self.0.join(name);
        let done = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(&out).status();
        assert!(done.expect("the tests make their clips with the `ffmpeg` command").success(), "ffmpeg {arguments}");
        out
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn params<S: Stage>(env: &[(&str, &str)]) -> S::Params {
    ParamSet::from_env(&S::CONTRACT, env.iter().copied()).unwrap().to().unwrap()
}

fn camera(file: &Path, dir: &Path, more: &[(&str, &str)]) -> Result<Camera, Fault> {
    let mut env = vec![("SOURCE", file.to_str().unwrap()), ("NAME", "cam0"), ("WINDOW_PACKETS", "16"), ("GROUP_PACKETS", "4")];
    env.extend(more);
    Camera::open(params::<Camera>(&env), &Context::for_test("cam0", Mode::Lossless, dir))
}

/// What a run gave: rows, and the pixels without gaps.
#[derive(Default)]
struct Got {
    rows: Vec<FrameRow>,
    bytes: Vec<u8>,
    messages: usize,
    duplicates: u64,
    resent: u64,
    errors: u64,
}

/// Runs both nodes until the camera is done; message number `n` is lost where `lose(n)`.
fn run_with(
    mut camera: Camera,
    dir: &Path,
    env: &[(&str, &str)],
    lose: impl Fn(usize) -> bool,
    mut take: impl FnMut(&FrameRow),
) -> Result<Got, Fault> {
    let context = Context::for_test("decode0", Mode::Lossless, dir).with_consumer("frames", "reader");
    let mut decode = Decode::open(params::<Decode>(env), &context)?;
    let (mut from_camera, mut from_decode) = (Outputs::collector(), Outputs::collector());
    let mut got = Got::default();
    let mut pass_on = |out: &mut Outputs, got: &mut Got| {
        for row in out.taken::<FrameRow>("frames") {
            take(&row);
            got.rows.push(row);
        }
    };
    for _ in 0..100_000 {
        let state = camera.work(&mut from_camera)?;
        let packets = from_camera.taken::<PacketRow>("packets");
        for message in packets.chunks(4) {
            got.messages += 1;
            if !lose(got.messages) {
                decode.on_input(&Input::of("packets", message), &mut from_decode)?;
            }
        }
        while matches!(decode.work(&mut from_decode)?, Work::Again) {
            pass_on(&mut from_decode, &mut got);
        }
        pass_on(&mut from_decode, &mut got);
        let credits = from_decode.taken::<CreditRow>("credit");
        if !credits.is_empty() {
            camera.on_input(&Input::of("credit", &credits), &mut from_camera)?;
        }
        if state == Work::Idle && packets.is_empty() && credits.is_empty() {
            // Only a lost last message leaves both waiting; the camera's tick finds it.
            std::thread::sleep(std::time::Duration::from_millis(5));
            camera.on_tick(&mut from_camera)?;
        }
        if state == Work::Done {
            decode.finish(&mut from_decode)?;
            pass_on(&mut from_decode, &mut got);
            got.duplicates = from_decode.counted("duplicate_packets");
            got.resent = from_camera.counted("resent_packets");
            got.errors =
                from_decode.counted("decode_errors") + from_decode.counted("corrupt_frames") + from_camera.counted("corrupt_packets");
            return Ok(got);
        }
    }
    panic!("no end after {} frames", got.rows.len());
}

/// Reads and acknowledges a frame; its visible pixels without gaps.
fn pixels(client: &Client, row: &FrameRow) -> Vec<u8> {
    let frame = client.acquire(&Handle::from_bytes(&row.handle).unwrap()).unwrap();
    let gantry_frames::Layout::Image(image) = *frame.layout() else { panic!("{:?}", frame.layout()) };
    assert_eq!((image.width, image.height), (row.width, row.height));
    assert_eq!(frame.frame_meta().frame, row.frame);
    let mut bytes = Vec::new();
    for (index, plane) in image.planes().iter().enumerate() {
        let (width, rows) = image.format.plane_size(index, image.width, image.height);
        for y in 0..rows as usize {
            let from = plane.offset as usize + y * plane.stride as usize;
            bytes.extend_from_slice(&frame.bytes()[from..][..width as usize]);
        }
    }
    frame.ack();
    bytes
}

fn reader(dir: &Path) -> Client {
    Client::new(ClientConfig { runtime_dir: dir.to_owned(), name: "reader".into(), max_held: 8 })
}

/// [`run_with`] a reader that takes every frame at once.
fn run(camera: Camera, dir: &Path, env: &[(&str, &str)], lose: impl Fn(usize) -> bool) -> Result<Got, Fault> {
    let client = reader(dir);
    let mut bytes = Vec::new();
    let mut got = run_with(camera, dir, env, lose, |row| {
        if !row.end {
            bytes.extend(pixels(&client, row));
        }
    })?;
    got.bytes = bytes;
    Ok(got)
}

fn reference(file: &Path) -> Vec<u8> {
    let out = Command::new("ffmpeg")
        .args(["-v", "quiet", "-nostdin", "-i"])
        .arg(file)
        .args(["-pix_fmt", "yuv420p", "-f", "rawvideo", "-"])
        .output();
    out.unwrap().stdout
}

const H264: &str = "-c:v libx264 -preset fast -bf 2 -g 25 -pix_fmt yuv420p";

#[test]
fn every_frame_of_a_file_arrives_once_in_order_and_equals_ffmpegs() {
    let folder = Folder::new("whole");
    let file = folder.clip("clip.mp4", &format!("-f lavfi -i testsrc2=size=426x240:rate=25 -frames:v 120 {H264}"));
    let got = run(camera(&file, &folder.0, &[]).unwrap(), &folder.0, &[], |_| false).unwrap();
    let (end, frames) = got.rows.split_last().unwrap();
    assert_eq!((end.end, end.frame, frames.len()), (true, 120, 120));
    for (i, row) in frames.iter().enumerate() {
        assert_eq!((row.frame, row.end, row.source.as_str()), (i as u64, false, "cam0"));
        assert!((row.pts_ns - i as i64 * 40_000_000).abs() < 1000, "{row:?}");
        assert_eq!(row.captured_ns, row.pts_ns);
    }
    assert!(got.bytes == reference(&file), "pixels differ");
    assert_eq!((got.duplicates, got.resent, got.errors), (0, 0, 0));
}

#[test]
fn lost_messages_are_sent_again_and_nothing_comes_twice() {
    let folder = Folder::new("lossy");
    let file = folder.clip("clip.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 150 {H264}"));
    let got = run(camera(&file, &folder.0, &[]).unwrap(), &folder.0, &[], |n| n % 4 == 2 && n < 30).unwrap();
    let frames: Vec<u64> = got.rows.iter().map(|r| r.frame).collect();
    assert_eq!(frames, (0..=150).collect::<Vec<_>>());
    assert!(got.resent > 0);
    assert!(got.bytes == reference(&file), "pixels differ");
}

#[test]
fn start_and_length_are_exact_whatever_the_key_frames() {
    let folder = Folder::new("part");
    let file = folder.clip("clip.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 120 {H264}"));
    let part = camera(&file, &folder.0, &[("START_S", "1.4"), ("SECONDS", "2")]).unwrap();
    let got = run(part, &folder.0, &[], |_| false).unwrap();
    let times: Vec<i64> = got.rows.iter().filter(|r| !r.end).map(|r| r.pts_ns / 40_000_000).collect();
    assert_eq!(times, (35..85).collect::<Vec<i64>>());
    assert_eq!(got.rows[0].frame, 0);
    let frame = 320 * 180 * 3 / 2;
    assert!(got.bytes == reference(&file)[35 * frame..85 * frame], "pixels differ");
    let late = camera(&file, &folder.0, &[("START_S", "60")]).err().unwrap();
    assert!(late.message().contains("4.8") && late.hint_text().is_some(), "{late}");
}

#[test]
fn a_full_pool_makes_the_decoder_wait_for_a_slow_reader_and_loses_nothing() {
    let folder = Folder::new("small_pool");
    let file = folder.clip("clip.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 200 {H264}"));
    let (send, receive) = std::sync::mpsc::channel::<FrameRow>();
    let client = reader(&folder.0);
    let slow = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for row in receive {
            std::thread::sleep(std::time::Duration::from_millis(1));
            bytes.extend(pixels(&client, &row));
        }
        bytes
    });
    let env = [("POOL_SLOTS", "30"), ("GROUP_FRAMES", "4")];
    let got = run_with(
        camera(&file, &folder.0, &[]).unwrap(),
        &folder.0,
        &env,
        |_| false,
        |row| {
            if !row.end {
                send.send(row.clone()).unwrap();
            }
        },
    );
    assert_eq!(got.unwrap().rows.len(), 201);
    drop(send);
    assert!(slow.join().unwrap() == reference(&file), "pixels differ");
}

#[test]
fn a_larger_picture_in_the_middle_gets_a_larger_pool() {
    let folder = Folder::new("larger");
    let raw = "-c:v libx264 -bf 0 -f h264";
    let small = folder.clip("small.h264", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 20 {raw}"));
    let large = folder.clip("large.h264", &format!("-f lavfi -i testsrc2=size=640x360:rate=25 -frames:v 20 {raw}"));
    let both = folder.0.join("both.h264");
    std::fs::write(&both, [std::fs::read(small).unwrap(), std::fs::read(large).unwrap()].concat()).unwrap();
    let got = run(camera(&both, &folder.0, &[]).unwrap(), &folder.0, &[], |_| false).unwrap();
    let sizes: Vec<(u32, u32)> = got.rows.iter().filter(|r| !r.end).map(|r| (r.width, r.height)).collect();
    assert_eq!(sizes, [vec![(320, 180); 20], vec![(640, 360); 20]].concat());
    assert!(got.rows.windows(2).all(|r| r[1].end || r[0].pts_ns < r[1].pts_ns));
}

#[test]
fn a_half_corrupt_file_is_read_and_the_damage_counted() {
    let folder = Folder::new("corrupt");
    let file = folder.clip("good.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 120 {H264} -movflags +faststart"));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    for (i, byte) in bytes[middle..middle + 20_000].iter_mut().enumerate() {
        *byte = (i * 31 % 256) as u8;
    }
    let broken = folder.0.join("broken.mp4");
    std::fs::write(&broken, &bytes).unwrap();
    let first = run(camera(&broken, &folder.0, &[]).unwrap(), &folder.0, &[], |_| false).unwrap();
    assert!(first.rows.len() > 60, "{}", first.rows.len());
    assert!(first.errors > 0);
    let second = run(camera(&broken, &folder.0, &[]).unwrap(), &folder.0, &[], |_| false).unwrap();
    assert!(first.bytes == second.bytes, "the same damage gives other pictures");
}

#[test]
fn a_file_of_which_nothing_decodes_is_an_error_with_a_hint() {
    let folder = Folder::new("nothing");
    let file = folder.clip("good.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 30 {H264} -movflags +faststart"));
    let mut bytes = std::fs::read(&file).unwrap();
    let data = bytes.windows(4).position(|w| w == b"mdat").unwrap() + 4;
    bytes[data..].fill(0x55);
    let broken = folder.0.join("broken.mp4");
    std::fs::write(&broken, &bytes).unwrap();
    let fault = run(camera(&broken, &folder.0, &[]).unwrap(), &folder.0, &[], |_| false).err().unwrap();
    assert!(fault.message().contains("nothing could be decoded") && fault.hint_text().is_some(), "{fault}");
}

#[test]
fn two_cameras_share_a_decoder_node_and_each_comes_as_if_alone() {
    let folder = Folder::new("two");
    let files = [
        folder.clip("a.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 60 {H264}")),
        folder.clip("b.mp4", &format!("-f lavfi -i testsrc2=size=426x240:rate=30 -frames:v 45 {H264}")),
    ];
    let names = ["cam0", "cam1"];
    let mut cameras: Vec<Camera> = (0..2).map(|i| camera(&files[i], &folder.0, &[("NAME", names[i])]).unwrap()).collect();
    let context = Context::for_test("decode0", Mode::Lossless, &folder.0).with_consumer("frames", "reader");
    let mut decode = Decode::open(params::<Decode>(&[]), &context).unwrap();
    let client = reader(&folder.0);
    let (mut from_camera, mut from_decode) = (Outputs::collector(), Outputs::collector());
    let (mut bytes, mut ends, mut done) = ([Vec::new(), Vec::new()], Vec::new(), [false; 2]);
    for _ in 0..10_000 {
        for (i, camera) in cameras.iter_mut().enumerate() {
            if done[i] {
                continue;
            }
            done[i] = camera.work(&mut from_camera).unwrap() == Work::Done;
            let packets = from_camera.taken::<PacketRow>("packets");
            decode.on_input(&Input::of("packets", &packets), &mut from_decode).unwrap();
        }
        while decode.work(&mut from_decode).unwrap() == Work::Again {}
        for row in from_decode.taken::<FrameRow>("frames") {
            let of = names.iter().position(|n| *n == row.source).unwrap();
            if row.end {
                ends.push((of, row.frame));
            } else {
                bytes[of].extend(pixels(&client, &row));
            }
        }
        let credits = Input::of("credit", &from_decode.taken::<CreditRow>("credit"));
        for camera in &mut cameras {
            camera.on_input(&credits, &mut from_camera).unwrap();
        }
        if done == [true; 2] {
            break;
        }
    }
    ends.sort_unstable();
    assert_eq!(ends, [(0, 60), (1, 45)]);
    for (got, file) in bytes.iter().zip(&files) {
        assert!(*got == reference(file), "pixels of {} differ", file.display());
    }
}

#[test]
fn a_live_camera_has_credit_for_four_packets_at_once_and_for_the_rest_with_the_tick() {
    let folder = Folder::new("live-credit");
    let file = folder.clip("clip.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 30 {H264}"));
    let mut camera = camera(&file, &folder.0, &[]).unwrap();
    let (mut from_camera, mut from_decode) = (Outputs::collector(), Outputs::collector());
    let mut packets: Vec<PacketRow> = Vec::new();
    while packets.len() < 10 {
        camera.work(&mut from_camera).unwrap();
        packets.extend(from_camera.taken("packets"));
    }
    let context = Context::for_test("decode0", Mode::Live, &folder.0).with_consumer("frames", "reader");
    let mut decode = Decode::open(params::<Decode>(&[]), &context).unwrap();
    let mut credited = |decode: &mut Decode| -> Vec<u64> {
        while decode.work(&mut from_decode).unwrap() == Work::Again {}
        from_decode.taken::<CreditRow>("credit").iter().map(|row| row.frame).collect()
    };
    let mut told = Vec::new();
    for packet in &packets[..10] {
        decode.on_input(&Input::of("packets", std::slice::from_ref(packet)), &mut Outputs::collector()).unwrap();
        told.extend(credited(&mut decode));
    }
    assert_eq!(told, [4, 8]);
    let mut ticked = Outputs::collector();
    decode.on_tick(&mut ticked).unwrap();
    assert_eq!(ticked.taken::<CreditRow>("credit").iter().map(|row| row.frame).collect::<Vec<_>>(), [10]);
    decode.on_tick(&mut ticked).unwrap();
    assert!(ticked.taken::<CreditRow>("credit").is_empty());
}

#[test]
fn asking_for_nvdec_without_a_gpu_is_refused_with_a_hint() {
    let folder = Folder::new("nvdec");
    let context = Context::for_test("decode0", Mode::Lossless, &folder.0);
    match Decode::open(params::<Decode>(&[("DECODER", "nvdec")]), &context) {
        Ok(_) => panic!("this build has no NVDEC"),
        Err(fault) => assert!(fault.message().contains("nvdec") && fault.hint_text().is_some(), "{fault}"),
    }
}

#[test]
fn contract_and_generated_pages_agree() {
    gantry_node::testing::check_contract::<Decode>(env!("CARGO_MANIFEST_DIR"));
}
