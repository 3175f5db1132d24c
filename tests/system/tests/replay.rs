//! A recorded run and its replays: the same bytes, whatever the speed, the part and the damage.

use gantry_system_tests::{Finished, Sandbox, clip, lines};
use std::path::Path;

/// Records 2.5 s of two cameras; the readings.
fn record(sandbox: &Sandbox) -> String {
    let mut command = sandbox.gantry(["record"]);
    command.args([clip("gate_day.mp4"), clip("road_day.mp4")]).args(["--seconds", "2.5", "--out"]).arg(sandbox.path("run.mcap"));
    let done = sandbox.run(command, 120);
    done.assert_code(0);
    let readings = std::fs::read_to_string(sandbox.path("run.jsonl")).unwrap();
    assert!(readings.lines().count() >= 2, "too little was read to compare\n{}", done.stdout);
    readings
}

fn replay(sandbox: &Sandbox, recording: &Path, more: &[&str]) -> Finished {
    let mut command = sandbox.gantry(["replay"]);
    // Evidence files are named after the readings' file, which therefore must not differ.
    command.arg(recording).arg("--out").arg(sandbox.path("run.jsonl")).args(more);
    sandbox.run(command, 120)
}

#[test]
fn a_replay_gives_the_bytes_of_the_recorded_run_and_damage_is_said() {
    let sandbox = Sandbox::new();
    let recorded = record(&sandbox);
    let recording = sandbox.path("run.mcap");
    let readings = || std::fs::read_to_string(sandbox.path("run.jsonl")).unwrap();
    replay(&sandbox, &recording, &[]).assert_code(0);
    assert!(readings() == recorded, "the replay reads otherwise:\n{}\nrecorded:\n{recorded}", readings());
    // One camera, by its own clock at twice the speed.
    replay(&sandbox, &recording, &["--camera", "gate_day", "--speed", "2"]).assert_code(0);
    let of_gate: String = recorded.split_inclusive('\n').filter(|l| l.contains("\"camera\":\"gate_day\"")).collect();
    assert_eq!(readings(), of_gate);
    // The last third is gone.
    let bytes = std::fs::read(&recording).unwrap();
    std::fs::write(&recording, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let done = replay(&sandbox, &recording, &[]);
    done.assert_code(0);
    done.assert_says(&["warning: ", "no end: cut off after packet"]);
    assert!(lines(&sandbox.path("run.jsonl")).iter().all(|r| r["last_seen_s"].as_f64().is_some_and(|s| s < 2.5)));
    let done = replay(&sandbox, &recording, &["--camera", "nowhere"]);
    done.assert_code(2);
    done.assert_says(&["has no camera `nowhere`; it has `gate_day`, `road_day`"]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_replay_whose_nodes_are_killed_begins_anew_and_gives_the_same_bytes() {
    let sandbox = Sandbox::new();
    let recorded = record(&sandbox);
    let mut command = sandbox.gantry(["replay"]);
    // At half the speed of the cameras, so that there is time to kill: statistics come once a second.
    command.arg(sandbox.path("run.mcap")).args(["--speed", "0.5", "--out"]).arg(sandbox.path("run.jsonl"));
    let mut run = sandbox.start(command);
    for name in ["detect", "vote"] {
        let frames = |s: &Sandbox| {
            s.stats().values().filter(|s| s["kind"] == "recognize").filter_map(|s| s["rows_out"]["texts"].as_u64()).sum::<u64>()
        };
        let is_new = |s: &Sandbox| (1..140).contains(&frames(s)) && s.processes().iter().any(|p| p.name() == name);
        run.wait_until("some frames are read", 60, is_new);
        sandbox.processes().into_iter().filter(|p| p.name() == name).for_each(|p| p.signal("KILL"));
        run.wait_until("the run begins anew", 60, |s| frames(s) == 0);
    }
    let done = run.end(90);
    done.assert_code(0);
    done.assert_says(&["node `detect` was ended by signal SIGKILL; the replay begins anew", "node `vote` was ended by signal SIGKILL"]);
    assert_eq!(std::fs::read_to_string(sandbox.path("run.jsonl")).unwrap(), recorded);
    sandbox.assert_nothing_left();
}
