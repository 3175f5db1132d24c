//! A camera over HTTP: it plays, is refused with a wrong password, is not there under another path, and comes back when its server does.

use gantry_system_tests::{HttpCamera, Sandbox, Site, now_ns, video, watched};

/// Nowhere else in any file of a run.
const CANARY: &str = "Kanarienvogel-1984";
/// `operator:Kanarienvogel-1984`.
const LOGIN: &str = "b3BlcmF0b3I6S2FuYXJpZW52b2dlbC0xOTg0";
const WRONG: &str = "Papagei-77";
/// From the return of the server to the first frame.
const BACK_NS: i64 = 2_000_000_000;

#[test]
fn an_http_camera_plays_is_refused_is_missing_and_comes_back() {
    let sandbox = Sandbox::new();
    let file = video(&sandbox, "clip.mp4", "testsrc2=size=640x360:rate=25:duration=60");
    let server = HttpCamera::start(&file, Some(LOGIN), 0);
    let other = HttpCamera::start(&file, None, 0);
    let credentials = sandbox.credentials("credentials", &format!("operator:{CANARY}"));
    let wrong = sandbox.credentials("wrong.credentials", &format!("operator:{WRONG}"));
    let camera =
        |path: &str, login: &std::path::Path| format!("source: \"{}\", credentials_file: {}", server.address(path), login.display());
    let graph = watched(
        &sandbox,
        &[
            ("gate", &camera("/stream", &credentials)),
            ("locked", &camera("/stream", &wrong)),
            ("lost", &camera("/no-such-stream", &credentials)),
            ("road", &format!("source: \"{}\"", other.address("/stream"))),
        ],
    );
    let site = Site::start(&sandbox, &graph, &[]);
    for camera in ["gate", "road"] {
        site.wait(60, &format!("frames of `{camera}`"), |_| sandbox.seen(camera).len() >= 25);
    }

    let log = |camera: &str| site.log(&format!("{camera}.camera"));
    for (camera, says) in [
        ("locked.camera", "refuses user name or password"),
        ("locked.camera", "CREDENTIALS_FILE"),
        ("lost.camera", "404 not found"),
        ("lost.camera", "check address, port and network"),
    ] {
        site.says(20, camera, says);
    }
    assert!(sandbox.seen("locked").is_empty() && sandbox.seen("lost").is_empty());

    let port = server.port();
    // Counters are written once a second, later than the line of the log.
    site.wait(5, "the refusal is counted", |site| site.counter("locked.camera", "connect_failures") > 0);
    // Cameras lock out who tries too often: once for all that time.
    assert_eq!((server.refused(), site.counter("locked.camera", "connect_failures")), (1, 1));
    let failures = site.counter("gate.camera", "connect_failures");
    drop(server);
    site.wait(20, "it is called in vain", |site| site.counter("gate.camera", "connect_failures") >= failures + 4);
    let _server = HttpCamera::start(&file, Some(LOGIN), port);
    let good_ns = now_ns();
    let first = || sandbox.seen("gate").into_iter().find(|seen| seen.captured_ns >= good_ns);
    site.wait(20, "the camera is back", |_| first().is_some());
    let back_ns = first().map_or(i64::MAX, |seen| seen.seen_ns - good_ns);
    eprintln!("back after {} ms", back_ns / 1_000_000);
    assert!(back_ns <= BACK_NS, "the first frame came {} ms after the server\n{}", back_ns / 1_000_000, log("gate"));
    let before = sandbox.seen("gate").len();
    site.wait(10, "more of it", |_| sandbox.seen("gate").len() >= before + 25);

    assert_eq!(site.counter("road.camera", "connects"), 1, "{}", log("road"));
    sandbox.assert_no_frame_is_missing("road", 25, 100);
    let shown = || [(CANARY, &credentials), (WRONG, &wrong)].map(|(secret, kept)| sandbox.places_with(secret, kept)).concat();
    let running = shown();
    site.stop();
    assert_eq!(running, Vec::<String>::new());
    assert_eq!(shown(), Vec::<String>::new());
    for login in [LOGIN, "b3BlcmF0b3I6"] {
        assert_eq!(sandbox.places_with(login, &credentials), Vec::<String>::new(), "as it goes over the network");
    }
    sandbox.assert_nothing_left();
}
