//! Cameras at this machine that cannot be opened: what is said, and that a site waits for them.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Sandbox, Site, video, watched};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Root without its privilege to pass over the modes of files, so that they bind the site as they bind every other user.
const AS_OTHERS: [&str; 3] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"];

#[test]
fn a_device_that_cannot_be_opened_is_said_so_and_called_again_and_the_other_camera_plays() {
    let sandbox = Sandbox::new();
    let file = video(&sandbox, "clip.mp4", "testsrc2=size=640x360:rate=25:duration=60");
    let server = Server::start(&Stream::h264(&file), 0);
    let forbidden = forbidden_device(&sandbox);
    let devices = [
        ("unplugged", "/dev/video-of-no-one", "no such device", "ls -l /dev/v4l/by-id"),
        ("file", "/etc/hostname", "it is no device", "name a device"),
        ("null", "/dev/null", "inappropriate ioctl for device", "v4l2-ctl -d /dev/null --list-formats-ext"),
        ("forbidden", &forbidden, "permission denied", "adduser USER video"),
    ];
    let mut cameras: Vec<(&str, String)> = devices.map(|(name, path, ..)| (name, format!("source: \"v4l2:{path}\""))).to_vec();
    cameras.push(("road", format!("source: \"{}\"", server.address())));
    let cameras: Vec<(&str, &str)> = cameras.iter().map(|(name, params)| (*name, params.as_str())).collect();
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let launcher: &[&str] = if is_root { &AS_OTHERS } else { &[] };
    let site = Site::start_by(launcher, &sandbox, &watched(&sandbox, &cameras), &[]);
    for (name, path, why, hint) in devices {
        let node = format!("{name}.camera");
        // After 0.1, 0.2, 0.4, 0.8 and then every 1 s, a quarter more or less.
        site.wait(60, &format!("{node} tries for the sixth time"), |site| site.counter(&node, "connect_failures") >= 6);
        let log = site.log(&node);
        for part in [&format!("cannot open `v4l2:{path}`"), why, hint] {
            assert!(log.to_lowercase().contains(&part.to_lowercase()), "{node} says nothing about `{part}`:\n{log}");
        }
        assert_eq!(log.matches("trying again").count(), 1, "each cause is said once:\n{log}");
        assert_eq!(site.stats(&node)["starts"].as_u64().unwrap_or(1), 1, "{log}");
    }
    site.wait(20, "frames of the other camera", |_| sandbox.seen("road").len() >= 50);
    sandbox.assert_no_frame_is_missing("road", 25, 50);
    site.stop();
    sandbox.assert_nothing_left();
}

/// A device that nobody may open.
fn forbidden_device(sandbox: &Sandbox) -> String {
    let path = sandbox.path("video0");
    let made = Command::new("mknod").args(["-m", "000"]).arg(&path).args(["c", "1", "3"]).output();
    // Who may not make one has this one, which is of mode 0 where nobody has changed that.
    if made.is_ok_and(|made| made.status.success()) { path.display().to_string() } else { "/dev/pts/ptmx".to_owned() }
}
