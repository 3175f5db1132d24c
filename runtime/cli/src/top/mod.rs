//! `gantry top`: what the nodes of a running site do, from the statistics that they write.

use crate::failure::Failure;
use crate::read::engine::read_stats;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use gantry_node::NodeStats;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// Time between two tables: nodes write their statistics once a second.
const EVERY: Duration = Duration::from_secs(2);
/// Counters of nodes that count what was left out; docs/sites.md explains each.
const LEFT_OUT: [&str; 9] = [
    "packets_dropped",
    "packets_before_keyframe",
    "superseded",
    "frames_stale",
    "stale",
    "crops_stale",
    "frames_missing",
    "tracks_missing",
    "crops_over_pool",
];

/// Arguments of `gantry top`.
#[derive(Args)]
pub struct TopArgs {
    /// Folder of the run: `GANTRY_RUN_DIR` of the graph, e.g. out/gate.
    folder: PathBuf,
    /// One table of means since the start, then end.
    #[arg(long)]
    once: bool,
    /// The text format of Prometheus, once: for the textfile collector of its node exporter.
    #[arg(long, conflicts_with = "once")]
    metrics: bool,
}

/// Prints tables until it is interrupted, or one.
pub fn run(args: &TopArgs) -> Result<(), Failure> {
    let mut before = BTreeMap::new();
    loop {
        let stats = read_stats(&args.folder);
        if stats.is_empty() {
            return Err(Failure::refused(format!("no statistics in `{}`", args.folder.join(gantry_node::STATS_DIR).display()))
                .hint("start the graph with `GANTRY_RUN_DIR` in its `env` and name that folder; nodes write once a second"));
        }
        if args.metrics {
            crate::stdout::write(format_args!("{}", gantry_metrics::text(&gantry_metrics::read(&args.folder))));
            return Ok(());
        }
        if !before.is_empty() && std::io::stdout().is_terminal() {
            crate::stdout::write(format_args!("\x1b[2J\x1b[H"));
        }
        outln!("{}", table(&stats, &before));
        if args.once {
            return Ok(());
        }
        crate::stdout::flushed()?;
        std::thread::sleep(EVERY);
        before = stats;
    }
}

/// One row per node; rates since `before`, since the start of the node where that says nothing of it.
fn table(stats: &BTreeMap<String, NodeStats>, before: &BTreeMap<String, NodeStats>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["node", "rows/s", "left out/s", "left out", "age p50 ms", "age p95 ms", "CPU %", "peak MB", "up s"]);
    for (node, now) in stats {
        let since = before.get(node).filter(|b| b.uptime_s < now.uptime_s);
        let seconds = (now.uptime_s - since.map_or(0.0, |b| b.uptime_s)).max(f64::EPSILON);
        let rate = |of: &dyn Fn(&NodeStats) -> f64| (of(now) - since.map_or(0.0, of)).max(0.0) / seconds;
        let age = now.latency.values().max_by_key(|latency| latency.count);
        let ms = |share| age.and_then(|a| a.quantile_ms(share)).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
        table.add_row([
            node.clone(),
            format!("{:.1}", rate(&|s| passed(s) as f64)),
            format!("{:.1}", rate(&|s| left_out(s) as f64)),
            left_out(now).to_string(),
            ms(0.5),
            ms(0.95),
            format!("{:.0}", 100.0 * rate(&|s| s.cpu_s)),
            (now.peak_rss_bytes / 1_000_000).to_string(),
            format!("{:.0}", now.uptime_s),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Rows of the busiest output; of the busiest input where there is none.
fn passed(stats: &NodeStats) -> u64 {
    let most = |rows: &BTreeMap<String, u64>| rows.values().copied().max();
    most(&stats.rows_out).or_else(|| most(&stats.rows_in)).unwrap_or(0)
}

fn left_out(stats: &NodeStats) -> u64 {
    LEFT_OUT.iter().filter_map(|name| stats.counters.get(*name)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(rows: u64, superseded: u64, uptime_s: f64) -> BTreeMap<String, NodeStats> {
        let node = NodeStats {
            node: "detect".into(),
            rows_out: BTreeMap::from([("detections".to_owned(), rows)]),
            counters: BTreeMap::from([("superseded".to_owned(), superseded), ("boxes".to_owned(), 1000)]),
            uptime_s,
            cpu_s: uptime_s / 2.0,
            ..NodeStats::default()
        };
        BTreeMap::from([("detect".to_owned(), node)])
    }

    fn row(now: &BTreeMap<String, NodeStats>, before: &BTreeMap<String, NodeStats>) -> Vec<String> {
        table(now, before).lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn rates_are_of_the_time_between_two_tables_and_start_anew_with_a_node() {
        let (first, second) = (stats(300, 0, 10.0), stats(350, 10, 12.0));
        assert_eq!(row(&first, &BTreeMap::new())[1..4], ["30.0", "0.0", "0"]);
        assert_eq!(row(&second, &first), ["detect", "25.0", "5.0", "10", "-", "-", "50", "0", "12"]);
        assert_eq!(row(&stats(40, 0, 2.0), &second)[1..4], ["20.0", "0.0", "0"]);
    }
}
