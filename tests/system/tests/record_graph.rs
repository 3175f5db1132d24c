//! `gantry record GRAPH` and `gantry replay`: any graph is recorded without being changed, and runs again from what it recorded.

use gantry_system_tests::{Finished, Sandbox, lines, program, root};
use std::path::Path;

/// Records `seconds` of a shipped graph; its readings go to the sandbox.
fn record(sandbox: &Sandbox, graph: &str, seconds: &str, more: &[&str]) -> Finished {
    let mut command = sandbox.gantry(["record", graph, "--seconds", seconds, "--set", "store.FORMAT=jsonl"]);
    command.arg("--out").arg(sandbox.path("run.mcap")).arg("--readings").arg(sandbox.path("recorded.jsonl")).args(more);
    sandbox.run(command, 120)
}

fn replay(sandbox: &Sandbox, more: &[&str]) -> (Finished, String) {
    let mut command = sandbox.gantry(["replay"]);
    command.arg(sandbox.path("run.mcap")).arg("--out").arg(sandbox.path("run.jsonl")).args(more);
    let done = sandbox.run(command, 120);
    (done, std::fs::read_to_string(sandbox.path("run.jsonl")).unwrap_or_default())
}

#[test]
fn a_live_site_is_recorded_as_it_is_and_its_replays_give_the_same_bytes() {
    let sandbox = Sandbox::new();
    let graph = std::fs::read_to_string(root().join("graphs/sites/gate.yml")).unwrap();
    let done = record(&sandbox, "graphs/sites/gate.yml", "9", &[]);
    done.assert_code(0);
    assert!(done.stdout.contains("recorded gate: ") && done.stdout.contains("complete"), "{}", done.stdout);
    assert_eq!(graph, std::fs::read_to_string(root().join("graphs/sites/gate.yml")).unwrap());
    let (done, first) = replay(&sandbox, &[]);
    done.assert_code(0);
    assert!(!done.stderr.contains("warning: ") && !done.stderr.contains("note: "), "{}", done.stderr);
    // Times of the recorded run, not of this one.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let seen = lines(&sandbox.path("run.jsonl"));
    assert!(!seen.is_empty(), "nothing was read: {}", done.stdout);
    assert!(seen.iter().all(|r| r["first_seen_s"].as_f64().is_some_and(|s| (now - 300.0..now).contains(&s))), "{seen:?}");
    assert_eq!(replay(&sandbox, &[]).1, first);
    // Through another graph too: cameras, media times and packets are those of the recording.
    let (done, other) = replay(&sandbox, &["--graph", "graphs/read.yml", "--set", "crop.OVERVIEW_PX=640"]);
    done.assert_code(0);
    assert_eq!(other, first);
    sandbox.assert_nothing_left();
}

#[test]
fn a_node_is_replaced_and_what_differs_from_the_recorded_run_is_said() {
    let sandbox = Sandbox::new();
    let model = sandbox.path("reader.onnx");
    std::fs::copy(root().join("models/reader.onnx"), &model).unwrap();
    let set = format!("recognize.MODEL={}", model.display());
    record(&sandbox, "graphs/read.yml", "2.5", &["--set", &set]).assert_code(0);
    let (done, first) = replay(&sandbox, &[]);
    done.assert_code(0);
    assert!(!first.is_empty() && !done.stderr.contains("recognize.MODEL"), "{}", done.stderr);

    // A protobuf field that ONNX does not know: another file, the same model.
    let mut bytes = std::fs::read(&model).unwrap();
    bytes.extend([0xc0, 0x3e, 0x01]);
    std::fs::write(&model, bytes).unwrap();
    let vote = sandbox.path("another_vote");
    std::fs::copy(program("vote"), &vote).unwrap();
    let replace = format!("vote={}", vote.display());
    let (done, again) = replay(&sandbox, &["--replace", &replace, "--set", "detect.MAX_BATCH=2"]);
    done.assert_code(0);
    done.assert_says(&["warning: `recognize.MODEL` is another file than when this was recorded"]);
    done.assert_says(&["note: node `vote` is `another_vote`, it was `vote`", "note: `detect.MAX_BATCH` is `2`, it was not set"]);
    assert_eq!(lines_without_evidence(&again), lines_without_evidence(&first));

    // The model is gone: what does not run is said, and the usual graph takes its place.
    std::fs::remove_file(&model).unwrap();
    let (done, _) = replay(&sandbox, &[]);
    done.assert_code(0);
    assert!(done.stderr.contains("models/reader.onnx") || done.stderr.contains("graphs/read.yml runs in its place"), "{}", done.stderr);

    let (done, _) = replay(&sandbox, &["--replace", "vote=nowhere"]);
    done.assert_code(2);
    done.assert_says(&["node `vote`: there is no program `nowhere`", "hint: "]);
    let (done, _) = replay(&sandbox, &["--replace", "vot=another_vote"]);
    done.assert_code(2);
    done.assert_says(&["node `vot`: the graph has no such node", "did you mean `vote`?"]);
    sandbox.assert_nothing_left();
}

fn lines_without_evidence(text: &str) -> Vec<serde_json::Value> {
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines()
        .map(parse)
        .map(|mut r| {
            r.as_object_mut().unwrap().remove("evidence");
            r
        })
        .collect()
}

#[test]
fn graphs_and_sources_do_not_mix_and_recordings_have_their_name() {
    let sandbox = Sandbox::new();
    let refused = |arguments: &[&str], says: &str| {
        let done = sandbox.run(sandbox.gantry(arguments), 30);
        done.assert_code(2);
        done.assert_says(&[says]);
        assert!(!Path::new("run.txt").exists());
    };
    refused(&["record", "graphs/read.yml", "a.mp4", "-o", "run.mcap"], "a graph file runs as it is");
    refused(&["record", "graphs/read.yml", "-o", "run.txt"], "recordings end in `.mcap`");
    refused(&["record", "graphs/read.yml", "-o", "run.mcap", "--results", "frames"], "`--results frames`: `record` takes no such messages");
    sandbox.assert_nothing_left();
}
