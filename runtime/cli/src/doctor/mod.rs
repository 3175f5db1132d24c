//! `gantry doctor`: what this machine has, what is missing, and the command that would fix it.

mod gpu;

use crate::failure::Failure;
use crate::paths;
use clap::Args;
use std::process::Command;

/// Arguments of `gantry doctor`.
#[derive(Args)]
pub struct DoctorArgs {}

struct Finding {
    what: &'static str,
    state: State,
    detail: String,
    fix: Option<String>,
}

#[derive(PartialEq)]
enum State {
    Ok,
    /// Absent, and the main job works without it.
    Optional,
    Missing,
}

/// Prints the findings; fails if something is missing that reading plates needs.
pub fn run(_args: &DoctorArgs) -> Result<(), Failure> {
    let mut findings = vec![cores(), memory(), programs(), dora(), ffmpeg(), onnxruntime(), models(), shared_memory()];
    findings.extend(gpu::findings());
    let mut missing = 0;
    for f in &findings {
        let mark = match f.state {
            State::Ok => "ok      ",
            State::Optional => "absent  ",
            State::Missing => "MISSING ",
        };
        outln!("{mark} {:<18} {}", f.what, f.detail);
        if let Some(fix) = &f.fix {
            outln!("{:27} fix: {fix}", "");
        }
        missing += usize::from(f.state == State::Missing);
    }
    if missing == 0 {
        outln!("\nThis machine can read plates: `gantry read VIDEO`.");
        Ok(())
    } else {
        Err(Failure::failed(format!("{missing} thing(s) missing"))
            .hint("run the commands named above, or `cargo xtask setup` for all of them"))
    }
}

fn finding(what: &'static str, found: Option<String>, absent: &str, state: State, fix: &str) -> Finding {
    match found {
        Some(detail) => Finding { what, state: State::Ok, detail, fix: None },
        None => Finding { what, state, detail: absent.to_owned(), fix: (!fix.is_empty()).then(|| fix.to_owned()) },
    }
}

fn found(what: &'static str, detail: String) -> Finding {
    Finding { what, state: State::Ok, detail, fix: None }
}

/// Plates are read without it.
fn absent(what: &'static str, detail: String, fix: &str) -> Finding {
    Finding { what, state: State::Optional, detail, fix: Some(fix.to_owned()) }
}

fn cores() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| info.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned());
    let flags = field("flags").unwrap_or_default();
    let simd: Vec<&str> = ["avx2", "avx512f", "avx512_vnni"].into_iter().filter(|f| flags.split_whitespace().any(|x| x == *f)).collect();
    let detail = format!("{cores} x {} ({})", field("model name").unwrap_or_else(|| "unknown".to_owned()), simd.join(" "));
    finding("CPU", Some(detail), "", State::Ok, "")
}

fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gib = |name: &str| {
        let line = info.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kb| kb / 1048576.0)
    };
    let found = gib("MemAvailable:").zip(gib("MemTotal:")).map(|(free, all)| format!("{free:.1} GiB free of {all:.1}"));
    finding("memory", found, "unknown", State::Optional, "")
}

fn programs() -> Finding {
    let bin = paths::project().map(|p| p.join("graphs/bin"));
    let nodes = ["camera", "decode", "resize", "detect", "track", "crop", "enhance", "recognize", "vote", "store"];
    let absent: Vec<&str> = nodes.into_iter().filter(|n| !bin.as_ref().is_some_and(|b| b.join(n).is_file())).collect();
    let found = absent.is_empty().then(|| format!("{} node programs are built", nodes.len()));
    finding("nodes", found, &format!("not built: {}", absent.join(", ")), State::Missing, "cargo build --release")
}

fn dora() -> Finding {
    let found = paths::dora().and_then(|p| Some(format!("{} ({})", first_line(Command::new(&p).arg("--version"))?, p.display())));
    finding("dora", found, "no dora command", State::Missing, "cargo xtask setup")
}

fn ffmpeg() -> Finding {
    finding("FFmpeg", Some(gantry_media::versions()), "", State::Missing, "")
}

fn onnxruntime() -> Finding {
    let found = paths::onnxruntime().map(|p| p.display().to_string());
    finding("ONNX Runtime", found, "libonnxruntime.so not found", State::Missing, "cargo xtask setup (or name the file in ORT_DYLIB_PATH)")
}

fn models() -> Finding {
    let dir = paths::project().map(|p| p.join("models"));
    let size = |name: &str| dir.as_ref().and_then(|d| std::fs::metadata(d.join(name)).ok()).map(|m| m.len() / 1024);
    let found = size("detector.onnx").zip(size("reader.onnx")).map(|(d, r)| format!("detector.onnx {d} KiB, reader.onnx {r} KiB"));
    finding("models", found, "models/detector.onnx or models/reader.onnx missing", State::Missing, "git checkout models")
}

fn shared_memory() -> Finding {
    // A memfd is what the pools stand on; `/proc/self/fd` shows that the kernel gives them out.
    let seals = std::fs::read_to_string("/proc/sys/vm/memfd_noexec")
        .map_or_else(|_| "memfd".to_owned(), |v| format!("memfd (noexec {})", v.trim()));
    finding("frame memory", Some(format!("host: {seals}")), "", State::Ok, "")
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|o| o.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(|l| l.trim().to_owned())
}
