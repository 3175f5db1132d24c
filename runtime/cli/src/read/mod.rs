//! `gantry read`: plates from files or streams, through a graph that `dora run` runs.

mod adjust;
mod base;
mod deaths;
pub mod engine;
mod interrupts;
pub mod plan;
mod progress;
mod provenance;
mod readings;
mod recording;

use crate::failure::Failure;
use crate::login::Access;
use crate::runs::{self, About, Part, Run};
use clap::Args;
use std::path::PathBuf;

pub use interrupts::Interrupts;
pub use plan::Plan;
pub use progress::Progress;
pub use readings::{Reading, Votes, load};

/// Arguments of `gantry read`.
#[derive(Args, Clone, Default)]
pub struct ReadArgs {
    /// Video files (or stream addresses), each is one camera, named after the file; recordings with all their cameras.
    #[arg(required = true)]
    pub(crate) sources: Vec<String>,
    /// Where the readings go, one JSON object a line.
    #[arg(long, default_value = "readings.jsonl")]
    pub(crate) out: PathBuf,
    /// Folder of the evidence crops (JPEG). Default: beside the readings, `<out>.evidence`.
    #[arg(long)]
    pub(crate) evidence: Option<PathBuf>,
    /// The graph; its part named `_cam0` is repeated for each source.
    #[arg(long)]
    pub(crate) graph: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Skip this many seconds of each source.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub(crate) start: f64,
    /// Read this many seconds of each source.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,
    /// Also write the video with boxes and plates drawn; several sources get `-<camera>` before the extension.
    #[arg(long, value_name = "MP4")]
    pub(crate) annotated: Option<PathBuf>,
    /// Also write a page with the evidence crops and votes.
    #[arg(long, value_name = "HTML")]
    pub(crate) report: Option<PathBuf>,
    /// Parameter of a node for this run, e.g. `vote.MIN_CONFIDENCE=0.6`; may be repeated.
    #[arg(long = "set", value_name = "NODE.NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Another program in the place of a node, e.g. `vote=path/to/program`, or the node of another graph, `vote=other.yml`; may be repeated.
    #[arg(long, value_name = "NODE=NEW")]
    pub(crate) replace: Vec<String>,
    /// No progress bar and no table.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Keep the folder with the generated graph, the logs and the statistics, and say where it is.
    #[arg(long)]
    pub(crate) keep_run: bool,
    /// Write a recording too.
    #[arg(skip)]
    pub(crate) record: Option<PathBuf>,
    /// Results that are recorded beside the packets, by their names.
    #[arg(skip)]
    pub(crate) results: Vec<String>,
    /// A graph that runs as it is, in place of sources; its readings go where it says unless `out` names a place.
    #[arg(skip)]
    pub(crate) whole: Option<PathBuf>,
    /// Of recordings: through the graph that they hold, where it can run here.
    #[arg(skip)]
    pub(crate) recorded_graph: bool,
    /// How often the run begins anew after a signal has ended one of its nodes.
    #[arg(skip)]
    pub(crate) restarts: u32,
    /// Of recordings only these cameras; all if none is named.
    #[arg(skip)]
    pub(crate) cameras: Vec<String>,
    /// Recordings at this many times the speed at which they were made; without it as fast as the graph goes.
    #[arg(skip)]
    pub(crate) speed: Option<f64>,
}

impl ReadArgs {
    /// Whether the readings go where the graph says.
    fn keeps_own_readings(&self) -> bool {
        self.whole.is_some() && self.out.as_os_str().is_empty()
    }
}

/// Plans, runs, reports.
pub fn run(args: ReadArgs) -> Result<(), Failure> {
    if let (Some(_), Some(recording)) = (&args.annotated, args.sources.iter().find(|s| recording::is_recording(s))) {
        return Err(Failure::refused(format!("`--annotated` cannot draw into {recording}: it is a recording"))
            .hint("leave it out; `--report` shows the readings with their pictures"));
    }
    let mut plan = plan::plan(&args)?;
    let interrupts = Interrupts::watch()?;
    let mut outcome = engine::run(&plan, &Progress::new(&plan, args.quiet), &interrupts)?;
    for _ in 0..args.restarts {
        let Some(death) = outcome.death().map(engine::Death::message) else { break };
        // The same recording gives the same readings, however often it is begun.
        eprintln!("warning: {death}; the replay begins anew");
        plan.clean(args.keep_run);
        plan = plan::plan(&ReadArgs { quiet: true, ..args.clone() })?;
        outcome = engine::run(&plan, &Progress::new(&plan, true), &interrupts)?;
    }
    let readings = readings::load(&plan.out)?;
    if !args.quiet {
        readings::print_table(&readings);
        outcome.print_summary(&plan, readings.len());
    }
    for warning in &outcome.warnings {
        eprintln!("warning: {warning}");
    }
    if let (Some(recording), false) = (&args.record, args.quiet) {
        recording::say(recording);
    }
    if let Some(failure) = outcome.failure(&plan) {
        // Logs are for finding out what failed; nothing did when the user ended the run.
        if outcome.interrupted {
            plan.clean(args.keep_run);
        }
        return Err(failure);
    }
    if let Some(path) = &args.annotated {
        crate::annotate::write(&plan, &readings, path, args.quiet)?;
    }
    if let Some(path) = &args.report {
        crate::report::write(&finished(&args, &plan, &outcome, readings), &[], path)?;
        if !args.quiet {
            outln!("report: {}", path.display());
        }
    }
    if args.keep_run {
        runs::write_about(&plan.run_dir, &about(&args, &plan, &outcome))?;
    }
    plan.clean(args.keep_run);
    Ok(())
}

/// What was read, for `gantry report` of a run that is kept.
fn about(args: &ReadArgs, plan: &Plan, outcome: &engine::Outcome) -> About {
    About {
        name: args.graph.as_ref().map_or_else(|| "graphs/read.yml".to_owned(), |graph| graph.display().to_string()),
        sources: args.sources.clone(),
        cameras: plan.sources.iter().map(|s| Part { name: s.camera.name.clone(), media_s: s.media_s }).collect(),
        readings: plan.out.clone(),
        seconds: outcome.seconds(),
        complete: true,
    }
}

/// The run as its page shows it.
fn finished(args: &ReadArgs, plan: &Plan, outcome: &engine::Outcome, readings: Vec<Reading>) -> Run {
    let folder = plan.out.parent().unwrap_or(std::path::Path::new(".")).to_owned();
    Run { evidence_root: folder.clone(), folder, readings, stats: outcome.stats().clone(), about: Some(about(args, plan, outcome)) }
}
