//! What cameras and networks do, one after the other to one camera of a running site: each time a good frame of it is there within 2 s of the end of the
//! trouble, and the other camera loses no frame.

use gantry_rtsp::{Server, Stream, Trouble, Wire};
use gantry_system_tests::{Sandbox, Site, now_ns, video, watched};
use std::path::Path;

/// Nowhere else in any file of a run.
const CANARY: &str = "Kanarienvogel-0815";
const FPS: i64 = 25;
/// From the end of the trouble to the first frame behind it.
const BACK_NS: i64 = 2_000_000_000;
/// Shorter than in a site, so that the test is; what is refused is tried again after a second and not after 30.
const PARAMS: &str = "stall_timeout_ms: 1000, refused_retry_ms: 1000";

/// The site, the camera that gets into trouble, and the network in front of it.
struct Scene<'a> {
    sandbox: &'a Sandbox,
    site: &'a Site<'a>,
    wire: &'a Wire,
}

impl Scene<'_> {
    fn frames(&self) -> usize {
        self.sandbox.seen("gate").len()
    }

    /// `after` frames more.
    #[track_caller]
    fn more(&self, limit_s: u64, what: &str, after: usize) {
        let wanted = self.frames() + after;
        self.site.wait(limit_s, what, |_| self.frames() >= wanted);
    }

    /// The trouble ended at `good_ns`: the first frame that was captured since is there in time, and a second of frames follows.
    #[track_caller]
    fn assert_back(&self, trouble: &str, good_ns: i64) {
        let first = || self.sandbox.seen("gate").into_iter().find(|seen| seen.captured_ns >= good_ns);
        self.site.wait(20, &format!("{trouble}: frames again"), |_| first().is_some());
        let back_ns = first().map_or(i64::MAX, |seen| seen.seen_ns - good_ns);
        eprintln!("{trouble}: back after {} ms", back_ns / 1_000_000);
        assert!(
            back_ns <= BACK_NS,
            "{trouble}: the first frame came {} ms after its end\n{}",
            back_ns / 1_000_000,
            self.site.log("gate.camera")
        );
        self.more(10, &format!("{trouble}: a second of frames"), FPS as usize);
    }

    fn counter(&self, name: &str) -> u64 {
        self.site.counter("gate.camera", name)
    }

    /// Waits until the node has counted one more `name` than `before`.
    #[track_caller]
    fn counted(&self, name: &str, before: u64) {
        self.site.wait(20, &format!("one more of `{name}`"), |_| self.counter(name) > before);
    }

    /// The network does `trouble` until `noticed`.
    #[track_caller]
    fn on_the_wire(&self, trouble: Trouble, noticed: impl FnOnce()) {
        self.wire.set(trouble);
        noticed();
        self.wire.set(Trouble::None);
        self.assert_back(&format!("{trouble:?}"), now_ns());
    }
}

fn camera(file: &Path, password: &str) -> Stream {
    Stream { login: Some(("operator".to_owned(), password.to_owned())), ..Stream::h264(file) }
}

#[test]
fn after_each_kind_of_trouble_a_camera_is_back_within_two_seconds_and_the_other_loses_no_frame() {
    let sandbox = Sandbox::new();
    let small = video(&sandbox, "small.mp4", "testsrc2=size=640x360:rate=25:duration=120");
    let large = video(&sandbox, "large.mp4", "testsrc2=size=1280x720:rate=25:duration=60");
    let server = Server::start(&camera(&small, CANARY), 0);
    let port = server.port();
    let other = Server::start(&Stream::h264(&small), 0);
    let wire = Wire::to(port);
    let credentials = sandbox.credentials("credentials", &format!("operator:{CANARY}"));
    let gate = format!("source: \"{}\", credentials_file: {}, {PARAMS}", wire.address(), credentials.display());
    let graph = watched(&sandbox, &[("gate", &gate), ("road", &format!("source: \"{}\"", other.address()))]);
    let site = Site::start(&sandbox, &graph, &[]);
    let scene = Scene { sandbox: &sandbox, site: &site, wire: &wire };
    site.wait(60, "frames of both cameras", |_| !sandbox.seen("gate").is_empty() && !sandbox.seen("road").is_empty());

    // The camera falls silent with its connections open.
    let stalls = scene.counter("stalls");
    server.signal("STOP");
    scene.counted("stalls", stalls);
    server.signal("CONT");
    scene.assert_back("stalled", now_ns());

    // The network lets a tenth of the stream through, then all of it again.
    scene.on_the_wire(Trouble::Slow(20_000), || scene.more(30, "frames of a slow network", 10));
    // Connections are reset, new ones too.
    let failures = scene.counter("connect_failures");
    scene.on_the_wire(Trouble::Reset, || scene.counted("connect_failures", failures + 1));
    // Packets of pictures are damaged.
    let damage = |site: &Site<'_>| site.counter("gate.decode", "decode_errors") + site.counter("gate.decode", "corrupt_frames");
    scene.on_the_wire(Trouble::Damaged, || site.wait(20, "damage is counted", |site| damage(site) > 0));
    // Something else comes than RTSP.
    let connects = scene.counter("connects") + scene.counter("connect_failures");
    scene.on_the_wire(Trouble::Garbage, || {
        site.wait(20, "the camera is called again", |_| scene.counter("connects") + scene.counter("connect_failures") > connects);
    });

    // Killed, and back with another password: refused until it is the old one again.
    let failures = scene.counter("connect_failures");
    drop(server);
    scene.counted("connect_failures", failures + 2);
    let server = Server::start(&camera(&small, "another"), port);
    site.says(20, "gate.camera", "refuses user name or password");
    drop(server);
    let server = Server::start(&camera(&small, CANARY), port);
    scene.assert_back("401", now_ns());

    // Killed, and back as another camera with a larger picture.
    let failures = scene.counter("connect_failures");
    drop(server);
    scene.counted("connect_failures", failures + 2);
    let _server = Server::start(&camera(&large, CANARY), port);
    scene.assert_back("killed", now_ns());
    assert_eq!(sandbox.seen("gate").last().map(|seen| seen.size), Some((1280, 720)));

    // Numbers rise over all that, and so does time.
    let seen = sandbox.seen("gate");
    for pair in seen.windows(2) {
        assert!(pair[1].frame > pair[0].frame && pair[1].pts_ns > pair[0].pts_ns, "{pair:?}");
    }
    // The other camera saw nothing of it.
    for (node, name, wanted) in [("road.camera", "connects", 1), ("road.camera", "packets_dropped", 0), ("road.decode", "decode_errors", 0)]
    {
        assert_eq!(site.counter(node, name), wanted, "{node}: {name}\n{}", site.log(node));
    }
    sandbox.assert_no_frame_is_missing("road", FPS, 10 * FPS as usize);
    site.stop();
    assert_eq!(sandbox.places_with(CANARY, &credentials), Vec::<String>::new());
    sandbox.assert_nothing_left();
}
