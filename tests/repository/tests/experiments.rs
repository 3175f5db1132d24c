//! The experiments of `graphs/experiments` that differ from `graphs/read.yml` in parameters only are written from it, so that they
//! differ in nothing else. `cargo xtask generate` writes them.

use gantry_repository_tests::{files, root};
use std::fmt::Write;

/// A graph: its name, what it tries, and what is set in which node.
struct Experiment {
    name: &'static str,
    about: &'static str,
    set: &'static [(&'static str, &'static str, &'static str)],
}

const fn one(name: &'static str, about: &'static str, set: &'static [(&'static str, &'static str, &'static str)]) -> Experiment {
    Experiment { name, about, set }
}

const EXPERIMENTS: &[Experiment] = &[
    one("preprocessing_none", "Preprocessing: the reader sees the grey crop as it is.", &[("enhance", "OPERATORS", "\"\"")]),
    one("preprocessing_clahe", "Preprocessing: the crop and CLAHE.", &[("enhance", "OPERATORS", "clahe")]),
    one("preprocessing_equalize", "Preprocessing: the crop and histogram equalisation.", &[("enhance", "OPERATORS", "equalize")]),
    one(
        "preprocessing_adaptive_threshold",
        "Preprocessing: the crop and an adaptive threshold.",
        &[("enhance", "OPERATORS", "adaptive_threshold")],
    ),
    one(
        "preprocessing_morphology",
        "Preprocessing: the crop and a morphological gradient of it.",
        &[("enhance", "OPERATORS", "morphology")],
    ),
    one("preprocessing_sharpen", "Preprocessing: the crop and an unsharp mask of it.", &[("enhance", "OPERATORS", "sharpen")]),
    one(
        "preprocessing_all",
        "Preprocessing: every crop and all five operators of it; graphs/read.yml runs two of them, in turn, on later crops of a track.",
        &[("enhance", "OPERATORS_PER_CROP", "0")],
    ),
    one("voting_whole_string", "Voting: whole texts are voted on, not characters.", &[("vote", "RULE", "whole_string")]),
    one("voting_best_frame", "Voting: none; the text of the heaviest read stands.", &[("vote", "RULE", "best_frame")]),
    one("voting_originals", "Voting: pictures that operators made have no vote.", &[("vote", "VARIANTS", "false")]),
    one("voting_no_layouts", "Voting: look-alikes (O/0, I/1, ...) stay as they were read.", &[("vote", "SYNTAX", "false")]),
    one("tracker_iou", "Tracker: no motion, each box goes on with the nearest of the next frame.", &[("track", "TRACKER", "iou")]),
    one(
        "gate_open",
        "Gate: every plate is read from its first frame on, sure or not.",
        &[("crop", "MIN_TRACK_FRAMES", "1"), ("crop", "MIN_PLATE_CONFIDENCE", "0.4")],
    ),
    one(
        "gate_strict",
        "Gate: a plate is read after 15 frames and only where the detector is very sure.",
        &[("crop", "MIN_TRACK_FRAMES", "15"), ("crop", "MIN_PLATE_CONFIDENCE", "0.9")],
    ),
    one("gate_every_frame", "Gate: a plate is read in every frame, not in every second.", &[("crop", "READ_EVERY_FRAMES", "1")]),
    one(
        "detector_640",
        "Detector: the same weights at 640x384, 0.47 times the pixels.",
        &[("resize", "WIDTH", "640"), ("resize", "HEIGHT", "384"), ("detect", "MODEL", "../../models/detector_640.onnx")],
    ),
    one(
        "detector_1280",
        "Detector: the same weights at 1280x736, 1.8 times the pixels.",
        &[("resize", "WIDTH", "1280"), ("resize", "HEIGHT", "736"), ("detect", "MODEL", "../../models/detector_1280.onnx")],
    ),
];

/// `graphs/read.yml` with what the experiment sets.
fn graph(read: &str, experiment: &Experiment) -> String {
    let Experiment { name, about, set } = experiment;
    let mut text = format!(
        "# {about}\n#\n#   gantry compare graphs/read.yml graphs/experiments/{name}.yml --recording run.mcap\n#\n# Written from graphs/read.yml by `cargo xtask generate` (tests/repository/tests/experiments.rs); this differs:\n#\n"
    );
    for (node, key, value) in *set {
        let _ = writeln!(text, "#   {node}.{key}={}", value.trim_matches('"'));
    }
    let body = read.split_once("\nenv:\n").expect("read.yml has an `env`").1;
    let lines: Vec<String> = body.lines().filter(|l| !l.trim_start().starts_with('#')).map(|l| l.replace("../", "../../")).collect();
    let mut body = format!("\nenv:\n{}\n", lines.join("\n"));
    for (node, key, value) in *set {
        body = with(&body, node, key, value);
    }
    text + &body
}

/// Sets a parameter of the node whose id is `node`, or that of its first camera.
fn with(body: &str, node: &str, key: &str, value: &str) -> String {
    let heads = [format!("  - id: {node}\n"), format!("  - id: {node}_cam0\n")];
    let start = heads.iter().find_map(|head| body.find(head.as_str())).unwrap_or_else(|| panic!("read.yml has no node `{node}`"));
    let end = body[start..].find("\n\n").map_or(body.len(), |at| start + at + 1);
    let mut block = body[start..end].to_owned();
    let line = format!("      {key}: {value}\n");
    if let Some(at) = block.find(&format!("      {key}: ")) {
        let stop = at + block[at..].find('\n').expect("a line ends") + 1;
        block.replace_range(at..stop, &line);
    } else {
        if !block.contains("    env:\n") {
            block.push_str("    env:\n");
        }
        block.push_str(&line);
    }
    format!("{}{block}{}", &body[..start], &body[end..])
}

#[test]
fn every_experiment_is_read_yml_with_its_parameters() {
    let read = std::fs::read_to_string(root().join("graphs/read.yml")).expect("graphs/read.yml is there");
    for experiment in EXPERIMENTS {
        let path = root().join("graphs/experiments").join(experiment.name).with_extension("yml");
        let wanted = graph(&read, experiment);
        if std::env::var_os("GANTRY_REGENERATE").is_some() {
            std::fs::write(&path, &wanted).expect("the tree can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "{} differs from graphs/read.yml in more than its parameters; run `cargo xtask generate`", path.display());
    }
}

#[test]
fn the_menu_lists_every_experiment() {
    let menu = std::fs::read_to_string(root().join("graphs/experiments/README.md")).expect("graphs/experiments/README.md is there");
    for graph in files("graphs/experiments", "yml") {
        let name = graph.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(menu.contains(&format!("]({name})")), "graphs/experiments/README.md does not list {name}");
    }
}
