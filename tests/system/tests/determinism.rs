//! The same input gives the same bytes: again, on one core, beside other work, and beside another camera.

use gantry_system_tests::{Sandbox, clip};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command};

/// What a run wrote: the readings and every evidence picture.
#[derive(PartialEq, Eq)]
struct Written {
    readings: String,
    evidence: BTreeMap<String, Vec<u8>>,
}

fn written(sandbox: &Sandbox) -> Written {
    let readings = std::fs::read_to_string(sandbox.out()).unwrap();
    let folder = std::fs::read_dir(sandbox.path("out/readings.evidence")).unwrap();
    let evidence = folder.map(|e| e.unwrap()).map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect();
    Written { readings, evidence }
}

/// Where in the shipped clips vehicles are near and well read.
const PART: [&str; 4] = ["--start", "4", "--seconds", "3.5"];

fn read(clips: &[&str]) -> Written {
    read_with(clips, |command| command)
}

fn read_with(clips: &[&str], change: impl Fn(Command) -> Command) -> Written {
    let sandbox = Sandbox::new();
    let sources: Vec<PathBuf> = clips.iter().map(|c| clip(c)).collect();
    let mut command = sandbox.read(sources);
    command.args(PART);
    let done = sandbox.run(change(command), 180);
    done.assert_code(0);
    let written = written(&sandbox);
    assert!(!written.readings.is_empty(), "nothing was read: the comparison would say nothing\n{}", done.stdout);
    written
}

/// The same command under `taskset -c 0`.
fn on_one_core(command: Command) -> Command {
    let mut one = Command::new("taskset");
    one.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            one.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        one.current_dir(folder);
    }
    one.stdin(std::process::Stdio::null());
    one
}

/// Loops that keep the processors busy until dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn new(loops: usize) -> Self {
        Self((0..loops).map(|_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn assert_same(what: &str, first: &Written, second: &Written) {
    assert_eq!(first.readings, second.readings, "{what}: readings differ");
    assert!(first.evidence.keys().eq(second.evidence.keys()), "{what}: other evidence files");
    assert!(first == second, "{what}: evidence pictures differ");
}

#[test]
fn the_same_file_gives_the_same_bytes_again_on_one_core_and_beside_busy_loops() {
    let first = read(&["gate_day.mp4"]);
    assert_same("again", &first, &read(&["gate_day.mp4"]));
    assert_same("on one core", &first, &read_with(&["gate_day.mp4"], on_one_core));
    let _busy = Busy::new(4);
    assert_same("beside four busy loops", &first, &read(&["gate_day.mp4"]));
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
