//! tests/gpu/streams.py over a stand-in for dora, whose nodes only write statistics.

use crate::{program, read, runs, said, script, terminate, wait_until, write};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs `site.yml`: every node's statistics, each written when it likes; one process in a group of its own, as nodes are. With more cameras than the file
/// `takes` says `detect` faults. The file `slow` makes the first decoder lose a frame of ten, `again` has a node that is started again each second.
const DORA: &str = r##"#!/usr/bin/env python3
import json, os, pathlib, random, re, subprocess, sys, time
settings = pathlib.Path(__file__).parent
run = pathlib.Path(sys.argv[2]).parent
nodes = re.findall(r"- id: (\w+)", pathlib.Path(sys.argv[2]).read_text())
cameras = sum(name.startswith("camera_") for name in nodes)
child = subprocess.Popen(["sleep", "600"], process_group=0)
(run / "environment").write_text(json.dumps(dict(os.environ)))
(run / "pid.new").write_text(str(child.pid))
(run / "pid.new").rename(run / "pid")
(run / "stats").mkdir()
if cameras > int((settings / "takes").read_text()):
    print("ERROR detect: out of memory", flush=True)
    (run / "faults").mkdir()
    (run / "faults/detect.json").write_text(json.dumps({"node": "detect", "message": "the card is full"}))
    time.sleep(600)
begun, due = time.monotonic(), {name: 0.0 for name in nodes}
while True:
    for name in nodes:
        up = time.monotonic() - begun
        if up < due[name]:
            continue
        due[name] = up + random.uniform(0.05, 0.3)
        stats = {"node": name, "uptime_s": up, "cpu_s": up / 10, "peak_rss_bytes": 1, "starts": 1, "ended": False}
        if name == "detect":
            stats["rows_out"] = {"detections": 1000000}
        if name.startswith("decode_"):
            rate = 27 if (settings / "slow").exists() and name == "decode_0" else 31
            stats["buffers_made"] = {"frames": {"published": int(up * rate) * min(8, cameras - 8 * int(name[7:]))}}
        if name == "vote" and (settings / "again").exists():
            stats["starts"] = 1 + int(up)
        (run / "stats" / (name + ".new")).write_text(json.dumps(stats))
        (run / "stats" / (name + ".new")).rename(run / "stats" / (name + ".json"))
    time.sleep(0.01)
"##;

struct Rig(tempfile::TempDir);

impl Rig {
    fn new(takes: u32) -> Self {
        let rig = Self(tempfile::tempdir().unwrap());
        program(&rig.path("dora"), DORA);
        write(&rig.path("takes"), &takes.to_string());
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("python3");
        command.arg(script("streams.py")).args(["--bin", "bin", "--root", ".", "--clip", "clip.mp4", "--seconds", "2"]);
        command.arg("--dora").arg(self.path("dora")).arg("--out").arg(self.path("out")).arg("--work").arg(self.path("work"));
        command.args(arguments).env("TMPDIR", self.0.path());
        command
    }

    fn measured(&self) -> Value {
        serde_json::from_str(&read(&self.path("out/streams.json"))).unwrap()
    }

    fn assert_nothing_runs(&self) {
        for run in self.path("work").read_dir().unwrap() {
            let pid = run.unwrap().path().join("pid");
            assert!(!runs(&pid), "{} still runs", pid.display());
        }
    }
}

fn attempts(measured: &Value) -> Vec<(u64, bool)> {
    let results = measured["results"].as_array().unwrap();
    results.iter().map(|r| (r["cameras"].as_u64().unwrap(), r["passed"].as_bool().unwrap())).collect()
}

#[test]
fn the_most_that_passes_is_found_though_more_do_not_come_up() {
    let rig = Rig::new(12);
    let output = rig.command(&[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let measured = rig.measured();
    assert_eq!(attempts(&measured), [(8, true), (16, false), (12, true), (14, false), (13, false)]);
    assert_eq!(measured["most_that_passed"], 12);
    let why = measured["results"][1]["why"].as_str().unwrap();
    assert!(why.contains("detect: the card is full") && why.contains("ERROR detect: out of memory"), "{why}");
    let table = read(&rig.path("out/streams.md"));
    assert!(
        table.contains("the most that passed: 12.")
            && table.contains("| 12 | yes | 3")
            && table.contains("| 16 | no: 0 of 27 nodes came up"),
        "{table}"
    );
    rig.assert_nothing_runs();
}

#[test]
fn dora_gets_the_settings_of_every_other_run() {
    let rig = Rig::new(8);
    let output = rig.command(&["--most", "8"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let environment: Value = serde_json::from_str(&read(&rig.path("work/run-8/environment"))).unwrap();
    assert_eq!(environment["DORA_NODE_SHM_POOL_SIZE"], "0");
    let overlay = read(Path::new(environment["DORA_ZENOH_CONFIG_OVERLAY"].as_str().unwrap()));
    let nodes = read(&gantry_repository_tests::root().join("runtime/node/src/zenoh.rs"));
    assert!(nodes.contains(overlay.trim()), "our nodes have other settings than {overlay}");
}

#[test]
fn one_slow_decoder_of_two_and_a_node_that_starts_again_fail_an_attempt() {
    let rig = Rig::new(99);
    write(&rig.path("slow"), "");
    let output = rig.command(&["--first", "16", "--most", "16", "--budget", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let result = &rig.measured()["results"][0];
    let fps = |key: &str| result[key].as_f64().unwrap();
    assert!((26.5..27.5).contains(&fps("fps_of_the_slowest_decoder")) && fps("fps_per_camera") > 28.0, "{result}");
    std::fs::remove_file(rig.path("slow")).unwrap();
    write(&rig.path("again"), "");
    let output = rig.command(&["--first", "16", "--most", "16", "--budget", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(rig.measured()["results"][0]["why"], "vote was started again");
}

#[test]
fn sigterm_keeps_what_was_measured_and_ends_the_graph() {
    let rig = Rig::new(99);
    let mut child = rig.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let second = rig.path("work/run-16/pid");
    wait_until("the second attempt runs", || second.exists());
    assert_eq!(terminate(&mut child).code(), Some(143));
    assert_eq!(attempts(&rig.measured()), [(8, true)]);
    assert!(read(&rig.path("out/streams.md")).contains("| 8 | yes |"));
    rig.assert_nothing_runs();
}
