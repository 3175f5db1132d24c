//! Graph files: the shipped ones pass both checks and run with `dora run` alone; faulty ones are told apart, all faults at once.

use gantry_system_tests::{Sandbox, clip, lines, root};
use std::path::{Path, PathBuf};

/// YAML files of `folder` (from the project's folder) whose names `wanted` takes, sorted.
fn graphs(folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let all = std::fs::read_dir(root().join(folder)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<PathBuf> = all.filter(|n| n.ends_with(".yml") && wanted(n)).map(|n| Path::new(folder).join(n)).collect();
    all.sort();
    assert!(!all.is_empty(), "no graphs in {folder}");
    all
}

#[test]
fn each_faulty_graph_is_refused_with_the_message_beside_it() {
    for graph in graphs("tests/graphs", |n| n.starts_with("invalid_")) {
        let sandbox = Sandbox::new();
        let mut command = sandbox.gantry(["check"]);
        command.arg(&graph);
        let done = sandbox.run(command, 20);
        done.assert_code(2);
        let expected = root().join(&graph).with_extension("txt");
        if std::env::var_os("GANTRY_REGENERATE").is_some() {
            std::fs::write(&expected, &done.stderr).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        let how = "if the new text is right: GANTRY_REGENERATE=1 cargo nextest run --release -p gantry-system-tests faulty_graph";
        assert_eq!(done.stderr, wanted, "{}; {how}", graph.display());
        assert!(!wanted.contains(&root().display().to_string()), "{}: a path of this machine is in the text", expected.display());
    }
}

#[test]
fn reading_through_a_faulty_graph_prints_the_same_faults_and_starts_nothing() {
    for name in ["invalid_typos.yml", "invalid_params.yml", "invalid_missing_edges.yml", "invalid_yaml.yml"] {
        let graph = Path::new("tests/graphs").join(name);
        let sandbox = Sandbox::new();
        let mut check = sandbox.gantry(["check"]);
        check.arg(&graph);
        let check = sandbox.run(check, 20);
        let mut read = sandbox.read([clip("gate_day.mp4")]);
        read.arg("--graph").arg(&graph);
        let read = sandbox.run(read, 20);
        read.assert_code(2);
        // `SOURCE` comes from the command line here, and paths are absolute.
        for line in
            check.stderr.lines().filter(|l| l.starts_with("error: ") && !l.contains("parameter `source`") && !l.contains("program `"))
        {
            if !line.contains("does not exist") || line.contains("source node") {
                assert!(read.stderr.contains(line), "{name}: not said: {line}\n{}", read.stderr);
            }
        }
        assert!(sandbox.processes().is_empty());
        sandbox.assert_temporary_folder_is_empty();
    }
}

#[test]
fn every_shipped_graph_passes_our_check_and_doras() {
    let mut all = graphs("graphs", |_| true);
    all.extend(graphs("tests/graphs", |n| !n.starts_with("invalid_")));
    for folder in ["graphs/gpu", "graphs/sites", "graphs/experiments"] {
        if root().join(folder).is_dir() {
            all.extend(graphs(folder, |_| true));
        }
    }
    for graph in all {
        let sandbox = Sandbox::new();
        let mut check = sandbox.gantry(["check"]);
        check.arg(&graph);
        let done = sandbox.run(check, 20);
        done.assert_code(0);
        assert!(done.stdout.contains("ok"), "{}", done.stdout);
        let mut validate = sandbox.dora();
        validate.arg("validate").arg(&graph).env("GANTRY_TEST_LISTEN", "127.0.0.1:0");
        // Where graphs of tests take files from the environment, any name is good enough to be looked at.
        for name in ["GANTRY_TEST_JSONL", "GANTRY_TEST_SQLITE", "GANTRY_TEST_EVIDENCE"] {
            validate.env(name, sandbox.out());
        }
        sandbox.run(validate, 30).assert_code(0);
    }
}

#[test]
fn the_read_graph_runs_with_dora_alone_and_gives_what_gantry_read_gives() {
    let sandbox = Sandbox::new();
    let mut dora = sandbox.dora();
    // Its logs (`out/<uuid>`) go to the folder it is started in: a copy of the graph's folder would change every path, so the
    // results of the shipped graph land in `out`, which git ignores.
    dora.args(["run", "graphs/read.yml"]);
    let results = root().join("out/readings.jsonl");
    let _ = std::fs::remove_file(&results);
    let done = sandbox.run(dora, 120);
    done.assert_code(0);
    let alone = lines(&results);
    sandbox.assert_nothing_left();
    let sandbox = Sandbox::new();
    sandbox.run(sandbox.read([clip("gate_day.mp4")]), 120).assert_code(0);
    let without_evidence = |mut all: Vec<serde_json::Value>| {
        for reading in &mut all {
            reading.as_object_mut().unwrap().remove("evidence");
        }
        all
    };
    assert_eq!(without_evidence(alone), without_evidence(lines(&sandbox.out())));
}

#[test]
fn a_site_of_two_camera_modules_runs_with_dora_alone() {
    let sandbox = Sandbox::new();
    let mut dora = sandbox.dora();
    dora.args(["run", "tests/graphs/two_cameras.yml"]).env("GANTRY_TEST_JSONL", sandbox.out());
    let done = sandbox.run(dora, 120);
    done.assert_code(0);
    let readings = lines(&sandbox.out());
    for camera in ["gate", "road"] {
        assert!(readings.iter().any(|r| r["camera"] == camera), "no reading of `{camera}`\n{}", done.stderr);
    }
    sandbox.assert_nothing_left();
}
