//! Buffers are accounted for, and rows come once and in order whatever the transport does to the messages.

use gantry_system_tests::{Sandbox, clip, program, root};
use serde_json::Value;

#[test]
fn every_frame_that_was_published_is_accounted_for_by_each_reader() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.read([clip("gate_day.mp4"), clip("road_day.mp4")]);
    command.args(["--seconds", "3", "--keep-run"]);
    sandbox.run(command, 180).assert_code(0);
    let stats = sandbox.stats();
    let made = |output: &str| {
        let node = output.split('/').next().unwrap_or_default();
        stats[node]["buffers_made"][output]["published"].as_u64().unwrap_or_else(|| panic!("{output}: {}", stats[node]))
    };
    for camera in ["cam0", "cam1"] {
        assert_eq!((made(&format!("decode_{camera}/frames")), made(&format!("resize_{camera}/images"))), (90, 90));
    }
    assert_eq!(made("crop/crops"), made("enhance/crops"));
    // One row per frame and one for the end of each camera.
    assert_eq!(stats["crop"]["rows_out"]["crops"], 2 * 91);
    let mut edges = Vec::new();
    for (node, stats) in &stats {
        for (output, read) in stats["buffers_read"].as_object().into_iter().flatten() {
            let count = |name: &str| read[name].as_u64().unwrap_or_else(|| panic!("{node} {output}: {read}"));
            assert_eq!(count("published"), made(output), "{node} reads {output}");
            assert_eq!((count("stale"), count("refused")), (0, 0), "{node} reads {output}: nothing is lost in a lossless run");
            if node == "crop" {
                // It looks only at frames that have a plate to be read, and tells of every frame all the same.
                assert!((1..90).contains(&count("used")), "{node} reads {output}: {read}");
            } else {
                assert_eq!((count("used"), count("dropped")), (made(output), 0), "{node} reads {output}");
            }
            edges.push(format!("{node} < {output}"));
        }
        for name in ["repeated_rows", "recovered_rows"] {
            assert_eq!(stats["counters"][name], Value::Null, "{node}: no message was lost or came twice");
        }
    }
    assert_eq!(edges.len(), 8, "{edges:?}");
    sandbox.assert_nothing_left();
}

/// Runs `graphs/read.yml` with `unreliable` between `detect` and `track`.
fn read_through(unreliable: &str) -> (Sandbox, gantry_system_tests::Finished) {
    let sandbox = Sandbox::new();
    let text = std::fs::read_to_string(root().join("graphs/read.yml")).unwrap();
    let programs = program("gantry").parent().unwrap().display().to_string();
    let shim = format!(
        "  - id: shim\n    path: {programs}/unreliable\n    inputs:\n      tick: dora/timer/millis/500\n      detections: {{ source: detect/detections, queue_size: 256, \
         queue_policy: backpressure }}\n    outputs: [detections]\n    env: {{ FAULTS: {unreliable} }}\n\n  - id: track\n"
    );
    let text = text
        .replace("path: bin/", &format!("path: {programs}/"))
        .replace("../models", &root().join("models").display().to_string())
        .replace("  - id: track\n", &shim)
        .replace(
            "detections: { source: detect/detections, queue_size: 256, queue_policy: backpressure }\n    outputs: [tracks]",
            "detections: { source: shim/detections, queue_size: 256, queue_policy: backpressure }\n    outputs: [tracks]",
        );
    let graph = sandbox.path("graph.yml");
    std::fs::write(&graph, text).unwrap();
    let mut command = sandbox.read([clip("gate_day.mp4")]);
    command.args(["--seconds", "6", "--keep-run", "--graph"]).arg(graph);
    let done = sandbox.run(command, 180);
    (sandbox, done)
}

#[test]
fn messages_that_come_twice_and_out_of_order_change_nothing() {
    let readings = |(sandbox, done): (Sandbox, gantry_system_tests::Finished)| {
        done.assert_code(0);
        let repeated = sandbox.stats()["track"]["counters"]["repeated_rows"].as_u64().unwrap_or(0);
        (std::fs::read_to_string(sandbox.out()).unwrap(), repeated)
    };
    let (undisturbed, none) = readings(read_through("none"));
    assert!(!undisturbed.is_empty() && none == 0);
    let (disturbed, repeated) = readings(read_through("repeat+swap"));
    assert!(repeated > 30, "the fault has fired: {repeated} rows came twice");
    assert_eq!(disturbed, undisturbed);
}

#[test]
fn a_message_that_is_lost_fails_the_run_and_names_the_frame() {
    let (_sandbox, done) = read_through("lose");
    done.assert_code(1);
    assert!(done.stderr.contains("input `detections`: frame 8 of camera `gate_day` never came"), "{}", done.stderr);
}
