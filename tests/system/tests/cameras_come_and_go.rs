//! A camera is added to a running site and taken away again, as `graphs/sites/camera.sh` does it with dora's commands: its readings arrive, the other cameras
//! lose no frame, the page shows it, and what was taken away stays away.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Sandbox, Site, abouts, ask, find, lines, page_of, traffic, two_live_cameras, video};
use std::path::Path;

/// Nowhere else in any file of a run.
const CANARY: &str = "Kanarienvogel-3000";
const SCRIPT: &str = "graphs/sites/camera.sh";
const ADDED: [&str; 2] = ["yard.camera", "yard.decode"];

#[test]
fn a_camera_that_is_added_is_read_and_one_that_is_removed_stays_away_and_the_others_lose_no_frame() {
    let sandbox = Sandbox::new();
    let login = Some(("operator".to_owned(), CANARY.to_owned()));
    let plain = video(&sandbox, "others.mp4", "testsrc2=size=640x360:rate=25:duration=180");
    let others = Server::start(&Stream { login: login.clone(), ..Stream::h264(&plain) }, 0);
    let road = Server::start(&Stream::h264(&plain), 0);
    let yard = Server::start(&Stream { login, ..Stream::h264(&traffic(&sandbox, "yard.mp4")) }, 0);
    let credentials = sandbox.credentials("credentials", &format!("operator:{CANARY}"));
    let text = |path: &Path| path.display().to_string();
    let env = [
        ("GANTRY_TEST_GATE", others.address()),
        ("GANTRY_TEST_ROAD", road.address()),
        ("GANTRY_TEST_CREDENTIALS", text(&credentials)),
        ("GANTRY_TEST_JSONL", text(&sandbox.out())),
    ];
    let site = Site::start(&sandbox, &two_live_cameras(&sandbox), &env.each_ref().map(|(name, value)| (*name, value.as_str())));
    let frames = |camera: &str| sandbox.seen(camera).len();
    site.wait(90, "frames of both cameras in the detector", |site| {
        frames("gate") > 0 && frames("road") > 0 && site.stats("detect")["rows_out"]["detections"].as_u64() > Some(0)
    });

    let add = || site.script(SCRIPT, &["add", "site", "yard", &yard.address(), &text(&credentials)], 60).assert_code(0);
    add();
    let readings = || lines(&sandbox.out()).iter().filter(|r| r["camera"] == "yard" && r["captured_at"].is_string()).count();
    site.wait(90, "a reading of the new camera in the store", |_| readings() > 0);
    assert_eq!(site.processes("yard.").len(), ADDED.len());
    // The page shows it by itself, to whom has the page open.
    let page = page_of(&site).expect("the page is up");
    let open = ask(&page, "/api/events");
    let pictures = || find(&page, "/api/pictures?p=480,0,yard").map_or(0, |answer| abouts(&answer).len());
    site.wait(30, "a picture of the new camera on the page", |_| pictures() > 0);
    drop(open);
    // A node that was added is started again as every other.
    site.process("yard.decode").signal("KILL");
    site.wait(20, "the added node is started again", |site| site.stats("yard.decode")["starts"] == 2);
    let before = readings();
    site.wait(90, "readings after that", |_| readings() > before);

    site.script(SCRIPT, &["remove", "site", "yard"], 60).assert_code(0);
    site.wait(20, "it is gone", |site| site.processes("yard.").is_empty());
    // Three seconds of the others: dora would have started it again after 0.2.
    let later = frames("road") + 75;
    site.wait(30, "three seconds of frames", |_| frames("road") >= later);
    assert_eq!(site.processes("yard."), []);
    let nodes = site.dora(&["node", "list"], 30);
    assert!(nodes.stdout.contains("road.camera") && !nodes.stdout.contains("yard"), "{}", nodes.stdout);

    // The name is free again.
    let before = readings();
    add();
    site.wait(90, "readings of the camera that came again", |_| readings() > before);

    for node in ["gate.camera", "gate.decode", "road.camera", "road.decode", "detect", "track", "crop", "vote", "store"] {
        assert_eq!(site.stats(node)["starts"], 1, "{node}: {}", site.log(node));
    }
    for camera in ["gate", "road"] {
        assert_eq!(site.counter(&format!("{camera}.camera"), "connects"), 1, "{}", site.log(&format!("{camera}.camera")));
        assert_eq!(site.counter(&format!("{camera}.camera"), "packets_dropped"), 0);
        sandbox.assert_no_frame_is_missing(camera, 25, 250);
    }
    site.stop();
    assert_eq!(sandbox.places_with(CANARY, &credentials), Vec::<String>::new());
    sandbox.assert_nothing_left();
}
