//! `gantry compare`: two variants of a graph on the same recording, and which readings differ.

mod align;
mod findings;
mod page;
mod print;
mod variant;

pub use findings::{Difference, Effect, Findings, Kind, Verdict};

use crate::failure::Failure;
use crate::read::plan::plan;
use crate::read::{Interrupts, Plan, Progress, ReadArgs, engine};
use crate::runs::{self, About, Part, READINGS, Run};
use crate::score::{self, Truth};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use variant::{Base, Variant, differ};

/// Name of the file with the findings in a folder of a comparison.
const FINDINGS: &str = "comparison.json";
/// Name of its page.
const PAGE: &str = "comparison.html";

/// Arguments of `gantry compare`.
#[derive(Args)]
pub struct CompareArgs {
    /// A: a graph file, or the folder of a run that is over.
    a: PathBuf,
    /// B: the same. Default: the graph of A, with what `--set` and `--replace` change.
    b: Option<PathBuf>,
    /// What both read: a recording (or video files); may be repeated.
    #[arg(long, value_name = "MCAP")]
    recording: Vec<String>,
    /// Parameter of a node in B, e.g. `recognize.MODEL=new.onnx`; may be repeated.
    #[arg(long = "set", alias = "set-b", value_name = "NODE.NAME=VALUE")]
    set: Vec<String>,
    /// Parameter of a node in A.
    #[arg(long, value_name = "NODE.NAME=VALUE")]
    set_a: Vec<String>,
    /// Parameter of a node in A and B.
    #[arg(long, value_name = "NODE.NAME=VALUE")]
    set_both: Vec<String>,
    /// Another program for a node of B, e.g. `vote=path/to/program`, or the node of another graph, `vote=other.yml`; may be repeated.
    #[arg(long, alias = "replace-b", value_name = "NODE=NEW")]
    replace: Vec<String>,
    /// Another program for a node of A.
    #[arg(long, value_name = "NODE=NEW")]
    replace_a: Vec<String>,
    /// Truth files (`NAME.truth.json`, the camera is `NAME`) or folders of them: adds what is right.
    #[arg(long, value_name = "FILE|FOLDER")]
    truth: Vec<PathBuf>,
    /// Only this camera of the recording; may be repeated.
    #[arg(long, value_name = "NAME")]
    camera: Vec<String>,
    /// Begin this many seconds after the first picture.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    from: f64,
    /// End this many seconds after the first picture.
    #[arg(long, value_name = "SECONDS")]
    to: Option<f64>,
    /// Folder of both runs, the page and the findings.
    #[arg(long, default_value = "comparison")]
    out: PathBuf,
    /// Print the findings as one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// End with 3 if any reading differs, for scripts; else a comparison that was made ends with 0.
    #[arg(long)]
    exit_code: bool,
    /// No progress bar.
    #[arg(long, short)]
    quiet: bool,
}

/// Where a comparison has its runs.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Folder of A, from the folder of the comparison.
    folder_a: PathBuf,
    /// Folder of B.
    folder_b: PathBuf,
    /// Truth files and folders, absolute.
    truth_files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Saved<'a> {
    #[serde(flatten)]
    kept: &'a Kept,
    a: String,
    b: String,
    identical: bool,
    agreement: f64,
    #[serde(flatten)]
    findings: &'a Findings,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_a: Option<LoadRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_b: Option<LoadRow>,
}

#[derive(Serialize)]
struct LoadRow {
    frames: u64,
    seconds: f64,
    frames_per_s: f64,
    cpu_ms_per_frame: f64,
    peak_rss_bytes: u64,
}

impl LoadRow {
    fn of(run: &Run) -> Option<Self> {
        crate::report::load(run).map(|l| Self {
            frames: l.frames,
            seconds: l.seconds,
            frames_per_s: l.fps(),
            cpu_ms_per_frame: l.cpu_ms(),
            peak_rss_bytes: l.peak_rss_bytes,
        })
    }
}

/// Runs what has not run, compares, prints and writes the page.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let (a, b) = variants(args)?;
    let truth = if args.truth.is_empty() { Vec::new() } else { score::load(&args.truth)? };
    let folders = (folder_of(&a, &args.out)?, folder_of(&b, &args.out)?);
    run_both(args, &[(&a, &folders.0), (&b, &folders.1)])?;
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let relative = |path: &Path| path.strip_prefix(&args.out).map_or_else(|_| absolute(&path.to_owned()), Path::to_owned);
    let kept =
        Kept { folder_a: relative(&folders.0), folder_b: relative(&folders.1), truth_files: args.truth.iter().map(absolute).collect() };
    let (a, b) = (Run::open(&folders.0)?, Run::open(&folders.1)?);
    let findings = Findings::of(&a, &b, &truth);
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::failed(format!("{}: {e}", args.out.display())))?;
    let path = args.out.join(PAGE);
    page::write(&a, &b, &findings, &path)?;
    let json = saved(&kept, &a, &b, &findings)?;
    let file = args.out.join(FINDINGS);
    std::fs::write(&file, json.clone() + "\n").map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
    if args.json {
        outln!("{json}");
    } else {
        print::print(&a, &b, &findings);
        outln!("page: {}", path.display());
    }
    if args.exit_code && !findings.identical() { Err(Failure::different()) } else { Ok(()) }
}

/// Whether `folder` is one of a comparison.
pub fn is_comparison(folder: &Path) -> bool {
    folder.join(FINDINGS).is_file()
}

