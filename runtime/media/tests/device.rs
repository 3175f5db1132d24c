//! Cameras at this machine, as far as that goes without one: what is said when a device is missing, is none, or is no camera.

use gantry_media::{Demuxer, MediaError, OpenOptions};

fn fault(source: &str) -> (String, String) {
    let error: MediaError = Demuxer::open(source, &OpenOptions::default()).expect_err("there is no camera");
    (error.to_string(), error.hint().expect("a hint"))
}

#[test]
fn a_device_that_is_missing_or_none_is_said_so() {
    let (what, hint) = fault("v4l2:/dev/video-of-no-one");
    assert!(
        what.contains("v4l2:/dev/video-of-no-one") && what.contains("no such device") && hint.contains("/dev/v4l/by-id"),
        "{what}: {hint}"
    );
    let (what, hint) = fault("v4l2:/etc/passwd");
    assert!(what.contains("it is no device") && hint.contains("v4l2:/dev/video0"), "{what}: {hint}");
}

#[test]
fn ffmpegs_library_for_devices_is_loaded_and_asks_the_device() {
    // A device that answers none of a camera's calls: that FFmpeg says so shows that all before it works.
    let (what, hint) = fault("v4l2:/dev/null");
    assert!(what.contains("inappropriate ioctl") && hint.contains("v4l2-ctl -d /dev/null"), "{what}: {hint}");
}

#[test]
fn other_ways_to_name_a_device_stay_closed() {
    for source in ["video4linux2:///dev/video0", "v4l2:///dev/video0/../null", "/dev/null"] {
        assert!(Demuxer::open(source, &OpenOptions::default()).is_err(), "{source}");
    }
}
