//! The long proofs of the buffer handles. A tool that is missing is a failure, unless `--skip-missing` is given.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::steps::{cargo, root, run, say};

/// Runs all of them, says how each ended, and fails if one did.
pub fn all(arguments: &[String]) -> Result<(), String> {
    let skip_missing = match arguments {
        [] => false,
        [flag] if flag == "--skip-missing" => true,
        other => return Err(format!("unknown arguments `{}`, known is --skip-missing", other.join(" "))),
    };
    let fuzz = |target: &'static str| {
        let step = cargo("fuzz").args(["run", target, "--", "-max_total_time=120"]);
        (target, Some(("fuzz", "cargo install cargo-fuzz --locked")), step.env("RUSTC_BOOTSTRAP", "1"))
    };
    let mutants = cargo("mutants")
        .args(["-p", "gantry-frames", "-f", "runtime/frames/src/word.rs", "-f", "runtime/frames/src/handle.rs"])
        .args(["--profile", "release", "-o"])
        .arg(root().join("target/mutants"))
        .args(["--", "--lib"]);
    let proofs = [
        (
            "chaos, 10000 kills",
            None,
            cargo("run").args(["--release", "-p", "gantry-chaos", "--", "--kills", "10000", "--seconds", "3600", "--seed", "1"]),
        ),
        ("loom, every interleaving", None, cargo("test").args(["--release", "-p", "gantry-frames", "--test", "loom_word"])),
        (
            "proptest, 20000 cases",
            None,
            cargo("test").args(["--release", "-p", "gantry-frames", "--lib", "--tests"]).env("PROPTEST_CASES", "20000"),
        ),
        fuzz("handle"),
        fuzz("wire"),
        ("mutants of word and handle", Some(("mutants", "cargo install cargo-mutants --locked")), mutants),
    ];
    let mut failed = Vec::new();
    for (name, tool, step) in proofs {
        say(&format!("proof: {name}"));
        let missing = tool.filter(|(tool, _)| !is_installed(tool));
        let ended = match missing {
            Some((tool, install)) if skip_missing => {
                say(&format!("skipped: cargo-{tool} is missing, `{install}` brings it"));
                continue;
            }
            Some((tool, install)) => Err(format!("cargo-{tool} is missing, `{install}` brings it")),
            None => run(step),
        };
        match ended {
            Ok(()) => say(&format!("holds: {name}")),
            Err(why) => {
                say(&format!("failed: {name}: {why}"));
                failed.push(format!("{name}: {why}"));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("{} proofs failed\n  {}", failed.len(), failed.join("\n  "))) }
}

fn is_installed(tool: &str) -> bool {
    let program = format!("cargo-{tool}");
    let found = |dir: &Path| dir.join(&program).is_file();
    let on_path = std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| found(&dir)));
    on_path
        && Command::new("cargo").args([tool, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
