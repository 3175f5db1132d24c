//! The table: one row per node.

use comfy_table::{CellAlignment, Table, presets};
use gantry_node::NodeStats;
use std::collections::BTreeMap;

/// One row per node and one of all; rates and ages since `before`, since the start of the node where that says nothing of it.
pub fn of(stats: &BTreeMap<String, NodeStats>, before: &BTreeMap<String, NodeStats>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let (mut cores, mut left_out_in_all) = (0.0, 0.0);
    table.set_header(["node", "rows/s", "left out/s", "left out", "age p50 ms", "age p95 ms", "CPU %", "peak MB", "up s"]);
    for (node, now) in stats {
        let since = now.since(before.get(node));
        let seconds = (now.uptime_s - since.map_or(0.0, |b| b.uptime_s)).max(f64::EPSILON);
        let rate = |of: &dyn Fn(&NodeStats) -> f64| (of(now) - since.map_or(0.0, of)).max(0.0) / seconds;
        let age = now.busiest_latency().map(|(port, latency)| match since.and_then(|b| b.latency.get(port)) {
            Some(before) => latency.since(before),
            None => latency.clone(),
        });
        let ms = |share| age.as_ref().and_then(|a| a.quantile_ms(share)).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
        let (lost, cpu) = (rate(&|s| s.left_out() as f64), rate(&|s| s.cpu_s));
        cores += cpu;
        left_out_in_all += lost;
        table.add_row([
            node.clone(),
            format!("{:.1}", rate(&|s| s.passed() as f64)),
            format!("{lost:.1}"),
            now.left_out().to_string(),
            ms(0.5),
            ms(0.95),
            format!("{:.0}", 100.0 * cpu),
            (now.peak_rss_bytes / 1_000_000).to_string(),
            format!("{:.0}", now.uptime_s),
        ]);
    }
    let total = |value: f64, digits: usize| format!("{value:.digits$}");
    let all = ["all", "", &total(left_out_in_all, 1), "", "", "", &total(100.0 * cores, 0), "", ""];
    table.add_row(all.map(str::to_owned));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_node::Latency;

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
        of(now, before).lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn rates_are_of_the_time_between_two_tables_and_start_anew_with_a_node() {
        let (first, second) = (stats(300, 0, 10.0), stats(350, 10, 12.0));
        assert_eq!(row(&first, &BTreeMap::new())[1..4], ["30.0", "0.0", "0"]);
        assert_eq!(row(&second, &first), ["detect", "25.0", "5.0", "10", "-", "-", "50", "0", "12"]);
        assert_eq!(row(&stats(40, 0, 2.0), &second)[1..4], ["20.0", "0.0", "0"]);
        let all: Vec<String> = of(&second, &first).lines().last().unwrap().split_whitespace().map(str::to_owned).collect();
        assert_eq!(all, ["all", "5.0", "50"]);
    }

    #[test]
    fn ages_are_of_the_time_between_two_tables() {
        let latency = |slow: u64, fast: u64| {
            let mut classes = Latency::default().classes;
            (classes[14], classes[4]) = (slow, fast);
            Latency { classes, sum_us: 0, count: slow + fast, max_us: 500_000 }
        };
        let with = |latency: Latency, uptime_s: f64| {
            let mut stats = stats(10, 0, uptime_s);
            stats.get_mut("detect").unwrap().latency.insert("detections".to_owned(), latency);
            stats
        };
        // The slow ones were all before.
        let median: f64 = row(&with(latency(100, 50), 12.0), &with(latency(100, 0), 10.0))[4].parse().unwrap();
        assert!((10.0..=15.0).contains(&median), "{median}");
    }
}
