//! `dora record` and `dora replay` work with the two node programs of this workspace, for edges with results.

use gantry_system_tests::{Sandbox, clip, lines, program, root};
use serde_json::Value;

fn plates(readings: &[Value]) -> Vec<(String, u64)> {
    readings.iter().map(|r| (r["plate"].as_str().unwrap().to_owned(), r["track_id"].as_u64().unwrap())).collect()
}

#[test]
fn readings_that_dora_recorded_reach_the_store_again() {
    assert!(program("dora-record-node").is_file() && program("dora-replay-node").is_file());
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("graph")).unwrap();
    let text = std::fs::read_to_string(root().join("graphs/read.yml")).unwrap();
    let programs = program("gantry").parent().unwrap().display().to_string();
    let text = text
        .replace("../tests/clips/gate_day.mp4", &clip("gate_day.mp4").display().to_string())
        .replace("path: bin/", &format!("path: {programs}/"))
        .replace("../models", &root().join("models").display().to_string())
        .replace("../out", &sandbox.path("out").display().to_string())
        .replace("      NAME: gate_day\n", "      NAME: gate_day\n      SECONDS: 3\n");
    let graph = sandbox.path("graph/read.yml");
    std::fs::write(&graph, text).unwrap();
    let recording = sandbox.path("graph/run.drec");
    let dora = |arguments: &[&str]| {
        let mut command = sandbox.dora();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{programs}:{path}")).current_dir(sandbox.path("graph")).args(arguments);
        command
    };
    let record = dora(&["record", "read.yml", "--topics", "vote/readings", "-o", recording.to_str().unwrap()]);
    let done = sandbox.run(record, 120);
    done.assert_code(0);
    let recorded = lines(&sandbox.out());
    assert!(recorded.len() >= 2, "{}", done.stderr);
    std::fs::remove_file(sandbox.out()).unwrap();
    let done = sandbox.run(dora(&["replay", "run.drec", "--replace", "vote", "--speed", "0"]), 120);
    done.assert_code(0);
    assert_eq!(plates(&lines(&sandbox.out())), plates(&recorded));
    sandbox.assert_nothing_left();
}
