//! Statistics in the text format of Prometheus.

use gantry_node::{LATENCY_EDGES_MS, NodeStats};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Writes one sample: suffix of the name, labels, value.
type Sample<'a> = dyn FnMut(&str, &[(&str, &str)], f64) + 'a;
/// Writes the samples of one node.
type Samples<'a> = dyn Fn(&NodeStats, &mut Sample<'_>) + 'a;

/// All nodes, one family after the other.
pub fn text(stats: &BTreeMap<String, NodeStats>) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &Samples<'_>| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for node in stats.values() {
            samples(node, &mut |suffix, labels, value| {
                let _ = write!(out, "{name}{suffix}{{node=\"{}\"", escaped(&node.node));
                for (label, text) in labels {
                    let _ = write!(out, ",{label}=\"{}\"", escaped(text));
                }
                let _ = writeln!(out, "}} {value}");
            });
        }
    };
    family("gantry_rows_total", "counter", "Rows received and sent, by port.", &|node, line| {
        for (direction, rows) in [("in", &node.rows_in), ("out", &node.rows_out)] {
            rows.iter().for_each(|(port, n)| line("", &[("direction", direction), ("port", port)], *n as f64));
        }
    });
    family(
        "gantry_events_total",
        "counter",
        "What a node counts of its own: drops by cause, connects, readings (docs/sites.md).",
        &|node, line| {
            node.counters.iter().for_each(|(name, n)| line("", &[("event", name)], *n as f64));
        },
    );
    family("gantry_buffers_read_total", "counter", "Buffers of a producer's output: used, stale or dropped.", &|node, line| {
        for (output, read) in &node.buffers_read {
            for (what, n) in [("used", read.used), ("stale", read.stale), ("dropped", read.dropped)] {
                line("", &[("output", output), ("what", what)], n as f64);
            }
        }
    });
    family("gantry_frame_age_seconds", "histogram", "Age of frames when their rows are sent, by output.", &|node, line| {
        for (output, latency) in &node.latency {
            let mut below = 0;
            let edges = LATENCY_EDGES_MS.iter().map(|ms| (*ms as f64 / 1000.0).to_string()).chain(["+Inf".to_owned()]);
            for (edge, n) in edges.zip(latency.classes) {
                below += n;
                line("_bucket", &[("output", output), ("le", &edge)], below as f64);
            }
            line("_sum", &[("output", output)], latency.sum_us as f64 / 1e6);
            line("_count", &[("output", output)], latency.count as f64);
        }
    });
    family("gantry_cpu_seconds_total", "counter", "CPU time of the node's process.", &|node, line| line("", &[], node.cpu_s));
    family("gantry_peak_memory_bytes", "gauge", "Largest resident memory of the node's process.", &|node, line| {
        line("", &[], node.peak_rss_bytes as f64);
    });
    family("gantry_uptime_seconds", "gauge", "Time since the node started; falls when it is started again.", &|node, line| {
        line("", &[], node.uptime_s);
    });
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_node::Latency;

    #[test]
    fn counters_and_histograms_are_written_as_prometheus_reads_them() {
        let mut latency = Latency { sum_us: 17_000, count: 2, max_us: 15_000, ..Latency::default() };
        (latency.classes[1], latency.classes[4]) = (1, 1);
        let node = NodeStats {
            node: "gate.decode".into(),
            rows_out: BTreeMap::from([("frames".to_owned(), 2)]),
            counters: BTreeMap::from([("decode_errors".to_owned(), 3)]),
            latency: BTreeMap::from([("frames".to_owned(), latency)]),
            uptime_s: 1.5,
            ..NodeStats::default()
        };
        let text = text(&BTreeMap::from([("gate.decode".to_owned(), node)]));
        for line in [
            "gantry_rows_total{node=\"gate.decode\",direction=\"out\",port=\"frames\"} 2",
            "gantry_events_total{node=\"gate.decode\",event=\"decode_errors\"} 3",
            "gantry_frame_age_seconds_bucket{node=\"gate.decode\",output=\"frames\",le=\"0.001\"} 0",
            "gantry_frame_age_seconds_bucket{node=\"gate.decode\",output=\"frames\",le=\"0.01\"} 1",
            "gantry_frame_age_seconds_bucket{node=\"gate.decode\",output=\"frames\",le=\"+Inf\"} 2",
            "gantry_frame_age_seconds_sum{node=\"gate.decode\",output=\"frames\"} 0.017",
            "gantry_uptime_seconds{node=\"gate.decode\"} 1.5",
        ] {
            assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
        }
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
