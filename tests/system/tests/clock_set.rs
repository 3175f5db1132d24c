//! The clock of the machine is set forward and back under a running site, as NTP does it after a long time alone: no frame and no reading is lost.
//!
//! libfaketime tells every process of the site another time than it is; the clock that only runs (`CLOCK_MONOTONIC`) stays as it is.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Sandbox, Site, lines, now_ns, program, traffic, two_live_cameras};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const NODES: [&str; 11] = ["camera", "decode", "detect", "track", "crop", "enhance", "recognize", "vote", "store", "witness", "preview"];
const HOUR_NS: i64 = 3_600_000_000_000;
/// What a frame takes at most from here to there on a busy machine.
const NEAR_NS: i64 = 30_000_000_000;

/// The clock of a site.
struct Clock(PathBuf);

impl Clock {
    /// Of all programs in the site's folder: dora takes `LD_PRELOAD` away from nodes, so they set it themselves.
    fn of(sandbox: &Sandbox) -> Self {
        let folder = sandbox.path("site/bin");
        std::fs::create_dir_all(&folder).unwrap();
        for node in NODES {
            let file = folder.join(node);
            std::fs::write(&file, format!("#!/bin/sh\nLD_PRELOAD={LIBRARY} exec {} \"$@\"\n", program(node).display())).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let clock = Self(sandbox.path("clock"));
        clock.set(0);
        clock
    }

    /// At once for all processes: each looks whenever it asks for the time.
    fn set(&self, ahead_ns: i64) {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, format!("{:+}\n", ahead_ns / 1_000_000_000)).unwrap();
        std::fs::rename(beside, &self.0).unwrap();
    }
}

#[test]
fn a_clock_that_is_set_forward_and_back_costs_no_frame_and_no_reading() {
    assert!(Path::new(LIBRARY).is_file(), "{LIBRARY} is missing: run `cargo xtask setup`");
    let sandbox = Sandbox::new();
    let clock = Clock::of(&sandbox);
    let clip = traffic(&sandbox, "traffic.mp4");
    let (gate, road) = (Server::start(&Stream::h264(&clip), 0), Server::start(&Stream::h264(&clip), 0));
    let credentials = sandbox.credentials("credentials", "operator:none");
    let text = |path: &Path| path.display().to_string();
    let env = [
        ("GANTRY_TEST_GATE", gate.address()),
        ("GANTRY_TEST_ROAD", road.address()),
        ("GANTRY_TEST_CREDENTIALS", text(&credentials)),
        ("GANTRY_TEST_JSONL", text(&sandbox.out())),
        ("LD_PRELOAD", LIBRARY.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", text(&clock.0)),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ];
    let site = Site::start(&sandbox, &two_live_cameras(&sandbox), &env.each_ref().map(|(name, value)| (*name, value.as_str())));
    let reads = |camera: &str| lines(&sandbox.out()).iter().filter(|r| r["camera"] == camera).count();
    let frames = |camera: &str| sandbox.seen(camera).len();
    let both = |least: &dyn Fn(&str) -> bool| least("gate") && least("road");
    site.wait(90, "readings of both cameras", |_| both(&|camera| reads(camera) > 0));

    // Captured by the clock as it is; media time follows forward and never goes back.
    for (ahead_ns, media_ahead_ns) in [(HOUR_NS, HOUR_NS), (-HOUR_NS, HOUR_NS), (0, HOUR_NS)] {
        let (read, seen) = ([reads("gate"), reads("road")], frames("gate"));
        clock.set(ahead_ns);
        site.wait(90, &format!("frames and readings of both cameras with the clock at {ahead_ns} ns"), |_| {
            frames("gate") > seen + 50 && reads("gate") > read[0] + 1 && reads("road") > read[1] + 1
        });
        for camera in ["gate", "road"] {
            let last = *sandbox.seen(camera).last().unwrap();
            let (captured, media) = (last.captured_ns - now_ns() - ahead_ns, last.pts_ns - now_ns() - media_ahead_ns);
            assert!(captured.abs() < NEAR_NS && media.abs() < NEAR_NS, "{camera}, clock at {ahead_ns} ns: {captured} and {media} ns off");
        }
    }

    for camera in ["gate", "road"] {
        let node = format!("{camera}.camera");
        assert_eq!((site.counter(&node, "connects"), site.counter(&node, "packets_dropped")), (1, 0), "{}", site.log(&node));
        site.says(5, &node, "the clock of this machine was set back");
        assert_eq!(site.counter(&format!("{camera}.decode"), "freezes"), 0);
        let seen = sandbox.seen(camera);
        let missing: Vec<_> =
            seen.windows(2).filter(|pair| pair[1].frame != pair[0].frame + 1 || pair[1].pts_ns <= pair[0].pts_ns).collect();
        assert!(missing.is_empty(), "`{camera}`: {missing:?}");
    }
    for node in ["detect", "track", "crop", "enhance", "recognize", "vote", "store", "preview"] {
        assert_eq!(site.stats(node)["starts"], 1, "{node}: {}", site.log(node));
        // dora warns of each message that is ahead of a clock that was set back.
        assert!(!site.log(node).contains("HLC"), "{node}: {}", site.log(node));
    }
    let readings = lines(&sandbox.out());
    let ids: BTreeSet<String> = readings.iter().map(|r| format!("{} {} {}", r["camera"], r["track_id"], r["plate"])).collect();
    assert_eq!(ids.len(), readings.len(), "a pass is read once: {readings:#?}");

    // What is started again numbers packets and frames by a clock that is behind those of before, and is not taken for old.
    clock.set(-HOUR_NS);
    for node in ["gate.decode", "gate.camera"] {
        site.process(node).signal("KILL");
        site.wait(20, &format!("{node} is started again"), |site| site.stats(node)["starts"] == 2);
        let before = reads("gate");
        site.wait(90, &format!("readings after {node} was started again"), |_| reads("gate") > before);
    }
    site.stop();
    sandbox.assert_nothing_left();
}
