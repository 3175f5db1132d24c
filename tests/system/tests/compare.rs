//! `gantry compare` and `gantry report`: exactly the differences there are, runs that are kept, an end at Ctrl-C.

use gantry_system_tests::{Finished, Sandbox, clip, root};
use serde_json::Value;
use std::path::Path;

/// A recording of `clips`, whole.
fn record(sandbox: &Sandbox, clips: &[&str]) {
    let mut command = sandbox.gantry(["record", "--quiet"]);
    command.args(clips.iter().map(|name| clip(name))).arg("--out").arg(sandbox.path("run.mcap"));
    sandbox.run(command, 120).assert_code(0);
}

fn compare(sandbox: &Sandbox, what: &[&str]) -> Finished {
    let mut command = sandbox.gantry(["compare"]);
    command.args(what).arg("--recording").arg(sandbox.path("run.mcap")).arg("--truth").arg(root().join("tests/clips"));
    command.arg("--out").arg(sandbox.path("out"));
    sandbox.run(command, 180)
}

fn findings(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&std::fs::read_to_string(sandbox.path("out/comparison.json")).unwrap()).unwrap()
}

/// A page that needs nothing beside itself, with as many pictures as `pictures`.
fn assert_page(path: &Path, pictures: usize, says: &[&str]) {
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), pictures, "{}", path.display());
    assert!(!page.contains("src=\"http") && !page.contains("href=") && !page.contains("NaN"));
    for text in says {
        assert!(page.contains(text), "{} does not say `{text}`", path.display());
    }
}

#[test]
fn a_graph_compared_with_itself_is_identical_and_its_runs_can_be_reported_again() {
    let sandbox = Sandbox::new();
    record(&sandbox, &["gate_day.mp4"]);
    let done = compare(&sandbox, &["graphs/read.yml", "graphs/read.yml"]);
    done.assert_code(0);
    assert!(done.stdout.contains("identical: all 4 readings"), "{}", done.stdout);
    assert!(done.stdout.contains("of 4 vehicles A reads 4 exactly, B 4: 0 put right, 0 spoiled."), "{}", done.stdout);
    let found = findings(&sandbox);
    assert_eq!((&found["identical"], &found["agreement"], &found["agreed"]), (&true.into(), &1.0.into(), &4.into()));
    assert!(found["load_a"]["frames"] == 240 && found["load_b"]["cpu_ms_per_frame"].as_f64().unwrap() > 0.1, "{found}");
    let bytes = |run: &str| std::fs::read(sandbox.path("out").join(run).join("readings.jsonl")).unwrap();
    assert_eq!(bytes("a"), bytes("b"));
    // Pictures stand in the list of what agrees.
    assert_page(&sandbox.path("out/comparison.html"), 4, &["Identical: all 4 readings", "Latency per stage", "Precision at coverage"]);

    std::fs::remove_file(sandbox.path("out/comparison.html")).unwrap();
    let mut again = sandbox.gantry(["report"]);
    again.arg(sandbox.path("out"));
    sandbox.run(again, 20).assert_code(0);
    assert_page(&sandbox.path("out/comparison.html"), 4, &["of 4 vehicles A reads 4 exactly"]);
    let mut one = sandbox.gantry(["report"]);
    one.arg(sandbox.path("out/b")).arg("--truth").arg(root().join("tests/clips/gate_day.truth.json"));
    sandbox.run(one, 20).assert_code(0);
    assert_page(&sandbox.path("out/b/report.html"), 4, &["4 of 4 (100.0 %)", "Latency per stage", "Does confidence tell the truth?"]);

    // A run that is there is not run again, and two of them need no recording.
    let mut kept = sandbox.gantry(["compare"]);
    kept.arg(sandbox.path("out/a")).arg(sandbox.path("out/b")).arg("--out").arg(sandbox.path("second")).arg("--exit-code");
    let done = sandbox.run(kept, 20);
    done.assert_code(0);
    assert!(done.stdout.contains("identical"), "{}", done.stdout);
    sandbox.assert_nothing_left();
}

