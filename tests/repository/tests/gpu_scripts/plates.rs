//! tests/gpu/plates.py over a stand-in for `gantry read`.

use crate::{program, said, script};
use std::process::Output;

/// Writes a plate, and a run folder whose log says what the models ran on: the card where it is seen, or whatever `MODELS` says for the graph of the CPU.
const GANTRY: &str = r##"#!/usr/bin/env python3
import json, os, pathlib, sys, tempfile
words = sys.argv
out, graph = (pathlib.Path(words[words.index(name) + 1]) for name in ("--out", "--graph"))
seen = os.environ.get("CUDA_VISIBLE_DEVICES") != "-1"
device = "cuda" if seen else os.environ.get("MODELS", "cpu")
out.write_text(json.dumps({"camera": "gate", "plate": os.environ.get("ON_CARD", "AB12") if seen else "AB12"}) + "\n")
run = pathlib.Path(tempfile.mkdtemp())
(run / "stats").mkdir()
memory = {"memory": "CUDA memory (VMM descriptor): round trip"} if seen else {}
copies = {"frames": {"on_host": 0, "to_card": int(os.environ.get("COPIED", 0)), "from_card": 0}}
stats = {"node": "decode", "kind": "decode", "buffers_made": {"frames": {"published": 9}}, "copies": copies, **memory}
(run / "stats/decode.json").write_text(json.dumps(stats))
(run / "dora.log").write_text("INFO   detect: daemon node is ready\n")
(run / "out/id").mkdir(parents=True)
for node, model in [("detect", "detector"), ("recognize", "reader")]:
    said = {"node": node, "msg": f" INFO {node}: {model} is ready device={device} memory=\"x\""}
    (run / f"out/id/log_{node}.jsonl").write_text(json.dumps(said) + "\n")
"##;

fn compare(environment: &[(&str, &str)]) -> Output {
    let at = tempfile::tempdir().unwrap();
    program(&at.path().join("gantry"), GANTRY);
    let mut command = std::process::Command::new("python3");
    command
        .arg(script("plates.py"))
        .arg("--gantry")
        .arg(at.path().join("gantry"))
        .args(["--cpu", "cpu.yml", "--card", "card.yml", "clip.mp4"]);
    command.arg("--out").arg(at.path().join("out")).env_remove("CUDA_VISIBLE_DEVICES").envs(environment.iter().copied());
    command.output().unwrap()
}

#[test]
fn the_same_plates_and_no_copy_pass() {
    let output = compare(&[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("1 plates by the CPU, 1 by the card, 0 missing, 0 others; 9 frames"), "{}", said(&output));
}

#[test]
fn another_plate_or_a_copied_frame_fails() {
    for different in [("ON_CARD", "AB13"), ("COPIED", "1")] {
        let output = compare(&[different]);
        assert_eq!(output.status.code(), Some(1), "{different:?}: {}", said(&output));
    }
}

#[test]
fn a_graph_of_the_cpu_whose_models_ran_on_the_card_proves_nothing_and_fails() {
    let output = compare(&[("MODELS", "cuda")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the models of the graph of the cpu ran on {'detector': 'cuda', 'reader': 'cuda'}"),
        "{}",
        said(&output)
    );
}
