//! `gantry top`: what the nodes of a running site do, from the statistics that they write.

mod table;

use crate::failure::Failure;
use clap::Args;
use gantry_node::NodeStats;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// Time between two tables: nodes write their statistics once a second.
const EVERY: Duration = Duration::from_secs(2);
/// Arguments of `gantry top`.
#[derive(Args)]
pub struct TopArgs {
    /// Folder of the run: `GANTRY_RUN_DIR` of the graph, e.g. out/gate.
    folder: PathBuf,
    /// One table of means since the start, then end.
    #[arg(long)]
    once: bool,
    /// One table of the next so many seconds, then end: how to measure a site.
    #[arg(long, value_name = "S", conflicts_with = "once")]
    seconds: Option<u16>,
    /// The text format of Prometheus, once: for the textfile collector of its node exporter.
    #[arg(long, conflicts_with_all = ["once", "seconds"])]
    metrics: bool,
}

/// Prints tables until it is interrupted, or one.
pub fn run(args: &TopArgs) -> Result<(), Failure> {
    let mut before = BTreeMap::new();
    loop {
        let stats = NodeStats::read_all(&args.folder);
        if stats.is_empty() {
            return Err(Failure::refused(format!("no statistics in `{}`", args.folder.join(gantry_node::STATS_DIR).display()))
                .hint("start the graph with `GANTRY_RUN_DIR` in its `env` and name that folder; nodes write once a second"));
        }
        if args.metrics {
            crate::stdout::write(format_args!("{}", gantry_metrics::text(&gantry_metrics::read(&args.folder))));
            return Ok(());
        }
        if let Some(seconds) = args.seconds {
            if before.is_empty() {
                std::thread::sleep(Duration::from_secs(seconds.max(2).into()));
                before = stats;
                continue;
            }
            outln!("{}", table::of(&stats, &before));
            return Ok(());
        }
        if !before.is_empty() && std::io::stdout().is_terminal() {
            crate::stdout::write(format_args!("\x1b[2J\x1b[H"));
        }
        outln!("{}", table::of(&stats, &before));
        if args.once {
            return Ok(());
        }
        crate::stdout::flushed()?;
        std::thread::sleep(EVERY);
        before = stats;
    }
}
