//! The project's own commands. `cargo xtask` without arguments lists them.

mod operator;
mod prove;
mod setup;
mod steps;

use std::process::ExitCode;
use steps::{Step, cargo, run, say};

const HELP: &str = "\
cargo xtask COMMAND

  demo       set up, build, read the shipped clips as two cameras: table, annotated videos and a page in out/demo
  test       set up, then formatting, clippy, unit, node, graph and whole-system tests
  prove      the proofs of the buffer handles: 10,000 kills, loom, fuzzing, ThreadSanitizer, mutants; --short for minutes instead of
             hours, --skip-missing for tools that are not there, names for some of them
  setup      Debian packages, the dora CLI, the libraries ONNX Runtime and NVRTC (into .gantry), a release build
  generate   write what is generated: from the nodes' contracts (contract.json, docs/nodes), and graphs/experiments from graphs/read.yml
  new-operator NAME [FOLDER]  a crate for an image operator of your own, in operators/NAME or outside of the project
  recording  [CASE]   what recordings promise, measured: schedules, replays, long, kill, disk, cpu (docs/recordings.md)
  soak       [--minutes 30]  eight live cameras, and no process of the site grows: memory, descriptors, threads (docs/sites.md)
  live       [--cameras N]  how many live cameras this machine holds without losing a frame or a plate (docs/performance.md)
  accuracy   read the shipped clips and print how many plates were right, with and without variants and syntax
  kernels    [FOLDER]  compile the CUDA kernels ahead of time, for GANTRY_KERNELS (default: out/kernels)
  bench      [read]   the graph beside a straight-line program: frames/s, CPU per frame, memory
             handles  what buffer handles cost, beside bare dora, iceoryx2 and copied pixels
  help       this text

Every command may be run again at once; what is there is not made again.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().map_or("help", String::as_str);
    let rest = arguments.get(1..).unwrap_or_default();
    let result = match command {
        "setup" => setup::all().and_then(|()| setup::build()),
        "demo" => demo(),
        "test" => test(rest),
        "prove" => prove::all(rest),
        "generate" => generate(),
        "new-operator" => operator::new(rest),
        "recording" => tool("prove-recording", rest),
        "soak" => tool("soak", rest),
        "live" => tool("live", rest),
        "accuracy" => tool("accuracy", rest),
        "kernels" => setup::all().and_then(|()| {
            run(cargo("run").args(["--release", "--quiet", "-p", "gantry-kernels", "--example", "ahead_of_time", "--"]).args(rest))
        }),
        "bench" => bench(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("unknown command `{other}`\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Two cameras, a table, two videos and a page.
fn demo() -> Result<(), String> {
    setup::all()?;
    setup::build()?;
    let root = steps::root();
    let out = root.join("out/demo");
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    say("reading the shipped clips gate_day and road_day through graphs/read.yml");
    let clips = root.join("tests/clips");
    run(Step::new(root.join("target/release/gantry"))
        .arg("read")
        .arg(clips.join("gate_day.mp4"))
        .arg(clips.join("road_day.mp4"))
        .arg("--out")
        .arg(out.join("readings.jsonl"))
        .arg("--annotated")
        .arg(out.join("annotated.mp4"))
        .arg("--report")
        .arg(out.join("report.html")))?;
    say(&format!("readings, videos and the page are in {}", out.display()));
    Ok(())
}

/// Everything that must hold before a change lands. Further arguments go to nextest.
fn test(rest: &[String]) -> Result<(), String> {
    setup::all()?;
    say("formatting");
    run(cargo("fmt").arg("--all").arg("--check"))?;
    say("clippy");
    run(cargo("clippy").args(["--release", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    say("building");
    setup::build()?;
    say("tests");
    let has_nextest = std::process::Command::new("cargo-nextest").arg("--version").output().is_ok_and(|o| o.status.success());
    if has_nextest {
        run(cargo("nextest").args(["run", "--release", "--workspace", "--no-fail-fast"]).args(rest))
    } else {
        run(cargo("test").args(["--release", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]).args(rest))
    }
}

fn generate() -> Result<(), String> {
    setup::all()?;
    // The contracts are part of `gantry`, so the nodes' tests write them before it is built.
    run(cargo("test")
        .args(["--release", "--quiet", "-p", "gantry-node-*", "--lib", "--tests", "--", "contract"])
        .env("GANTRY_REGENERATE", "1"))?;
    run(cargo("test")
        .args(["--release", "--quiet", "-p", "gantry-repository-tests", "--test", "experiments"])
        .env("GANTRY_REGENERATE", "1"))
}

/// The benchmark that the first argument names; `read` where it is left out.
fn bench(rest: &[String]) -> Result<(), String> {
    match rest.split_first() {
        Some((name, rest)) if name == "handles" => {
            say("building iceoryx2 to compare with (the first time a minute; nothing else builds it)");
            let manifest = "tests/bench/handles/iceoryx2/Cargo.toml";
            run(cargo("build").args(["--release", "--quiet", "--manifest-path", manifest, "--target-dir", "target/iceoryx2"]))?;
            tool("bench-handles", rest)
        }
        Some((name, rest)) if name == "read" => tool("bench-read", rest),
        _ => tool("bench-read", rest),
    }
}

/// Runs a program of `tests/`.
fn tool(name: &str, rest: &[String]) -> Result<(), String> {
    setup::all()?;
    setup::build()?;
    run(Step::new(steps::root().join("target/release").join(name)).args(rest))
}
