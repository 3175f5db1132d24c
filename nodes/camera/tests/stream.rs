//! The camera on a real RTSP server that is killed, falls silent, wants a password and comes back as another.

use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_messages::{CreditRow, PacketRow};
use gantry_node::{Context, Input, Outputs, Stage, Work};
use gantry_node_camera::{CONTRACT, Camera};
use gantry_rtsp::{Server, Stream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// 60 s of 25 frames/s with a key frame each second.
fn clip(dir: &Path, size: &str, encoder: &str) -> PathBuf {
    let out = dir.join(format!("{size}-{encoder}.mp4"));
    let arguments = format!(
        "-v error -nostdin -y -f lavfi -i testsrc2=size={size}:rate=25 -t 60 -c:v {encoder} -preset ultrafast -g 25 -tag:v {}",
        if encoder == "libx265" { "hvc1 -x265-params log-level=error:bframes=0" } else { "avc1" }
    );
    let done = Command::new("ffmpeg").args(arguments.split_whitespace()).arg(&out).status();
    assert!(done.expect("the tests make their clips with the `ffmpeg` command").success());
    out
}

/// A camera in live mode whose packets are all acknowledged at once.
struct Watched {
    camera: Camera,
    out: Outputs,
    rows: Vec<PacketRow>,
}

impl Watched {
    fn open(source: &str, more: &[(&str, &str)]) -> Self {
        let mut env = vec![("SOURCE", source)];
        env.extend(more);
        let params = ParamSet::from_env(&CONTRACT, env).unwrap().to().unwrap();
        let camera = Camera::open(params, &Context::for_test("gate", Mode::Live, &std::env::temp_dir())).unwrap();
        Self { camera, out: Outputs::collector(), rows: Vec::new() }
    }

    /// Runs the node until `holds`; how long that took.
    fn until(&mut self, what: &str, limit_s: u64, holds: impl Fn(&Self) -> bool) -> Duration {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed().as_secs() < limit_s, "after {limit_s} s still not: {what}; {} packets", self.rows.len());
            match self.camera.work(&mut self.out).unwrap() {
                Work::Again => {}
                other => panic!("a live camera waits itself, it said {other:?}"),
            }
            let rows = self.out.taken::<PacketRow>("packets");
            if let Some(last) = rows.last() {
                let credit = CreditRow { source: "gate".into(), frame: last.frame + 1, window: 64, ..CreditRow::default() };
                self.camera.on_input(&Input::of("credit", &[credit]), &mut self.out).unwrap();
            }
            self.rows.extend(rows);
        }
        started.elapsed()
    }

    fn packets(&mut self, more: usize, limit_s: u64) -> Duration {
        let wanted = self.rows.len() + more;
        self.until("packets", limit_s, |w| w.rows.len() >= wanted)
    }

    fn counted(&self, name: &str) -> u64 {
        self.out.counted(name)
    }

    /// Numbers without holes, times that rise, wall clock.
    fn assert_sound(&self) {
        let first = self.rows[0].frame;
        assert!(self.rows.iter().enumerate().all(|(i, r)| r.frame == first + i as u64));
        assert!(self.rows.windows(2).all(|w| w[1].pts_ns > w[0].pts_ns), "media time goes back");
        let late: Vec<i64> = self.rows.iter().map(|r| (r.captured_ns - r.pts_ns) / 1_000_000).collect();
        assert!(late.iter().all(|ms| (0..2000).contains(ms)), "media time leaves the clock on the wall: {late:?}");
    }
}

#[test]
fn a_killed_camera_gives_a_key_frame_within_two_seconds_of_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let stream = Stream::h264(&clip(dir.path(), "320x180", "libx264"));
    let server = Server::start(&stream, 0);
    let (address, port) = (server.address(), server.port());
    let mut camera = Watched::open(&address, &[]);
    camera.packets(30, 20);
    drop(server);
    // Long enough for the longest wait between two calls.
    camera.until("is called in vain", 20, |w| w.counted("connect_failures") >= 6);
    let before = camera.rows.len();
    let _server = Server::start(&stream, port);
    let back = camera.packets(1, 20);
    assert!(back < Duration::from_secs(2), "{back:?}");
    let first = &camera.rows[before];
    assert!(first.keyframe && first.discontinuity && first.codec == "h264" && first.width == 320);
    camera.packets(20, 20);
    assert_eq!(camera.counted("connects"), 2);
    camera.assert_sound();
}

