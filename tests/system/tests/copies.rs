//! A graph declares how many copies of each frame its nodes may make, and keeps to it.

use gantry_system_tests::{Sandbox, clip, odd_inputs, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `GANTRY_COPIES_PER_FRAME` of `graphs/read.yml`, which `gantry read` starts.
fn declared() -> u64 {
    declared_by("graphs/read.yml")
}

fn declared_by(graph: &str) -> u64 {
    let text = std::fs::read_to_string(root().join(graph)).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("GANTRY_COPIES_PER_FRAME:"));
    line.expect("the graph declares a budget").trim().parse().unwrap()
}

/// Copies in which the CPU has a part, by node and edge, and the frames that were decoded.
fn copied(stats: &BTreeMap<String, Value>) -> (BTreeMap<String, u64>, u64) {
    let mut copies = BTreeMap::new();
    for (node, stats) in stats {
        for (edge, counted) in stats["copies"].as_object().into_iter().flatten() {
            let of_host: u64 = ["on_host", "to_card", "from_card"].iter().map(|way| counted[way].as_u64().unwrap()).sum();
            copies.insert(format!("{node}/{edge}"), of_host);
        }
    }
    (copies, stats["decode_cam0"]["buffers_made"]["decode_cam0/frames"]["published"].as_u64().unwrap())
}

/// What breaks the budget: every edge with its copies per frame.
fn within(budget: u64, stats: &BTreeMap<String, Value>) -> Result<(), String> {
    let (copies, frames) = copied(stats);
    if copies.values().sum::<u64>() <= budget * frames {
        return Ok(());
    }
    let edges: Vec<_> = copies.iter().map(|(edge, n)| format!("{edge}: {:.2}", *n as f64 / frames as f64)).collect();
    Err(format!("{} copies per frame, {budget} declared", edges.join(", ")))
}

fn read(source: PathBuf) -> BTreeMap<String, Value> {
    let sandbox = Sandbox::new();
    let mut command = sandbox.read([source]);
    command.args(["--seconds", "2", "--keep-run"]);
    sandbox.run(command, 180).assert_code(0);
    sandbox.stats()
}

#[test]
fn the_graph_of_the_cpu_copies_no_frame() {
    let stats = read(clip("gate_day.mp4"));
    assert_eq!(declared(), 0);
    assert_eq!(within(declared(), &stats), Ok(()));
    assert!(copied(&stats).1 >= 50, "nothing was decoded: {:?}", stats["decode_cam0"]);
    for node in ["decode_cam0", "resize_cam0", "crop", "enhance"] {
        assert_eq!(stats[node]["memory"], "host memory: this node makes its frames on the CPU", "{node}");
    }
}

#[test]
fn a_graph_that_copies_more_than_it_declares_is_found_out_with_the_edge() {
    // Turned upright: the decoder cannot do that in place.
    let stats = read(odd_inputs().join("rotated.mp4"));
    let (copies, frames) = copied(&stats);
    assert_eq!(copies, BTreeMap::from([("decode_cam0/frames".to_owned(), frames)]));
    assert_eq!(within(declared(), &stats), Err("decode_cam0/frames: 1.00 copies per frame, 0 declared".to_owned()));
    assert_eq!(within(1, &stats), Ok(()));
}

#[test]
fn graphs_of_the_card_declare_no_copy_or_the_one_small_upload() {
    // What they really make is counted on a card: tests/gpu/run.sh, `graph:plates`.
    for (graph, copies) in [("read", 0), ("site-8", 0), ("site-32", 0), ("upload", 1)] {
        assert_eq!(declared_by(&format!("graphs/gpu/{graph}.yml")), copies, "{graph}");
    }
}
