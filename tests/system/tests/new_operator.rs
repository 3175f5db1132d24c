//! `cargo xtask new-operator` makes a crate that builds, passes its test and is loaded by `enhance`.

use gantry_system_tests::{Sandbox, clip, lines, program};
use std::path::Path;

#[test]
fn a_new_operator_builds_as_it_stands_and_its_variant_is_voted_on() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("far_away");
    let mut new = sandbox.command(program("xtask"));
    new.args(["new-operator", "far_away"]).arg(&folder);
    sandbox.run(new, 30).assert_code(0);
    // The same target folder as the project's: its dependencies are compiled already.
    let release = program("gantry").parent().unwrap().to_owned();
    let target = release.parent().unwrap_or(Path::new(".")).to_owned();
    for arguments in [&["build", "--release"][..], &["test", "--release", "--lib"]] {
        let mut cargo = sandbox.command("cargo");
        cargo.args(arguments).args(["--offline", "--quiet", "--target-dir"]).arg(&target).current_dir(&folder);
        sandbox.run(cargo, 400).assert_code(0);
    }
    let library = release.join("libgantry_operator_far_away.so");
    assert!(library.is_file());
    let mut command = sandbox.read([clip("gate_day.mp4")]);
    command.args(["--seconds", "2.5", "--set", "enhance.OPERATORS=clahe,far_away", "--set", "enhance.OPTIONS=far_away.gain=1.8"]);
    let done = sandbox.run(command, 120);
    std::fs::remove_file(&library).unwrap();
    done.assert_code(0);
    let votes: Vec<String> = lines(&sandbox.out())
        .iter()
        .flat_map(|r| r["votes"].as_array().unwrap().clone())
        .map(|v| v["variant"].as_str().unwrap().to_owned())
        .collect();
    assert!(votes.iter().any(|v| v == "far_away") && votes.iter().any(|v| v == "clahe"), "{votes:?}");
}

#[test]
fn names_that_are_none_are_refused() {
    let sandbox = Sandbox::new();
    for name in ["Clahe", "original", "9a", ""] {
        let mut new = sandbox.command(program("xtask"));
        new.args(["new-operator", name]).arg(sandbox.path("x"));
        let done = sandbox.run(new, 30);
        done.assert_code(1);
        done.assert_says(&["is no name for an operator"]);
        assert!(!sandbox.path("x").exists());
    }
}