#[test]
fn a_silent_camera_is_called_again_after_the_stall_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&Stream::h264(&clip(dir.path(), "320x180", "libx264")), 0);
    let mut camera = Watched::open(&server.address(), &[("STALL_TIMEOUT_MS", "700"), ("OPEN_TIMEOUT_MS", "1500")]);
    camera.packets(10, 20);
    server.signal("STOP");
    let noticed = camera.until("the silence is noticed", 10, |w| w.counted("stalls") >= 1);
    assert!(noticed >= Duration::from_millis(650), "{noticed:?}");
    server.signal("CONT");
    camera.packets(20, 20);
    assert!(camera.counted("connects") >= 2);
    camera.assert_sound();
}

#[test]
fn a_password_opens_the_stream_and_a_wrong_one_is_not_tried_often() {
    let dir = tempfile::tempdir().unwrap();
    let login = Some(("admin".to_owned(), "p@ss/w:rd?#%".to_owned()));
    let server = Server::start(&Stream { login, ..Stream::h264(&clip(dir.path(), "320x180", "libx264")) }, 0);
    let file = dir.path().join("credentials");
    let write = |text: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("admin:wrong\n");
    let file = file.to_string_lossy();
    let mut refused = Watched::open(&server.address(), &[("CREDENTIALS_FILE", &file)]);
    refused.until("is refused", 20, |w| w.counted("connect_failures") >= 1);
    let since = Instant::now();
    refused.until("two seconds have passed", 20, |_| since.elapsed() > Duration::from_secs(2));
    assert_eq!((refused.counted("connect_failures"), refused.rows.len()), (1, 0));
    write("admin:p@ss/w:rd?#%\n");
    for transport in ["tcp", "udp"] {
        let mut camera = Watched::open(&server.address(), &[("CREDENTIALS_FILE", &file), ("TRANSPORT", transport)]);
        camera.packets(10, 20);
        camera.assert_sound();
    }
}

#[test]
fn a_camera_that_comes_back_with_another_codec_and_size_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&Stream::h264(&clip(dir.path(), "320x180", "libx264")), 0);
    let (address, port) = (server.address(), server.port());
    let mut camera = Watched::open(&address, &[]);
    camera.packets(10, 20);
    drop(server);
    let file = clip(dir.path(), "640x360", "libx265");
    let _server = Server::start(&Stream { codec: "h265", ..Stream::h264(&file) }, port);
    camera.until("the new stream", 20, |w| w.rows.iter().any(|r| r.codec == "hevc"));
    let first = camera.rows.iter().find(|r| r.codec == "hevc").unwrap();
    assert!((first.width, first.height, first.keyframe) == (640, 360, true));
    camera.packets(10, 20);
    camera.assert_sound();
}

#[test]
fn a_file_plays_a_camera_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("short.mp4");
    let arguments = "-v error -nostdin -y -f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 10 -c:v libx264";
    assert!(Command::new("ffmpeg").args(arguments.split_whitespace()).arg(&file).status().unwrap().success());
    let mut camera = Watched::open(&file.to_string_lossy(), &[("PACE", "realtime"), ("REPEAT", "true")]);
    let time = camera.packets(25, 20);
    // Twice the whole clip of 0.4 s; no upper bound, machines are busy.
    assert!(time >= Duration::from_millis(800), "{time:?}");
    assert_eq!(camera.rows.iter().filter(|r| r.discontinuity).count(), 3);
    assert!(camera.rows.iter().all(|r| !r.end));
}

#[test]
fn addresses_of_other_kinds_are_refused() {
    let params = |source: &str| ParamSet::from_env(&CONTRACT, [("SOURCE", source)]).unwrap().to().unwrap();
    let open = |source: &str| Camera::open(params(source), &Context::for_test("gate", Mode::Lossless, &std::env::temp_dir()));
    for source in ["ftp://host/a.mp4", "gopher://host/", "concat://a|b"] {
        let fault = open(source).err().expect(source);
        assert!(fault.message().contains("not allowed") && fault.hint_text().is_some_and(|h| h.contains("rtsp://")), "{fault}");
    }
}

#[test]
fn a_camera_at_this_machine_that_is_not_plugged_in_is_waited_for_and_in_a_lossless_run_refused() {
    let mut camera = Watched::open("v4l2:/dev/video-of-no-one", &[("RETRY_MS", "20"), ("DEVICE_SIZE", "1280x720")]);
    camera.until("is looked for again", 20, |w| w.counted("connect_failures") >= 3);
    let params = ParamSet::from_env(&CONTRACT, [("SOURCE", "v4l2:/dev/video-of-no-one")]).unwrap().to().unwrap();
    let fault = Camera::open(params, &Context::for_test("desk", Mode::Lossless, &std::env::temp_dir())).err().expect("refused");
    assert!(fault.message().contains("no such device") && fault.hint_text().is_some(), "{fault}");
}
