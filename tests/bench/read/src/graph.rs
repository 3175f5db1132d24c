//! The graph's side: `gantry read` with everything that it starts.

use crate::Args;
use crate::clock::children_cpu_s;
use crate::side::{Run, sort, watch};
use gantry_node::{Fault, NodeStats, STATS_DIR};
use gantry_node_store::Record;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Frames per second of the shortest run: the time window is given in seconds.
const FPS: f64 = 30.0;

fn command(args: &Args, clips: &[PathBuf], out: &Path, most_frames: Option<u64>) -> Result<Command, Fault> {
    let program = std::env::current_exe()?.with_file_name("gantry");
    if !program.is_file() {
        return Err(Fault::new(format!("{}: no such file", program.display())).hint("cargo build --release --workspace"));
    }
    let mut command = Command::new(program);
    command.arg("read").args(clips).arg("--out").arg(out).arg("--quiet").stdin(Stdio::null());
    if let Some(graph) = &args.graph {
        command.arg("--graph").arg(graph);
    }
    if let Some(n) = most_frames {
        command.args(["--seconds", &((n as f64 - 0.5) / FPS).to_string()]);
    }
    Ok(command)
}

/// Runs the graph.
///
/// # Errors
/// If it fails.
pub fn run(args: &Args, clips: &[PathBuf], most_frames: Option<u64>) -> Result<Run, Fault> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("readings.jsonl");
    let (started, cpu) = (Instant::now(), children_cpu_s());
    let output = command(args, clips, &out, most_frames)?.arg("--keep-run").output()?;
    let (wall_s, cpu_s) = (started.elapsed().as_secs_f64(), children_cpu_s() - cpu);
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Fault::new(format!("`gantry read` ended with {}: {}", output.status, said.trim())));
    }
    let run_dir = said.lines().find_map(|l| l.strip_prefix("run folder: ")).map(PathBuf::from);
    let run_dir = run_dir.ok_or_else(|| Fault::new("`gantry read --keep-run` did not say where its run folder is"))?;
    let mut run = Run { wall_s, cpu_s, ..Run::default() };
    for stats in stats(&run_dir.join(STATS_DIR))? {
        if stats.kind == "recognize" {
            // One row per frame and one at the end of each clip.
            run.frames += stats.rows_out.get("texts").copied().unwrap_or(0).saturating_sub(clips.len() as u64);
        }
        *run.stages.entry(stats.kind).or_default() += stats.cpu_s;
    }
    std::fs::remove_dir_all(&run_dir)?;
    let nodes: f64 = run.stages.values().sum();
    run.stages.insert("dora".to_owned(), cpu_s - nodes);
    if let Ok(text) = std::fs::read_to_string(&out) {
        for line in text.lines() {
            let record: Record = serde_json::from_str(line)?;
            run.readings.push(Record { evidence: None, ..record });
        }
    }
    sort(&mut run.readings);
    Ok(run)
}

fn stats(dir: &Path) -> Result<Vec<NodeStats>, Fault> {
    let mut all = Vec::new();
    for entry in dir.read_dir().map_err(|e| Fault::from(e).context(dir.display().to_string()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|x| x == "json") {
            let stats: NodeStats = serde_json::from_slice(&std::fs::read(&path)?)?;
            if !stats.ended {
                return Err(Fault::new(format!("the statistics of node `{}` are not its last", stats.node)));
            }
            all.push(stats);
        }
    }
    Ok(all)
}

/// Peak memory of all processes in bytes.
///
/// # Errors
/// If the run fails.
pub fn memory(args: &Args, clips: &[PathBuf]) -> Result<u64, Fault> {
    let dir = tempfile::tempdir()?;
    let mut command = command(args, clips, &dir.path().join("readings.jsonl"), None)?;
    watch(command.stderr(Stdio::null()).spawn()?)
}
