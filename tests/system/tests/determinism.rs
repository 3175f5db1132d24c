//! The same input gives the same bytes: again, and beside another camera. What may come in between is in `schedules.rs`.

use gantry_system_tests::{Sandbox, Written, clip};
use std::path::PathBuf;

/// Where in the shipped clips vehicles are near and well read.
const PART: [&str; 4] = ["--start", "4", "--seconds", "3.5"];

fn read(clips: &[&str]) -> Written {
    let sandbox = Sandbox::new();
    let sources: Vec<PathBuf> = clips.iter().map(|c| clip(c)).collect();
    let mut command = sandbox.read(sources);
    command.args(PART);
    let done = sandbox.run(command, 180);
    done.assert_code(0);
    let written = Written::of(&sandbox);
    assert!(!written.readings.is_empty(), "nothing was read: the comparison would say nothing\n{}", done.stdout);
    written
}

fn assert_same(what: &str, first: &Written, second: &Written) {
    assert_eq!(first.difference(second), None, "{what}");
}

#[test]
fn the_same_file_gives_the_same_bytes_again() {
    assert_same("again", &read(&["gate_day.mp4"]), &read(&["gate_day.mp4"]));
}

#[test]
fn a_camera_beside_another_gives_the_lines_of_its_run_alone() {
    let together = read(&["gate_day.mp4", "road_day.mp4"]);
    let mut lines = 0;
    for camera in ["gate_day", "road_day"] {
        let alone = read(&[&format!("{camera}.mp4")]);
        let mark = format!("\"camera\":\"{camera}\"");
        let of_camera: String = together.readings.split_inclusive('\n').filter(|l| l.contains(&mark)).collect();
        assert_eq!(of_camera, alone.readings, "camera {camera}");
        for (name, picture) in &alone.evidence {
            assert!(together.evidence.get(name) == Some(picture), "evidence {name} differs");
        }
        lines += of_camera.lines().count();
    }
    assert_eq!(lines, together.readings.lines().count(), "lines of no camera");
}