/// Makes the page of a comparison again, with another truth if one is given; where it is.
pub fn report_again(folder: &Path, truth: &[Truth], out: Option<&Path>) -> Result<PathBuf, Failure> {
    let file = folder.join(FINDINGS);
    let broken = |e: &dyn std::fmt::Display| Failure::refused(format!("{}: {e}", file.display()));
    let text = std::fs::read_to_string(&file).map_err(|e| broken(&e))?;
    let kept: Kept = serde_json::from_str(&text).map_err(|e| broken(&e))?;
    let stored = if truth.is_empty() && !kept.truth_files.is_empty() { score::load(&kept.truth_files)? } else { truth.to_vec() };
    let (a, b) = (Run::open(&folder.join(&kept.folder_a))?, Run::open(&folder.join(&kept.folder_b))?);
    let path = out.map_or_else(|| folder.join(PAGE), Path::to_owned);
    page::write(&a, &b, &Findings::of(&a, &b, &stored), &path)?;
    Ok(path)
}

fn saved(kept: &Kept, a: &Run, b: &Run, findings: &Findings) -> Result<String, Failure> {
    let saved = Saved {
        kept,
        a: a.name(),
        b: b.name(),
        identical: findings.identical(),
        agreement: findings.agreement(),
        findings,
        load_a: LoadRow::of(a),
        load_b: LoadRow::of(b),
    };
    serde_json::to_string_pretty(&saved).map_err(|e| Failure::failed(format!("findings: {e}")))
}

fn variants(args: &CompareArgs) -> Result<(Variant, Variant), Failure> {
    let with_both = |own: &[String]| args.set_both.iter().chain(own).cloned().collect::<Vec<String>>();
    let a = Variant::of("A", &args.a, with_both(&args.set_a), args.replace_a.clone())?;
    let b = Variant::of("B", args.b.as_ref().unwrap_or(&args.a), with_both(&args.set), args.replace.clone())?;
    differ(&a, &b, args.b.is_some())?;
    let to_run = [&a, &b].iter().any(|v| matches!(v.base, Base::Graph(_)));
    if to_run && args.recording.is_empty() {
        return Err(
            Failure::refused("what shall A and B read?").hint("name a recording with `--recording run.mcap`; `gantry record` makes one")
        );
    }
    if let Some(stream) = args.recording.iter().find(|s| s.contains("://")) {
        return Err(Failure::refused(format!("`--recording {stream}`: a stream cannot be read twice"))
            .hint("record it first: `gantry record SOURCE --out run.mcap`"));
    }
    if args.to.is_some_and(|to| to <= args.from) {
        return Err(Failure::refused("`--to` must lie behind `--from`"));
    }
    Ok((a, b))
}

/// Where a variant's run is or will be.
fn folder_of(variant: &Variant, out: &Path) -> Result<PathBuf, Failure> {
    match &variant.base {
        Base::Finished(folder) => Ok(folder.clone()),
        Base::Graph(_) => {
            let folder = out.join(variant.label.to_lowercase());
            // What an earlier comparison left; anything else stays.
            if folder.join(runs::ABOUT).is_file() {
                std::fs::remove_dir_all(&folder).map_err(|e| Failure::refused(format!("{}: {e}", folder.display())))?;
            }
            Ok(folder)
        }
    }
}

/// Plans all before the first starts, so that a fault of B is told at once.
fn run_both(args: &CompareArgs, variants: &[(&Variant, &PathBuf)]) -> Result<(), Failure> {
    let mut planned: Vec<(&Variant, &PathBuf, Plan)> = Vec::new();
    for (variant, folder) in variants {
        let Base::Graph(graph) = &variant.base else { continue };
        let read = ReadArgs {
            sources: args.recording.clone(),
            cameras: args.camera.clone(),
            start: args.from,
            seconds: args.to.map(|to| to - args.from),
            out: folder.join(READINGS),
            graph: Some(graph.clone()),
            set: variant.set.clone(),
            replace: variant.replace.clone(),
            ..ReadArgs::default()
        };
        match plan(&read) {
            Ok(plan) => planned.push((variant, folder, plan)),
            Err(failure) => {
                planned.iter().for_each(|(_, _, plan)| plan.clean(false));
                return Err(failure.context(variant.label));
            }
        }
    }
    let labels: Vec<String> = planned.iter().map(|(v, _, _)| format!("{} is read", v.label)).collect();
    let parts: Vec<(&Plan, &str)> = planned.iter().zip(&labels).map(|((_, _, plan), label)| (plan, label.as_str())).collect();
    let progress = Progress::over(&parts, args.quiet);
    let interrupts = Interrupts::watch()?;
    for (i, ((variant, folder, plan), progress)) in planned.iter().zip(&progress).enumerate() {
        if !args.quiet {
            eprintln!("{}: {}", variant.label, variant.name());
        }
        if let Err(failure) = run_one(args, variant, folder, plan, progress, &interrupts) {
            planned[i + 1..].iter().for_each(|(_, _, plan)| plan.clean(false));
            return Err(failure.context(variant.label));
        }
    }
    Ok(())
}

fn run_one(
    args: &CompareArgs,
    variant: &Variant,
    folder: &Path,
    plan: &Plan,
    progress: &Progress,
    interrupts: &Interrupts,
) -> Result<(), Failure> {
    let outcome = engine::run(plan, progress, interrupts)?;
    for warning in &outcome.warnings {
        eprintln!("warning: {}: {warning}", variant.label);
    }
    let failure = outcome.failure(plan);
    runs::keep(&plan.run_dir, folder)?;
    let about = About {
        name: variant.name(),
        sources: args.recording.clone(),
        cameras: plan.sources.iter().map(|s| Part { name: s.camera.name.clone(), media_s: s.media_s }).collect(),
        readings: READINGS.into(),
        seconds: outcome.seconds(),
        complete: failure.is_none(),
    };
    runs::write_about(folder, &about)?;
    if failure.is_none() || outcome.interrupted {
        plan.clean(false);
    }
    failure.map_or(Ok(()), Err)
}
