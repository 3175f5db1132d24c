//! Pixels inside messages, as between two machines: the readings are those of the graph that passes handles on.

use gantry_system_tests::{Sandbox, clip, program, root};
use serde_json::Value;
use std::path::PathBuf;

const SECONDS: [&str; 2] = ["--seconds", "4"];

fn text() -> String {
    std::fs::read_to_string(root().join("tests/graphs/pixels.yml")).unwrap()
}

/// The graph in the sandbox, with `edit` done to its text.
fn graph(sandbox: &Sandbox, edit: impl Fn(String) -> String) -> PathBuf {
    let programs = program("gantry").parent().unwrap().display().to_string();
    let text = edit(text())
        .replace("path: bin/", &format!("path: {programs}/"))
        .replace("../../models", &root().join("models").display().to_string());
    let graph = sandbox.path("graph.yml");
    std::fs::write(&graph, text).unwrap();
    graph
}

fn read(sandbox: &Sandbox, graph: Option<&PathBuf>) -> String {
    let mut command = sandbox.read([clip("gate_day.mp4"), clip("road_day.mp4")]);
    command.args(SECONDS).arg("--keep-run");
    if let Some(graph) = graph {
        command.arg("--graph").arg(graph);
    }
    sandbox.run(command, 180).assert_code(0);
    std::fs::read_to_string(sandbox.out()).unwrap()
}

fn number(stats: &Value, path: &str) -> u64 {
    stats.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

#[test]
fn pixels_in_messages_give_the_readings_of_handles_and_two_copies_per_frame() {
    let handles = Sandbox::new();
    let wanted = read(&handles, None);
    assert!(wanted.lines().count() > 1);
    let sandbox = Sandbox::new();
    let graph = graph(&sandbox, |text| text);
    assert_eq!(read(&sandbox, Some(&graph)), wanted);
    let stats = sandbox.stats();
    for camera in ["cam0", "cam1"] {
        let frames = number(&stats[&format!("decode_{camera}")], &format!("/buffers_made/decode_{camera}~1frames/published"));
        assert!(frames >= 100, "{frames}");
        for node in ["pack", "unpack"] {
            let stats = &stats[&format!("{node}_{camera}")];
            assert_eq!(
                (number(stats, "/copies/pixels/on_host"), number(stats, "/copies/pixels/bytes")),
                (frames, frames * 3_110_400),
                "{node}: {stats}"
            );
            assert_eq!(stats["counters"]["sent_again"], Value::Null, "no message was lost");
        }
    }
    assert!(text().contains("GANTRY_COPIES_PER_FRAME: 2"), "what the graph declares");
    sandbox.assert_nothing_left();
}

#[test]
fn pixels_that_are_lost_doubled_and_swapped_on_their_way_change_nothing() {
    let undisturbed = Sandbox::new();
    let wanted = read(&undisturbed, None);
    let sandbox = Sandbox::new();
    let shim = "  - id: shim_cam0
    path: bin/unreliable
    inputs:
      tick: dora/timer/millis/500
      pixels: { source: pack_cam0/pixels, queue_size: 256, queue_policy: backpressure }
    outputs: [pixels]
    env: { FAULTS: all }

  - id: unpack_cam0
";
    let graph = graph(&sandbox, |text| {
        let text = text.replace("pixels: { source: pack_cam0/pixels", "pixels: { source: shim_cam0/pixels");
        let before = "  - id: unpack_cam0\n";
        assert_eq!(text.matches(before).count(), 1);
        text.replace(before, shim)
    });
    assert_eq!(read(&sandbox, Some(&graph)), wanted);
    let stats = sandbox.stats();
    let count = |node: &str, name: &str| number(&stats[node], &format!("/counters/{name}"));
    for camera in ["cam0", "cam1"] {
        let lost = count(&format!("shim_{camera}"), "lost_rows");
        assert!(lost >= 20, "the fault has fired: {lost} rows were lost");
        assert!(count(&format!("pack_{camera}"), "sent_again") >= lost, "{}", stats[&format!("pack_{camera}")]);
        assert!(count(&format!("unpack_{camera}"), "repeated") > 0 && count(&format!("unpack_{camera}"), "asked_again") > 0);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_graph_without_credit_is_refused_before_anything_starts() {
    let sandbox = Sandbox::new();
    let graph = graph(&sandbox, |text| {
        text.replace("      credit: { source: unpack_cam0/credit, queue_size: 256, queue_policy: backpressure }\n", "")
    });
    let mut command = sandbox.read([clip("gate_day.mp4")]);
    command.arg("--graph").arg(graph);
    let done = sandbox.run(command, 60);
    assert_ne!(done.code(), 0);
    done.assert_says(&["input `credit` is not connected", "hint: "]);
    sandbox.assert_nothing_left();
}
