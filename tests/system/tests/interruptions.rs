//! Ctrl-C, killed nodes, a killed `gantry`: the run ends, says so, and leaves nothing.

use gantry_system_tests::{Running, Sandbox, clip, lines};
use std::time::Instant;

/// Frames whose texts are out.
fn read_frames(sandbox: &Sandbox) -> u64 {
    sandbox.stats().values().filter(|s| s["kind"] == "recognize").filter_map(|s| s["rows_out"]["texts"].as_u64()).sum()
}

fn long_run(sandbox: &Sandbox) -> Running<'_> {
    let mut run = sandbox.start(sandbox.read([clip("gate_day.mp4"), clip("road_day.mp4")]));
    run.wait_until("some frames are read", 60, |s| read_frames(s) >= 40);
    run
}

#[test]
fn ctrl_c_ends_the_run_within_seconds_and_what_was_read_is_valid() {
    let sandbox = Sandbox::new();
    let mut run = sandbox.start(sandbox.read([clip("gate_day.mp4"), clip("road_day.mp4")]));
    run.wait_until("a reading is written", 60, |s| std::fs::metadata(s.out()).is_ok_and(|m| m.len() > 0));
    run.signal("INT");
    let done = run.end(20);
    done.assert_code(130);
    done.assert_says(&["interrupted", "readings.jsonl"]);
    assert!(!lines(&sandbox.out()).is_empty(), "the reading that was there is gone");
    sandbox.assert_nothing_left();
}

#[test]
fn ctrl_c_during_the_start_ends_the_run_too() {
    let sandbox = Sandbox::new();
    let mut run = sandbox.start(sandbox.read([clip("gate_day.mp4")]));
    run.wait_until("dora is started", 30, |s| s.processes().len() > 1);
    run.signal("INT");
    let done = run.end(25);
    done.assert_code(130);
    let _ = lines(&sandbox.out());
    sandbox.assert_nothing_left();
}

#[test]
fn a_killed_node_ends_the_run_loudly_whichever_it_is() {
    for name in ["recognize", "decode", "store"] {
        let sandbox = Sandbox::new();
        let run = long_run(&sandbox);
        let node = sandbox.processes().into_iter().find(|p| p.name() == name).unwrap_or_else(|| panic!("no process {name}"));
        let killed = Instant::now();
        node.signal("KILL");
        let done = run.end(40);
        done.assert_code(1);
        done.assert_says(&["error: ", name, "hint: "]);
        eprintln!("{name}: ended {:.1} s after it was killed", killed.elapsed().as_secs_f64());
        let _ = lines(&sandbox.out());
        sandbox.assert_nothing_left();
    }
}

#[test]
fn a_killed_gantry_takes_dora_and_the_nodes_along() {
    let sandbox = Sandbox::new();
    let run = long_run(&sandbox);
    run.signal("KILL");
    let done = run.end(5);
    done.assert_code(137);
    sandbox.assert_nothing_left();
    let _ = lines(&sandbox.out());
}

#[test]
fn a_killed_dora_takes_the_nodes_along_and_the_run_fails() {
    let sandbox = Sandbox::new();
    let run = long_run(&sandbox);
    let dora = sandbox.processes().into_iter().find(|p| p.command.contains("dora") && p.command.contains(" run ")).expect("dora runs");
    dora.signal("KILL");
    let done = run.end(30);
    done.assert_code(1);
    done.assert_says(&["dora", "signal", "hint: "]);
    sandbox.assert_nothing_left();
}
