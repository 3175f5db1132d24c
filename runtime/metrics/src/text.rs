//! The text format of Prometheus, version 0.0.4.

use crate::Node;
use gantry_node::{BUSY_EDGES_US, Busy, LATENCY_EDGES_MS, Latency, NodeStats};
use std::fmt::Write;

/// Writes one sample: suffix of the name, labels, value.
type Sample<'a> = dyn FnMut(&str, &[(&str, &str)], f64) + 'a;
/// Writes the samples of one node.
type Samples = dyn Fn(&Node, &mut Sample<'_>);

/// Counter of the time that a model took, in µs.
const BUSY: &str = "busy_us";

/// All nodes, one family after the other.
#[must_use]
pub fn text(nodes: &[Node]) -> String {
    let mut out = String::new();
    for (name, kind, help, samples) in FAMILIES {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for node in nodes {
            samples(node, &mut |suffix, labels, value| {
                let _ = write!(out, "{name}{suffix}{{node=\"{}\"", escaped(&node.stats.node));
                for (label, text) in labels {
                    let _ = write!(out, ",{label}=\"{}\"", escaped(text));
                }
                let _ = writeln!(out, "}} {value}");
            });
        }
    }
    out
}

/// Name, kind, help, samples.
const FAMILIES: &[(&str, &str, &str, &Samples)] = &[
    ("gantry_rows_total", "counter", "Rows received and sent, by port.", &|node, line| {
        for (direction, rows) in [("in", &node.stats.rows_in), ("out", &node.stats.rows_out)] {
            rows.iter().for_each(|(port, n)| line("", &[("direction", direction), ("port", port)], *n as f64));
        }
    }),
    (
        "gantry_events_total",
        "counter",
        "What a node counts of its own: drops by cause, connects, readings (docs/sites.md).",
        &|node, line| {
            let counters = node.stats.counters.iter().filter(|(name, _)| *name != BUSY);
            counters.for_each(|(name, n)| line("", &[("event", name)], *n as f64));
        },
    ),
    ("gantry_held", "gauge", "What a node holds now: entries and bytes of a spool, open visits.", &|node, line| {
        node.stats.gauges.iter().for_each(|(name, value)| line("", &[("what", name)], *value));
    }),
    ("gantry_model_seconds_total", "counter", "Time in the model, of nodes that run one.", &|node, line| {
        if let Some(us) = node.stats.counters.get(BUSY) {
            line("", &[], *us as f64 / 1e6);
        }
    }),
    (
        "gantry_queue_age_seconds",
        "histogram",
        "How long messages were under way and in queues before the node took them, by port.",
        &|node, line| {
            node.stats.queued.iter().for_each(|(port, latency)| of_latency("port", port, latency, line));
        },
    ),
    ("gantry_frame_age_seconds", "histogram", "Age of live frames when their rows are sent, by output.", &|node, line| {
        node.stats.latency.iter().for_each(|(output, latency)| of_latency("output", output, latency, line));
    }),
    (
        "gantry_work_seconds",
        "histogram",
        "Time that a row took in the node, models included, waits for buffers left out, by port; `work`: by itself.",
        &|node, line| {
            node.stats.busy.iter().for_each(|(port, busy)| of_busy(port, busy, line));
        },
    ),
    ("gantry_buffers_read_total", "counter", "Buffers of a producer's output: used, stale or dropped.", &|node, line| {
        for (output, read) in &node.stats.buffers_read {
            for (what, n) in [("used", read.used), ("stale", read.stale), ("dropped", read.dropped), ("refused", read.refused)] {
                line("", &[("output", output), ("what", what)], n as f64);
            }
        }
    }),
    ("gantry_buffers_made_total", "counter", "Buffers published, by output.", &|node, line| {
        node.stats.buffers_made.iter().for_each(|(output, made)| line("", &[("output", output)], made.published as f64));
    }),
    ("gantry_buffer_wait_seconds_total", "counter", "Time spent waiting for a free buffer, by output.", &|node, line| {
        node.stats.buffers_made.iter().for_each(|(output, made)| line("", &[("output", output)], made.waited_ns as f64 / 1e9));
    }),
    ("gantry_copies_total", "counter", "Copies of frame-sized buffers, by port and kind.", &|node, line| {
        for (edge, copies) in &node.stats.copies {
            let kinds =
                [("on_host", copies.on_host), ("to_card", copies.to_card), ("from_card", copies.from_card), ("on_card", copies.on_card)];
            kinds.iter().for_each(|(kind, n)| line("", &[("edge", edge), ("kind", kind)], *n as f64));
        }
    }),
    ("gantry_copied_bytes_total", "counter", "Bytes of those copies.", &|node, line| {
        node.stats.copies.iter().for_each(|(edge, copies)| line("", &[("edge", edge)], copies.bytes as f64));
    }),
    ("gantry_restarts_total", "counter", "How often the node was started again since the graph was started.", &|node, line| {
        line("", &[], node.stats.starts.saturating_sub(1) as f64);
    }),
    ("gantry_cpu_seconds_total", "counter", "CPU time of the node's process.", &|node, line| line("", &[], node.stats.cpu_s)),
    ("gantry_peak_memory_bytes", "gauge", "Largest resident memory of the node's process.", &|node, line| {
        line("", &[], node.stats.peak_rss_bytes as f64);
    }),
    ("gantry_uptime_seconds", "gauge", "Time since the node started; falls when it is started again.", &|node, line| {
        line("", &[], node.stats.uptime_s);
    }),
    ("gantry_silence_seconds", "gauge", "Time since the node wrote its statistics; a living node does once a second.", &|node, line| {
        line("", &[], node.age_s);
    }),
];

fn of_latency(label: &str, of: &str, latency: &Latency, line: &mut Sample<'_>) {
    let edges = LATENCY_EDGES_MS.iter().map(|ms| *ms as f64 / 1000.0);
    histogram((label, of), edges, &latency.classes, (latency.sum_us, latency.count), line);
}

fn of_busy(port: &str, busy: &Busy, line: &mut Sample<'_>) {
    let edges = BUSY_EDGES_US.iter().map(|us| *us as f64 / 1e6);
    histogram(("port", port), edges, &busy.classes, (busy.sum_us, busy.count), line);
}

/// `total`: sum in µs, and how many.
fn histogram(label: (&str, &str), edges: impl Iterator<Item = f64>, classes: &[u64], total: (u64, u64), line: &mut Sample<'_>) {
    let mut below = 0;
    let edges = edges.map(|edge| edge.to_string()).chain(["+Inf".to_owned()]);
    for (edge, n) in edges.zip(classes) {
        below += n;
        line("_bucket", &[label, ("le", &edge)], below as f64);
    }
    line("_sum", &[label], total.0 as f64 / 1e6);
    line("_count", &[label], total.1 as f64);
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A node that has something of everything, for the tests of what is made of these names.
#[must_use]
pub fn example() -> Node {
    let mut latency = Latency { sum_us: 17_000, count: 2, max_us: 15_000, ..Latency::default() };
    (latency.classes[1], latency.classes[4]) = (1, 1);
    let mut busy = Busy { sum_us: 5_150, count: 2, max_us: 5_000, ..Busy::default() };
    (busy.classes[4], busy.classes[8]) = (1, 1);
    let map = |name: &str, n| [(name.to_owned(), n)].into();
    let stats = NodeStats {
        node: "gate.decode".into(),
        rows_out: map("frames", 2),
        counters: [("decode_errors".to_owned(), 3), (BUSY.to_owned(), 1_500_000)].into(),
        gauges: [("spool_waiting".to_owned(), 4.0)].into(),
        queued: [("packets".to_owned(), latency.clone())].into(),
        latency: [("frames".to_owned(), latency)].into(),
        busy: [("packets".to_owned(), busy)].into(),
        buffers_made: [("decode/frames".to_owned(), gantry_node::MadeStats { published: 9, ..Default::default() })].into(),
        buffers_read: [("camera/x".to_owned(), gantry_node::ReadStats { used: 7, ..Default::default() })].into(),
        copies: [("frames".to_owned(), gantry_node::CopyStats { to_card: 5, bytes: 50, ..Default::default() })].into(),
        starts: 3,
        uptime_s: 1.5,
        ..NodeStats::default()
    };
    Node { stats, age_s: 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_gauges_and_histograms_are_written_as_prometheus_reads_them() {
        let text = text(&[example()]);
        for line in [
            "gantry_rows_total{node=\"gate.decode\",direction=\"out\",port=\"frames\"} 2",
            "gantry_events_total{node=\"gate.decode\",event=\"decode_errors\"} 3",
            "gantry_model_seconds_total{node=\"gate.decode\"} 1.5",
            "gantry_held{node=\"gate.decode\",what=\"spool_waiting\"} 4",
            "gantry_queue_age_seconds_count{node=\"gate.decode\",port=\"packets\"} 2",
            "gantry_frame_age_seconds_bucket{node=\"gate.decode\",output=\"frames\",le=\"0.001\"} 0",
            "gantry_frame_age_seconds_bucket{node=\"gate.decode\",output=\"frames\",le=\"0.01\"} 1",
            "gantry_frame_age_seconds_bucket{node=\"gate.decode\",output=\"frames\",le=\"+Inf\"} 2",
            "gantry_frame_age_seconds_sum{node=\"gate.decode\",output=\"frames\"} 0.017",
            "gantry_work_seconds_bucket{node=\"gate.decode\",port=\"packets\",le=\"0.0001\"} 0",
            "gantry_work_seconds_bucket{node=\"gate.decode\",port=\"packets\",le=\"0.0002\"} 1",
            "gantry_work_seconds_bucket{node=\"gate.decode\",port=\"packets\",le=\"+Inf\"} 2",
            "gantry_work_seconds_sum{node=\"gate.decode\",port=\"packets\"} 0.00515",
            "gantry_copies_total{node=\"gate.decode\",edge=\"frames\",kind=\"to_card\"} 5",
            "gantry_restarts_total{node=\"gate.decode\"} 2",
            "gantry_uptime_seconds{node=\"gate.decode\"} 1.5",
            "gantry_silence_seconds{node=\"gate.decode\"} 0.5",
        ] {
            assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
        }
        assert!(!text.contains("busy_us"));
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
