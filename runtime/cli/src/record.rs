//! `gantry record`: reads plates and records what the cameras sent.

use crate::failure::Failure;
use crate::read::{self, ReadArgs};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `gantry record`.
#[derive(Args)]
pub struct RecordArgs {
    /// Video files or stream addresses; each is one camera.
    #[arg(required = true)]
    sources: Vec<String>,
    /// The recording: packets of every camera, tracks and readings.
    #[arg(long, short, value_name = "MCAP")]
    out: PathBuf,
    /// Where the readings go. Default: beside the recording, `<out>.jsonl`.
    #[arg(long)]
    readings: Option<PathBuf>,
    /// The graph; a `record` node is added to what runs, the file stays as it is.
    #[arg(long)]
    graph: Option<PathBuf>,
    /// Record this many seconds of each source.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Parameter of a node for this run; may be repeated.
    #[arg(long = "set", value_name = "NODE.NAME=VALUE")]
    set: Vec<String>,
    /// No progress bar and no table.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the graph with a `record` node.
pub fn run(args: RecordArgs) -> Result<(), Failure> {
    let out = args.out;
    if out.extension().is_none_or(|e| e != "mcap") {
        return Err(Failure::refused(format!("{}: recordings end in `.mcap`", out.display())).hint("by that they are known as recordings"));
    }
    read::run(ReadArgs {
        sources: args.sources,
        out: args.readings.unwrap_or_else(|| out.with_extension("jsonl")),
        graph: args.graph,
        seconds: args.seconds,
        set: args.set,
        quiet: args.quiet,
        record: Some(out),
        ..ReadArgs::default()
    })
}