#[test]
fn two_variants_differ_in_exactly_what_their_runs_differ_in() {
    let sandbox = Sandbox::new();
    record(&sandbox, &["two_row_day.mp4", "gate_day.mp4"]);
    // Without a vote over frames one two-row plate has its 0 read as O; the other readings stay (measured, docs/experiments.md).
    let done = compare(&sandbox, &["graphs/read.yml", "graphs/experiments/voting_best_frame.yml"]);
    done.assert_code(0);
    let found = findings(&sandbox);
    let told = |key: &str| found[key].as_u64().unwrap();
    assert_eq!((told("changed"), told("changed_characters"), told("lost"), told("gained")), (1, 1, 0, 0), "{found}");
    let d = &found["differences"][0];
    assert_eq!((&d["camera"], &d["kind"], &d["effect"]), (&"two_row_day".into(), &"changed".into(), &"worse".into()));
    assert_eq!((&d["a"], &d["b"], &d["truth"]), (&"CFN90".into(), &"CFN9O".into(), &"CFN90".into()));
    assert_eq!((&found["truth"]["fixed"], &found["truth"]["spoiled"]), (&0.into(), &1.into()));
    assert_page(
        &sandbox.path("out/comparison.html"),
        2 + told("agreed") as usize,
        &["CFN9<mark>0</mark>", "CFN9<mark>O</mark>", "1 spoiled"],
    );

    // One graph and what is changed in it: a gate that nothing passes loses every reading.
    let done = compare(&sandbox, &["graphs/read.yml", "--set", "crop.MIN_TRACK_FRAMES=1000", "--quiet", "--exit-code"]);
    done.assert_code(3);
    assert!(!done.stderr.contains("error:"), "differences are no error: {}", done.stderr);
    let found = findings(&sandbox);
    assert_eq!((&found["b"], &found["readings_b"]), (&"graphs/read.yml with crop.MIN_TRACK_FRAMES=1000".into(), &0.into()));
    assert_eq!((found["lost"].as_u64(), found["agreed"].as_u64()), (found["readings_a"].as_u64(), Some(0)));
    assert!(found["differences"].as_array().unwrap().iter().all(|d| d["effect"] == "worse"), "{found}");

    // The node of another graph in its place: the same as that graph.
    let done = compare(&sandbox, &["graphs/read.yml", "--replace", "vote=graphs/experiments/voting_best_frame.yml", "--quiet"]);
    done.assert_code(0);
    let found = findings(&sandbox);
    assert_eq!((found["changed"].as_u64(), &found["differences"][0]["b"]), (Some(1), &"CFN9O".into()), "{found}");
    sandbox.assert_nothing_left();
}

#[test]
fn two_readers_at_once_vote_together_and_the_page_names_both() {
    let sandbox = Sandbox::new();
    record(&sandbox, &["gate_day.mp4"]);
    compare(&sandbox, &["graphs/read.yml", "graphs/experiments/ensemble.yml"]).assert_code(0);
    let found = findings(&sandbox);
    assert_eq!((&found["agreed"], &found["agreed_otherwise"], &found["truth"]["exact_b"]), (&4.into(), &4.into(), &4.into()), "{found}");
    let readings = std::fs::read_to_string(sandbox.path("out/b/readings.jsonl")).unwrap();
    assert!(readings.contains("\"original@recognize\"") && readings.contains("\"original@recognize_b\""), "{readings}");
    assert_page(&sandbox.path("out/comparison.html"), 4, &["recognize_b", "crop_b"]);
}

