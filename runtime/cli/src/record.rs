//! `gantry record`: runs a graph and records what the cameras sent and what was made of it.

use crate::failure::Failure;
use crate::login::Access;
use crate::read::{self, ReadArgs};
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `gantry record`.
#[derive(Args)]
pub struct RecordArgs {
    /// A graph file, which runs as it is; or video files and stream addresses, each is one camera of graphs/read.yml.
    #[arg(required = true, value_name = "GRAPH|SOURCE")]
    sources: Vec<String>,
    /// The recording: packets of every camera and results.
    #[arg(long, short, value_name = "MCAP")]
    out: PathBuf,
    /// Results that are recorded beside the packets: detections, tracks, texts, readings.
    #[arg(long, value_delimiter = ',', default_value = "tracks,readings")]
    results: Vec<String>,
    /// Where the readings go. Default: where GRAPH says; for sources beside the recording, `<out>.jsonl`.
    #[arg(long)]
    readings: Option<PathBuf>,
    /// For sources: the graph whose part named `_cam0` is repeated for each.
    #[arg(long)]
    graph: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
    /// Record this many seconds: of each source that has an end, of the clock where cameras are live.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Parameter of a node for this run; may be repeated. `record.PART_MB=500` sets one of the node that is added.
    #[arg(long = "set", value_name = "NODE.NAME=VALUE")]
    set: Vec<String>,
    /// Another program in the place of a node, or the node of another graph; may be repeated.
    #[arg(long, value_name = "NODE=NEW")]
    replace: Vec<String>,
    /// No progress bar and no table.
    #[arg(long, short)]
    quiet: bool,
    /// Keep the folder with the graph that ran, the logs and the statistics, and say where it is.
    #[arg(long)]
    keep_run: bool,
}

/// Runs the graph with a `record` node more; the graph's file stays as it is.
pub fn run(args: RecordArgs) -> Result<(), Failure> {
    let out = args.out;
    if out.extension().is_none_or(|e| e != "mcap") {
        return Err(Failure::refused(format!("{}: recordings end in `.mcap`", out.display())).hint("by that they are known as recordings"));
    }
    let is_graph = |text: &String| Path::new(text).extension().is_some_and(|e| e == "yml" || e == "yaml");
    let whole = args.sources.iter().find(|s| is_graph(s)).map(PathBuf::from);
    if whole.is_some() && (args.sources.len() > 1 || args.graph.is_some()) {
        return Err(Failure::refused("a graph file runs as it is, with its own cameras: no sources and no `--graph` beside it")
            .hint("for other sources: `gantry record SOURCE... --graph GRAPH.yml`"));
    }
    let readings = args.readings.unwrap_or_else(|| if whole.is_some() { PathBuf::new() } else { out.with_extension("jsonl") });
    read::run(ReadArgs {
        sources: if whole.is_some() { Vec::new() } else { args.sources },
        whole,
        out: readings,
        graph: args.graph,
        access: args.access,
        seconds: args.seconds,
        set: args.set,
        replace: args.replace,
        quiet: args.quiet,
        keep_run: args.keep_run,
        results: args.results,
        record: Some(out),
        ..ReadArgs::default()
    })
}
