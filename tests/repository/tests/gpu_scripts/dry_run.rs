//! tests/gpu/dry_run.sh: what counts as stopped at the card, and what as failed.

use crate::run::Pack;
use crate::{said, script};
use std::process::Output;

/// A node folder that is there, and Python scripts in the places of the graph's checks that end with these words.
fn graph(words: &str) -> Pack {
    let pack = Pack::new("full");
    pack.program("target/release/gantry", "");
    for name in ["plates.py", "streams.py"] {
        pack.program(name, &format!("import sys\nsys.exit({words:?})\n"));
    }
    pack
}

fn dry_run(pack: &Pack, only: &str) -> Output {
    pack.command(&script("dry_run.sh")).arg(pack.folder()).env("SHIM", "no").env("ONLY", only).output().unwrap()
}

const STOPPED: &str =
    "Failed to load library /p/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file";

#[test]
fn a_graph_may_stop_where_onnx_runtime_asks_for_the_card() {
    let pack = graph(&format!("gantry read --graph graphs/gpu/read.yml --out x ended with 1:\n{STOPPED}"));
    let output = dry_run(&pack, "good: graph: chaos");
    assert!(output.status.success(), "{}", said(&output));
    for row in [
        "| good:one | passed over the shim |",
        "| graph:plates | stopped at the card: Failed to load library",
        "| graph:streams | stopped at",
    ] {
        assert!(said(&output).contains(row), "no `{row}` in\n{}", said(&output));
    }
}

#[test]
fn a_graph_that_stops_earlier_fails_the_dry_run() {
    let output = dry_run(&graph("decode: no decoder"), "graph:streams");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("| graph:streams | FAILED: FAIL (1), decode: no decoder |"), "{}", said(&output));
    let output = dry_run(&graph(&format!("gantry read --graph graphs/read.yml ended with 1:\n{STOPPED}")), "graph:plates");
    assert_eq!(output.status.code(), Some(1), "the graph of the CPU needs no card: {}", said(&output));
}

#[test]
fn any_other_check_has_to_pass() {
    let pack = Pack::new("checks");
    pack.program("gantry-chaos", "#!/bin/sh\necho 'CUDA failure 100'\nexit 1\n");
    let output = dry_run(&pack, "good: chaos");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("| chaos:cuda_ipc | FAILED: FAIL (1), CUDA failure 100 |"), "{}", said(&output));
    assert!(!dry_run(&pack, "nothing").status.success(), "nothing was checked");
}
