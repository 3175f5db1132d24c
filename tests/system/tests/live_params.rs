//! A graph that `dora start` runs follows `dora param set`: live parameters change, others and impossible values are refused with a reason.

use gantry_system_tests::{Sandbox, clip, program, root};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Parameter changes, with what the node's log says of each.
const CHANGES: [(&str, &str, &str, &str); 3] = [
    ("detect", "min_plate_confidence", "0.9", "parameter changed param=\"min_plate_confidence\""),
    ("detect", "max_batch", "4", "`max_batch` cannot be changed while the node runs"),
    ("vote", "min_confidence", "7", "parameter `min_confidence`: 7 is outside 0..=1"),
];

#[test]
fn live_parameters_follow_dora_param_set_and_others_are_refused() {
    let sandbox = Sandbox::new();
    let graph = graph(&sandbox);
    // A coordinator of its own: nobody else's dataflows are near.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port().to_string();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    let dora = |arguments: &[&str]| {
        let mut command = sandbox.dora();
        command.env("HOME", sandbox.path("home")).env("DORA_COORDINATOR_PORT", &port).args(arguments);
        command
    };
    sandbox.run(dora(&["up"]), 30).assert_code(0);
    sandbox.run(dora(&["start", &graph, "--name", "site", "--detach"]), 60).assert_code(0);
    for (node, parameter, value, says) in CHANGES {
        let set = || sandbox.run(dora(&["param", "set", "-d", "site", node, parameter, value]), 30);
        let (mut done, started) = (set(), Instant::now());
        // `start --detach` comes back before the nodes have joined.
        while done.stderr.contains("not connected") && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(200));
            done = set();
        }
        done.assert_code(0);
        wait_for(&sandbox.path("site/out"), &format!("log_{node}.jsonl"), says);
    }
    // It also says whether a node failed: none may, though each is in the middle of a frame.
    sandbox.run(dora(&["stop", "site"]), 60).assert_code(0);
    // Takes coordinator and daemon away; dora 1.1 reports its own broken connection then.
    let _ = sandbox.run(dora(&["down"]), 30);
    sandbox.assert_nothing_left();
}

/// `graphs/read.yml` on some minutes of video, with results in the sandbox.
fn graph(sandbox: &Sandbox) -> String {
    let long = sandbox.path("long.mp4");
    let looped = Command::new("ffmpeg")
        .args(["-v", "error", "-stream_loop", "89", "-i"])
        .arg(clip("gate_day.mp4"))
        .args(["-c", "copy"])
        .arg(&long)
        .status();
    assert!(looped.expect("ffmpeg starts").success());
    let text = std::fs::read_to_string(root().join("graphs/read.yml")).unwrap();
    let programs = program("gantry").parent().unwrap().display().to_string();
    let text = text
        .replace("../tests/clips/gate_day.mp4", &long.display().to_string())
        .replace("path: bin/", &format!("path: {programs}/"))
        .replace("../models", &root().join("models").display().to_string())
        .replace("../out", &sandbox.path("out").display().to_string());
    std::fs::create_dir(sandbox.path("site")).unwrap();
    let path = sandbox.path("site/site.yml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Waits until the newest log of that name says `what`.
fn wait_for(logs: &Path, name: &str, what: &str) {
    let started = Instant::now();
    loop {
        let folders = std::fs::read_dir(logs).into_iter().flatten().flatten();
        let text: String = folders.filter_map(|f| std::fs::read_to_string(f.path().join(name)).ok()).collect();
        // Logs are JSON lines: quotes are escaped.
        if text.replace("\\\"", "\"").contains(what) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(40), "{name} does not say `{what}`:\n{text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
