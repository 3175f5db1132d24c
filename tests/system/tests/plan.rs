//! `gantry plan`: what a site will ask of the machine, as written down and as measured.

use gantry_system_tests::{Finished, Sandbox, clip};
use serde_json::Value;

const SITE: &str = "graphs/sites/car_park.yml";

fn plan(sandbox: &Sandbox, more: &[&str]) -> Finished {
    sandbox.run(sandbox.gantry(["plan", SITE].iter().chain(more)), 120)
}

fn json(sandbox: &Sandbox, more: &[&str]) -> Value {
    let finished = plan(sandbox, &[&["--json"], more].concat());
    finished.assert_code(0);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|e| panic!("{e}\n{}", finished.stdout))
}

fn cores(plan: &Value, kind: &str) -> f64 {
    let nodes = plan["nodes"].as_array().unwrap().iter().filter(|node| node["kind"] == *kind);
    nodes.map(|node| node["cores"].as_f64().unwrap()).sum()
}

#[test]
fn the_table_says_load_memory_and_how_large_plates_will_be() {
    let sandbox = Sandbox::new();
    let finished = plan(&sandbox, &["--view", "entry_north:width_m=4.5", "--view", "exit_north:plate_px=50"]);
    finished.assert_code(0);
    for says in ["222x47", "read well", "too small", "cores", "MB, with every buffer written", "figures: docs/performance.md"] {
        assert!(finished.stdout.contains(says), "no `{says}` in\n{}", finished.stdout);
    }
    for says in [
        "warning: camera `exit_north`: plates 11 px high and 50 px wide are too small to read; zoom in",
        "warning: plate size of 2 of 4 cameras unknown",
    ] {
        assert!(finished.stdout.contains(says), "no `{says}` in\n{}", finished.stdout);
    }
}

#[test]
fn json_has_all_of_the_table_and_a_measured_clip_takes_the_place_of_what_was_written_down() {
    let sandbox = Sandbox::new();
    let written = json(&sandbox, &[]);
    assert_eq!(written["cameras"].as_array().unwrap().len(), 4);
    assert_eq!(written["cameras"][0]["size_from"], "read from the file");
    let sum: f64 = written["nodes"].as_array().unwrap().iter().map(|node| node["cores"].as_f64().unwrap()).sum();
    assert!((sum - written["cores"].as_f64().unwrap()).abs() < 1e-9, "{written}");
    let pools: u64 = written["pools"].as_array().unwrap().iter().map(|pool| pool["megabytes"].as_u64().unwrap()).sum();
    assert!(written["memory_mb"].as_u64().unwrap() > pools && pools > 100, "{written}");

    let file = clip("gate_day.mp4");
    let measured = json(&sandbox, &["--measure", file.to_str().unwrap()]);
    assert!(measured["figures_from"].as_str().unwrap().starts_with("measured here: decode "), "{}", measured["figures_from"]);
    // Whatever machine this is, it is not the one of the page to the last digit.
    for kind in ["decode", "detect", "recognize"] {
        assert!(cores(&measured, kind) > 0.0 && cores(&measured, kind) != cores(&written, kind), "{kind}: {measured}");
    }
    assert_eq!(measured["pools"], written["pools"]);
}

#[test]
fn what_cannot_be_planned_is_said() {
    let sandbox = Sandbox::new();
    for (more, says) in [
        (["--view", "gate:width_m=4"], "there is no camera `gate`"),
        (["--view", "entry_north:width_m=wide"], "`--view entry_north:width_m=wide`"),
        (["--view", "entry_north"], "no `camera:view`"),
        (["--plate-mm", "520"], "width x height in mm"),
        (["--measure", "Cargo.toml"], "Cargo.toml"),
    ] {
        let finished = plan(&sandbox, &more);
        assert_ne!(finished.code(), 0, "{more:?}");
        finished.assert_says(&[says]);
    }
}