#[test]
fn faults_of_both_are_told_before_anything_starts() {
    let sandbox = Sandbox::new();
    let refused = |what: &[&str], says: &str| {
        let mut command = sandbox.gantry(["compare"]);
        command.args(what).arg("--out").arg(sandbox.path("out"));
        let done = sandbox.run(command, 20);
        done.assert_code(2);
        assert!(done.stderr.contains(says), "not said: {says}\n{}", done.stderr);
    };
    let video = clip("gate_day.mp4");
    let video = video.to_str().unwrap();
    refused(&["graphs/read.yml"], "nothing differs");
    refused(&["graphs/read.yml", "graphs/experiments/gate_open.yml"], "what shall A and B read?");
    refused(&["graphs/read.yml", "tests/graphs/invalid_types.yml", "--recording", video], "message type differs");
    refused(&["graphs/read.yml", "--set", "vote.RULE=dice", "--recording", video], "dice is outside");
    refused(
        &["graphs/read.yml", "--set", "vot.RULE=characters", "--recording", video],
        "B: `--set vot.RULE=characters`: the graph has no node `vot`",
    );
    refused(&["graphs", "graphs/read.yml", "--recording", video], "is a folder without `run.json`");
    refused(&["graphs/read.yml", "--set", "a.B=1", "--recording", "rtsp://camera/1"], "a stream cannot be read twice");
    assert!(sandbox.processes().is_empty());
    sandbox.assert_temporary_folder_is_empty();
    let mut report = sandbox.gantry(["report", "graphs"]);
    report.arg("--truth").arg(root().join("tests/clips"));
    let done = sandbox.run(report, 20);
    done.assert_code(2);
    assert!(done.stderr.contains("graphs: has no `readings.jsonl`"), "{}", done.stderr);
}

#[test]
fn ctrl_c_ends_a_comparison_with_what_was_read_until_then() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.gantry(["compare", "graphs/read.yml", "graphs/experiments/preprocessing_none.yml", "--recording"]);
    command.arg(clip("gate_day.mp4")).arg("--recording").arg(clip("road_day.mp4")).arg("--out").arg(sandbox.path("out"));
    let mut running = sandbox.start(command);
    running.wait_until("frames are decoded", 60, |s| s.stats().values().any(|s| s["rows_out"]["frames"].as_u64().unwrap_or(0) > 0));
    running.signal("INT");
    let done = running.end(60);
    done.assert_code(130);
    assert!(done.stderr.contains("A: interrupted"), "{}", done.stderr);
    let about: Value = serde_json::from_str(&std::fs::read_to_string(sandbox.path("out/a/run.json")).unwrap()).unwrap();
    assert_eq!((&about["complete"], &about["name"]), (&false.into(), &"graphs/read.yml".into()));
    assert!(!sandbox.path("out/comparison.json").exists() && !sandbox.path("out/b/run.json").exists());
    // What there is can be looked at, and says that it is not all.
    let mut report = sandbox.gantry(["report"]);
    report.arg(sandbox.path("out/a"));
    sandbox.run(report, 20).assert_code(0);
    assert!(std::fs::read_to_string(sandbox.path("out/a/report.html")).unwrap().contains("incomplete"));
    sandbox.assert_temporary_folder_is_empty();
    sandbox.assert_nothing_left();
}

#[test]
fn a_recording_is_played_back_by_dora_alone() {
    let sandbox = Sandbox::new();
    // Where the graph says that the recording is; git ignores that folder.
    let out = root().join("out");
    let mut record = sandbox.gantry(["record", "--quiet"]);
    record.arg(clip("two_row_day.mp4")).arg("--out").arg(out.join("run.mcap")).arg("--readings").arg(sandbox.out());
    sandbox.run(record, 120).assert_code(0);
    // Its readings are those of graphs/read.yml too: another place for them, another test may be writing there.
    let graph = std::fs::read_to_string(root().join("graphs/experiments/replay.yml")).unwrap();
    let place = |text: &str, name: &str| text.replace(&format!("../../out/{name}"), &sandbox.path(name).display().to_string());
    let graph = place(&place(&graph, "readings.jsonl"), "evidence").replace("../../", &format!("{}/", root().display()));
    let graph = graph.replace("path: bin/", &format!("path: {}/graphs/bin/", root().display()));
    std::fs::write(sandbox.path("replay.yml"), graph).unwrap();
    let mut dora = sandbox.dora();
    dora.arg("run").arg(sandbox.path("replay.yml")).current_dir(sandbox.path(""));
    sandbox.run(dora, 120).assert_code(0);
    let without_evidence = |path: &Path| -> Vec<Value> {
        let mut all = gantry_system_tests::lines(path);
        all.iter_mut().for_each(|r| drop(r.as_object_mut().unwrap().remove("evidence")));
        all
    };
    let replayed = without_evidence(&sandbox.path("readings.jsonl"));
    assert_eq!(replayed, without_evidence(&sandbox.out()));
    assert!(replayed.len() >= 3, "too little was read to compare");
}
