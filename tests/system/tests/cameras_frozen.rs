//! A camera that goes on sending the same picture is noticed, and so is its end; the other camera loses nothing.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Sandbox, Site, video, watched};

/// Moves, stands still for 10 s, moves again. The still is encoded anew with each key frame, as by a camera whose sensor hangs.
const FREEZES: &str = "testsrc2=size=640x360:rate=25:duration=40,loop=loop=250:size=1:start=50";
const MOVES: &str = "testsrc2=size=640x360:rate=25:duration=60";
/// 2.5 s instead of the 20 s that a site waits.
const PATIENCE: &str = "frozen_after_ms: 2500";

#[test]
fn a_picture_that_stands_still_is_said_and_counted_and_the_other_camera_loses_no_frame() {
    let sandbox = Sandbox::new();
    let freezing = Server::start(&Stream::h264(&video(&sandbox, "freezes.mp4", FREEZES)), 0);
    let moving = Server::start(&Stream::h264(&video(&sandbox, "moves.mp4", MOVES)), 0);
    let source = |server: &Server| format!("source: \"{}\", {PATIENCE}", server.address());
    let graph = watched(&sandbox, &[("gate", &source(&freezing)), ("road", &source(&moving))]);
    let site = Site::start(&sandbox, &graph, &[]);

    site.wait(60, "frames of both cameras", |_| !sandbox.seen("gate").is_empty() && !sandbox.seen("road").is_empty());
    site.wait(30, "the still picture is noticed", |site| site.counter("gate.decode", "freezes") == 1);
    site.says(5, "gate.decode", "the picture stands still while packets come");
    assert_eq!(site.counter("gate.decode", "freezes_over"), 0);
    site.wait(30, "it moves again", |site| site.counter("gate.decode", "freezes_over") == 1);
    site.says(5, "gate.decode", "the picture moves again");

    // It is told of and nothing more: frames of both cameras go on, all of them.
    assert_eq!(site.counter("gate.decode", "freezes"), 1);
    assert_eq!(site.counter("road.decode", "freezes"), 0, "{}", site.log("road.decode"));
    for camera in ["gate", "road"] {
        assert_eq!(site.counter(&format!("{camera}.camera"), "connects"), 1, "{}", site.log(&format!("{camera}.camera")));
        sandbox.assert_no_frame_is_missing(camera, 25, 250);
    }
    site.stop();
    sandbox.assert_nothing_left();
}
