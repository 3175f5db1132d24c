//! Rates, ages and load over time, from the statistics that all nodes of the run write.

use gantry_node::NodeStats;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Points that are kept: an hour of one every 5 s, or less while somebody looks.
const MOST: usize = 720;

/// One row of the table of nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeNow {
    /// Node id.
    pub node: String,
    /// Node kind.
    pub kind: String,
    /// Rows of its busiest output per second.
    pub rows_s: f64,
    /// Rows that were left out, per second.
    pub left_out_s: f64,
    /// The same since its start.
    pub left_out: u64,
    /// Age of frames at its busiest output since the last look, ms: half of them are younger.
    pub p50_ms: Option<f64>,
    /// 95 of 100 are younger.
    pub p95_ms: Option<f64>,
    /// Of one core.
    pub cpu_percent: f64,
    /// Largest resident memory, MB.
    pub peak_mb: u64,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// Whether it has ended.
    pub ended: bool,
}

/// What the charts show of one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// ms since 1970.
    pub t: i64,
    /// Frames per second by camera.
    pub fps: Values,
    /// `p95_ms` by node, where it has ages.
    pub p95_ms: Values,
    /// Rows left out per second, all nodes.
    pub left_out_s: f64,
    /// CPU of all nodes, percent of one core.
    pub cpu_percent: f64,
}

/// Numbers by name, in the order of the names. All points share the names: an hour of them is small.
#[derive(Clone, Debug, PartialEq)]
pub struct Values(Vec<(Arc<str>, f64)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, value)))
    }
}

/// Nodes write once a second; one that has written nothing for that long stands still, ms.
const STILL: i64 = 5000;

/// The last statistics and the points that came of them.
#[derive(Debug, Default)]
pub struct History {
    last: BTreeMap<String, NodeStats>,
    /// What each node did between its last two writes, and when that was seen.
    rows: BTreeMap<String, (NodeNow, i64)>,
    points: VecDeque<Point>,
    /// Of cameras and nodes, each once.
    names: BTreeSet<Arc<str>>,
}

impl History {
    /// Takes the statistics of all nodes in and says what each did since the last time.
    pub fn look(&mut self, t: i64, stats: BTreeMap<String, NodeStats>) -> Vec<NodeNow> {
        let row = |now: &NodeStats| {
            let before = self.last.get(&now.node);
            // A look between two writes sees the same file again.
            match self.rows.get(&now.node).filter(|(_, seen)| before.is_some_and(|b| b.uptime_s == now.uptime_s) && t - seen < STILL) {
                Some((row, seen)) => (row.clone(), *seen),
                None => (node_now(now, before), t),
            }
        };
        self.rows = stats.iter().map(|(node, now)| (node.clone(), row(now))).collect();
        self.last = stats;
        self.rows.values().map(|(row, _)| row.clone()).collect()
    }

    /// Keeps what the charts show of that look.
    pub fn keep(&mut self, t: i64, nodes: &[NodeNow], fps: &BTreeMap<String, f64>) -> Point {
        let point = Point {
            t,
            fps: self.values(fps.iter().map(|(camera, fps)| (camera.as_str(), *fps))),
            p95_ms: self.values(nodes.iter().filter_map(|node| Some((node.node.as_str(), node.p95_ms?)))),
            left_out_s: nodes.iter().map(|node| node.left_out_s).sum(),
            cpu_percent: nodes.iter().map(|node| node.cpu_percent).sum(),
        };
        self.points.push_back(point.clone());
        if self.points.len() > MOST {
            self.points.pop_front();
        }
        point
    }

    /// Rows of a node's busiest output per second at the last look, and how long ago it wrote so: a look may find what the one before found.
    #[must_use]
    pub fn rate(&self, node: &str, t: i64) -> (f64, Duration) {
        let (rate, written) = self.rows.get(node).map_or((0.0, t), |(row, written)| (row.rows_s, *written));
        (rate, Duration::from_millis(u64::try_from(t - written).unwrap_or(0)))
    }

    fn values<'a>(&mut self, values: impl Iterator<Item = (&'a str, f64)>) -> Values {
        Values(values.map(|(name, value)| (self.name(name), value)).collect())
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.names.insert(Arc::clone(&new));
        new
    }

    /// A counter of a node at the last look.
    #[must_use]
    pub fn counter(&self, node: &str, name: &str) -> u64 {
        self.last.get(node).and_then(|stats| stats.counters.get(name)).copied().unwrap_or(0)
    }

    /// Rows left out by a node at the last look.
    #[must_use]
    pub fn left_out(&self, node: &str) -> u64 {
        self.last.get(node).map_or(0, NodeStats::left_out)
    }

    /// Oldest first.
    #[must_use]
    pub fn points(&self) -> &VecDeque<Point> {
        &self.points
    }
}

