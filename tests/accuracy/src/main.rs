//! Reads every clip of a folder that has a truth file, through the real graph, and prints how many plates were right:
//! the single best frame, all frames, with and without variants, with and without syntax.
//!
//! `accuracy [--clips DIR] [--json]`; `cargo xtask accuracy` builds and runs it on the shipped clips.

use clap::Parser;
use comfy_table::{Table, presets};
use gantry::read::{self, Reading};
use gantry::score::{Score, Truth, load, score};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Clips read in one graph at once: more would only queue.
const CAMERAS: usize = 4;

#[derive(Parser)]
struct Args {
    /// Folder with clips (`NAME.mp4`) and truths (`NAME.truth.json`). Default: the shipped clips.
    #[arg(long)]
    clips: Option<PathBuf>,
    /// Also print every vehicle of the full run.
    #[arg(long)]
    rows: bool,
    /// Only the full run, not the comparison.
    #[arg(long)]
    quick: bool,
    /// Fail if fewer than this share of the vehicles is read exactly in the full run.
    #[arg(long)]
    min_exact: Option<f64>,
}

struct Run {
    name: &'static str,
    set: &'static [&'static str],
}

const RUNS: &[Run] = &[
    Run { name: "all frames, variants, syntax", set: &[] },
    Run { name: "all frames, variants, no syntax", set: &["vote.SYNTAX=false"] },
    Run { name: "all frames, no variants, syntax", set: &["vote.VARIANTS=false"] },
    Run { name: "all frames, no variants, no syntax", set: &["vote.VARIANTS=false", "vote.SYNTAX=false"] },
];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let project = gantry::paths::project().ok_or("run this inside the project")?;
    let clips = args.clips.clone().unwrap_or_else(|| project.join("tests/clips"));
    let truth = load(std::slice::from_ref(&clips)).map_err(|e| format!("{e:?}"))?;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["votes over", "exact", "exact, day", "exact, dusk and night", "characters", "duplicates", "false"]);
    let runs = if args.quick { &RUNS[..1] } else { RUNS };
    let mut full = None;
    for run in runs {
        eprintln!("reading {} clips: {}", truth.len(), run.name);
        let readings = read_all(&project, &clips, &truth, run.set)?;
        if full.is_none() {
            table.add_row(row("single best frame", &truth, &best_frames(&readings)));
        }
        table.add_row(row(run.name, &truth, &readings));
        full.get_or_insert(readings);
    }
    let full = score(&truth, &full.unwrap_or_default());
    if args.rows {
        for r in &full.rows {
            println!(
                "{:<10} {:<16} truth {:<12} read {}",
                r.verdict,
                r.camera,
                r.truth.as_deref().unwrap_or("-"),
                r.read.as_deref().unwrap_or("-")
            );
        }
    }
    println!("{table}");
    println!("variants, over the frames of vehicles that were read:");
    for v in &full.variants {
        println!(
            "  {:<20} right in {:>5} of {:>5} frames ({:.1} %)",
            v.variant,
            v.right,
            v.frames,
            100.0 * v.right as f64 / v.frames.max(1) as f64
        );
    }
    match args.min_exact {
        Some(wanted) if full.exact_rate() < wanted => {
            Err(format!("{:.1} % of the vehicles were read exactly, wanted {:.1} %", full.exact_rate() * 100.0, wanted * 100.0))
        }
        _ => Ok(()),
    }
}

fn row(name: &str, truth: &[Truth], readings: &[Reading]) -> Vec<String> {
    let all = score(truth, readings);
    let of = |wanted: &dyn Fn(&Truth) -> bool| {
        let part: Vec<Truth> = truth.iter().filter(|t| wanted(t)).cloned().collect();
        share(&score(&part, readings))
    };
    let day = of(&|t| t.condition == "day");
    let dark = of(&|t| t.condition != "day");
    vec![
        name.to_owned(),
        share(&all),
        day,
        dark,
        format!("{:.1} %", all.character_accuracy * 100.0),
        all.duplicates.to_string(),
        all.false_readings.to_string(),
    ]
}

fn share(s: &Score) -> String {
    format!("{} of {} ({:.1} %)", s.exact, s.vehicles, s.exact_rate() * 100.0)
}

/// The same readings as if only the most legible frame had been read, without variants.
fn best_frames(readings: &[Reading]) -> Vec<Reading> {
    let text_of =
        |r: &Reading| r.votes.iter().find(|v| v.variant == "original" && v.frames.contains(&r.evidence_frame)).map(|v| v.text.clone());
    readings.iter().map(|r| Reading { plate: text_of(r).unwrap_or_default(), ..r.clone() }).collect()
}

fn read_all(project: &Path, clips: &Path, truth: &[Truth], set: &[&str]) -> Result<Vec<Reading>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    for (index, part) in truth.chunks(CAMERAS).enumerate() {
        let out = folder.path().join(format!("{index}.jsonl"));
        let mut command = Command::new(project.join("target/release/gantry"));
        command.arg("read").args(part.iter().map(|t| clip_of(clips, &t.camera))).arg("--out").arg(&out).arg("--quiet");
        for s in set {
            command.arg("--set").arg(s);
        }
        let status = command.status().map_err(|e| format!("gantry read: {e}"))?;
        if !status.success() {
            return Err(format!("gantry read ended with {status}"));
        }
        all.extend(read::load(&out).map_err(|e| format!("{e:?}"))?);
    }
    Ok(all)
}

fn clip_of(clips: &Path, camera: &str) -> PathBuf {
    clips.join(format!("{camera}.mp4"))
}
