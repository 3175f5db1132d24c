//! `gantry replay`: a recording through a graph once more.

use crate::failure::Failure;
use crate::read::{self, ReadArgs};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `gantry replay`.
#[derive(Args)]
pub struct ReplayArgs {
    /// The recording; parts that follow it are found.
    recording: PathBuf,
    /// Only this camera; may be repeated.
    #[arg(long, value_name = "NAME")]
    camera: Vec<String>,
    /// Begin this many seconds after the first picture.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    from: f64,
    /// End this many seconds after the first picture.
    #[arg(long, value_name = "SECONDS")]
    to: Option<f64>,
    /// `max`: as fast as the graph goes; or a number: times the speed at which it was recorded.
    #[arg(long, default_value = "max")]
    speed: String,
    /// Where the readings go.
    #[arg(long, default_value = "readings.jsonl")]
    out: PathBuf,
    /// The graph; its part named `_cam0` is repeated for each camera. Default: the one that was recorded, with the programs of this build;
    /// if it cannot run here, graphs/read.yml.
    #[arg(long)]
    graph: Option<PathBuf>,
    /// Parameter of a node for this run; may be repeated.
    #[arg(long = "set", value_name = "NODE.NAME=VALUE")]
    set: Vec<String>,
    /// Another program in the place of a node, e.g. `vote=path/to/program`, or the node of another graph, `vote=other.yml`; may be repeated.
    #[arg(long, value_name = "NODE=NEW")]
    replace: Vec<String>,
    /// Also write a page with the evidence crops and votes.
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
    /// No progress bar, no table and no differences from the recorded run but those of models.
    #[arg(long, short)]
    quiet: bool,
    /// Keep the folder with the graph that ran, the logs and the statistics, and say where it is.
    #[arg(long)]
    keep_run: bool,
}

/// A node that somebody killed costs a replay time and nothing else; one that breaks each time ends it.
const RESTARTS: u32 = 2;

/// Runs the graph on the recording.
pub fn run(args: ReplayArgs) -> Result<(), Failure> {
    let speed = match args.speed.as_str() {
        "max" => None,
        number => match number.parse::<f64>() {
            Ok(speed) if (0.01..=100.0).contains(&speed) => Some(speed),
            _ => return Err(Failure::refused(format!("`--speed {number}` is neither `max` nor a number from 0.01 to 100"))),
        },
    };
    let seconds = args.to.map(|to| to - args.from);
    if seconds.is_some_and(|s| s <= 0.0) {
        return Err(Failure::refused("`--to` must lie behind `--from`"));
    }
    read::run(ReadArgs {
        sources: vec![args.recording.display().to_string()],
        cameras: args.camera,
        start: args.from,
        seconds,
        speed,
        out: args.out,
        graph: args.graph,
        set: args.set,
        replace: args.replace,
        report: args.report,
        recorded_graph: true,
        restarts: RESTARTS,
        quiet: args.quiet,
        keep_run: args.keep_run,
        ..ReadArgs::default()
    })
}