fn node_now(now: &NodeStats, before: Option<&NodeStats>) -> NodeNow {
    let since = now.since(before);
    let seconds = (now.uptime_s - since.map_or(0.0, |b| b.uptime_s)).max(f64::EPSILON);
    // Nothing was written since: the rates of then are no rates of now.
    let stands_still = before.is_some_and(|b| b.uptime_s == now.uptime_s);
    let rate = |of: &dyn Fn(&NodeStats) -> f64| if stands_still { 0.0 } else { (of(now) - since.map_or(0.0, of)).max(0.0) / seconds };
    let ages = now.busiest_latency().filter(|_| !stands_still).map(|(output, latency)| match since.and_then(|b| b.latency.get(output)) {
        Some(before) => latency.since(before),
        None => latency.clone(),
    });
    let ms = |share| ages.as_ref().and_then(|ages| ages.quantile_ms(share)).map(tenths);
    NodeNow {
        node: now.node.clone(),
        kind: now.kind.clone(),
        rows_s: tenths(rate(&|s| s.passed() as f64)),
        left_out_s: tenths(rate(&|s| s.left_out() as f64)),
        left_out: now.left_out(),
        p50_ms: ms(0.5),
        p95_ms: ms(0.95),
        cpu_percent: tenths(100.0 * rate(&|s| s.cpu_s)),
        peak_mb: now.peak_rss_bytes / 1_000_000,
        uptime_s: tenths(now.uptime_s),
        ended: now.ended,
    }
}

/// Rounded to a tenth, which is what a page can show.
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_node::Latency;

    fn stats(rows: u64, dropped: u64, uptime_s: f64) -> BTreeMap<String, NodeStats> {
        let mut latency = Latency { count: rows, max_us: 90_000, ..Latency::default() };
        latency.classes[10] = rows;
        let node = NodeStats {
            node: "detect".into(),
            rows_out: BTreeMap::from([("detections".to_owned(), rows)]),
            counters: BTreeMap::from([("superseded".to_owned(), dropped)]),
            latency: BTreeMap::from([("detections".to_owned(), latency)]),
            cpu_s: uptime_s / 4.0,
            uptime_s,
            ..NodeStats::default()
        };
        BTreeMap::from([("detect".to_owned(), node)])
    }

    #[test]
    fn rates_and_ages_are_of_the_time_between_two_looks() {
        let mut history = History::default();
        history.look(0, stats(100, 5, 10.0));
        let nodes = history.look(1000, stats(130, 15, 11.0));
        let point = history.keep(1000, &nodes, &BTreeMap::from([("gate".to_owned(), 30.0)]));
        assert_eq!((nodes[0].rows_s, nodes[0].left_out_s, nodes[0].left_out, nodes[0].cpu_percent), (30.0, 10.0, 15, 25.0));
        let p95 = nodes[0].p95_ms.unwrap();
        assert!((75.0..=90.0).contains(&p95), "{p95}");
        let shown = serde_json::to_value(&point).unwrap();
        let wanted =
            serde_json::json!({ "t": 1000, "fps": { "gate": 30.0 }, "p95_ms": { "detect": p95 }, "left_out_s": 10.0, "cpu_percent": 25.0 });
        assert_eq!(shown, wanted);
        assert_eq!((history.counter("detect", "superseded"), history.left_out("detect"), history.points().len()), (15, 15, 1));

        // The file is seen again before the next write; then the node writes nothing any more; then it is started again.
        let nodes = history.look(2000, stats(130, 15, 11.0));
        assert_eq!(history.rate("detect", 2000), (30.0, Duration::from_secs(1)));
        assert_eq!((nodes[0].rows_s, nodes[0].p95_ms), (30.0, Some(p95)));
        let nodes = history.look(1000 + STILL, stats(130, 15, 11.0));
        assert_eq!((nodes[0].rows_s, nodes[0].p95_ms), (0.0, None));
        let nodes = history.look(9000, stats(20, 0, 1.0));
        assert_eq!(nodes[0].rows_s, 20.0);
        assert_eq!((history.rate("detect", 9000).0, history.rate("gone", 9000).0), (20.0, 0.0));
        (0..2 * MOST as i64).for_each(|t| drop(history.keep(t, &[], &BTreeMap::new())));
        assert_eq!(history.points().len(), MOST);
    }
}
