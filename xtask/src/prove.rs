//! The proofs of the buffer handles (docs/handles.md), one after the other, long or with short settings.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::steps::{Step, cargo, root, run, say};

/// What one proof needs beyond the project's own tools.
enum Needs {
    Nothing,
    /// A cargo command, and what brings it.
    Tool(&'static str, &'static str),
    /// A cargo command that is a component of a nightly toolchain, which not every machine can get. Where it is missing this says so and
    /// is no failure.
    Nightly(&'static str, &'static str),
}

struct Proof {
    name: &'static str,
    needs: Needs,
    step: Step,
}

/// Runs all of them, says how each ended, and fails if one did.
pub fn all(arguments: &[String]) -> Result<(), String> {
    let (mut short, mut skip_missing, mut wanted) = (false, false, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--short" => short = true,
            "--skip-missing" => skip_missing = true,
            name if !name.starts_with('-') => wanted.push(name),
            other => return Err(format!("unknown argument `{other}`, known are --short, --skip-missing and names of proofs")),
        }
    }
    let mut proofs = proofs(short);
    if let Some(unknown) = wanted.iter().find(|name| proofs.iter().all(|proof| proof.name != **name)) {
        let names: Vec<&str> = proofs.iter().map(|proof| proof.name).collect();
        return Err(format!("there is no proof `{unknown}`, there are {}", names.join(", ")));
    }
    proofs.retain(|proof| wanted.is_empty() || wanted.contains(&proof.name));
    let mut ends = Vec::new();
    let mut failed = 0;
    for Proof { name, needs, step } in proofs {
        say(&format!("proof: {name}"));
        let started = std::time::Instant::now();
        let end = match needs {
            Needs::Tool(tool, install) if !has_command(tool) => {
                failed += usize::from(!skip_missing);
                format!("{}: cargo-{tool} is missing, `{install}` brings it", if skip_missing { "skipped" } else { "FAILED" })
            }
            Needs::Nightly(tool, install) if !has_nightly(tool) => {
                format!("cannot run here: nightly has no `cargo {tool}`; `{install}` brings it where the toolchain's server can be reached")
            }
            _ => match run(step) {
                Ok(()) => format!("holds, {:.0?}", started.elapsed()),
                Err(why) => {
                    failed += 1;
                    format!("FAILED after {:.0?}: {why}", started.elapsed())
                }
            },
        };
        say(&format!("proof: {name}: {end}"));
        ends.push(format!("  {name:<10} {end}"));
    }
    say(&format!("{} proofs\n{}", ends.len(), ends.join("\n")));
    if failed == 0 { Ok(()) } else { Err(format!("{failed} proofs failed")) }
}

/// `short`: minutes instead of hours. `cargo xtask test` contains chaos, model, loom and seeds with the same short settings.
fn proofs(short: bool) -> Vec<Proof> {
    let pick = |long: &'static str, brief: &'static str| if short { brief } else { long };
    let frames = || cargo("test").args(["--release", "-p", "gantry-frames"]);
    let mut proofs = vec![
        Proof {
            name: "chaos",
            needs: Needs::Nothing,
            step: cargo("run").args([
                "--release",
                "-p",
                "gantry-chaos",
                "--",
                "--kills",
                pick("10000", "200"),
                "--seconds",
                "3600",
                "--seed",
                "1",
            ]),
        },
        Proof {
            name: "hostile",
            needs: Needs::Nothing,
            step: cargo("test").args(["--release", "-p", "gantry-chaos", "--test", "hostile"]),
        },
        Proof {
            name: "loom",
            needs: Needs::Nothing,
            step: frames().args(["--test", "loom_word"]).env("GANTRY_LOOM_PREEMPTIONS", pick("4", "2")),
        },
        Proof {
            name: "model",
            needs: Needs::Nothing,
            step: frames().args(["--lib", "--tests"]).env("PROPTEST_CASES", pick("20000", "256")),
        },
        Proof { name: "seeds", needs: Needs::Nothing, step: cargo("test").args(["--release", "-p", "gantry-chaos", "--test", "seeds"]) },
        fuzz("handle", short),
        fuzz("wire", short),
        threads(),
        miri(),
    ];
    if !short {
        proofs.push(mutants());
    }
    proofs
}

/// Coverage-guided noise. New findings go to fuzz/corpus, which is not kept; fuzz/seeds is.
fn fuzz(target: &'static str, short: bool) -> Proof {
    let (corpus, seeds) = (root().join("fuzz/corpus").join(target), root().join("fuzz/seeds").join(target));
    // libFuzzer wants it to be there.
    if let Err(error) = std::fs::create_dir_all(&corpus) {
        say(&format!("{}: {error}", corpus.display()));
    }
    let step = cargo("fuzz").args(["run", target]).arg(corpus).arg(seeds).arg("--");
    let step = step.arg(if short { "-max_total_time=10" } else { "-max_total_time=120" }).env("RUSTC_BOOTSTRAP", "1");
    let name = if target == "handle" { "fuzz" } else { "fuzz-wire" };
    Proof { name, needs: Needs::Tool("fuzz", "cargo install cargo-fuzz --locked"), step }
}

/// ThreadSanitizer over words, pages and pixels in one mapping that threads share without a lock. The standard library of the stable
/// toolchain is not instrumented: whatever waits for a lock of it, frees an `Arc` or uses a channel would be reported, rightly ordered or
/// not (docs/handles.md). rustix goes over libc here, for TSan sees only there which memory was unmapped.
fn threads() -> Proof {
    let suppressions = root().join("runtime/frames/tests/tsan.txt");
    let step = cargo("test")
        .args(["--release", "-p", "gantry-frames", "--lib", "--target", "x86_64-unknown-linux-gnu", "--target-dir"])
        .arg(root().join("target/tsan"))
        .args(["--", "one_mapping"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg rustix_use_libc")
        .env("TSAN_OPTIONS", &format!("suppressions={}", suppressions.display()));
    Proof { name: "threads", needs: Needs::Nothing, step }
}

/// What needs no system call: layouts, the handle's bytes, the word, windows of seqs, the wire.
fn miri() -> Proof {
    let step = Step::new("rustup")
        .args([
            "run",
            "nightly",
            "cargo",
            "miri",
            "test",
            "-p",
            "gantry-frames",
            "--lib",
            "--",
            "layout::",
            "handle::",
            "word::",
            "window::",
            "wire::",
            "meta::",
        ])
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "4");
    Proof { name: "miri", needs: Needs::Nightly("miri", "rustup toolchain install nightly --component miri,rust-src"), step }
}

/// Each change of the slot word and the checker must fail a test of the crate.
fn mutants() -> Proof {
    let step = cargo("mutants")
        .args(["-p", "gantry-frames", "-f", "runtime/frames/src/word.rs", "-f", "runtime/frames/src/handle.rs"])
        .args(["--profile", "release", "--timeout", "120", "-o"])
        .arg(root().join("target/mutants"))
        .env("PROPTEST_CASES", "64");
    Proof { name: "mutants", needs: Needs::Tool("mutants", "cargo install cargo-mutants --locked"), step }
}

/// Whether the nightly toolchain has `cargo TOOL`; rustup's own stand-in for a missing component does not work.
fn has_nightly(tool: &str) -> bool {
    works(Command::new("rustup").args(["run", "nightly", "cargo", tool, "--version"]))
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether `cargo TOOL` is there and works.
fn has_command(tool: &str) -> bool {
    let program = format!("cargo-{tool}");
    let found = |dir: &Path| dir.join(&program).is_file();
    let on_path = std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| found(&dir)));
    on_path && works(Command::new("cargo").args([tool, "--version"]))
}
