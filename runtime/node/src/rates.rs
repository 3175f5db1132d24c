//! What two looks at the statistics of a node say: rates, what was left out, ages.

use crate::{Latency, NodeStats, STATS_DIR};
use std::collections::BTreeMap;
use std::path::Path;

/// Counters of nodes that count what was left out; docs/sites.md explains each.
const LEFT_OUT: [&str; 10] = [
    "packets_dropped",
    "packets_before_keyframe",
    "superseded",
    "unwanted",
    "frames_stale",
    "stale",
    "crops_stale",
    "frames_missing",
    "tracks_missing",
    "crops_over_pool",
];

impl NodeStats {
    /// The statistics of all nodes of a run, by node id; empty where there are none. Files that cannot be read are left out: a node that
    /// has just started has none yet.
    #[must_use]
    pub fn read_all(run_dir: &Path) -> BTreeMap<String, Self> {
        let files = run_dir.join(STATS_DIR).read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        let stats = files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).filter_map(|path| {
            let stats: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
            Some((stats.node.clone(), stats))
        });
        stats.collect()
    }

    /// Rows of the busiest output; of the busiest input where there is none.
    #[must_use]
    pub fn passed(&self) -> u64 {
        let most = |rows: &BTreeMap<String, u64>| rows.values().copied().max();
        most(&self.rows_out).or_else(|| most(&self.rows_in)).unwrap_or(0)
    }

    /// Rows that were dropped or passed over, of all causes.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        LEFT_OUT.iter().filter_map(|name| self.counters.get(*name)).sum()
    }

    /// `before`, if it tells of the same start of the node: else nothing can be subtracted from it.
    #[must_use]
    pub fn since<'a>(&self, before: Option<&'a Self>) -> Option<&'a Self> {
        before.filter(|before| before.uptime_s < self.uptime_s)
    }

    /// The ages of its busiest output.
    #[must_use]
    pub fn busiest_latency(&self) -> Option<(&str, &Latency)> {
        self.latency.iter().max_by_key(|(_, latency)| latency.count).map(|(output, latency)| (output.as_str(), latency))
    }
}

impl Latency {
    /// The rows that were counted after `before`. The oldest of them is not known, [`Latency::max_us`] stays as it is.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut later = self.clone();
        for (class, n) in later.classes.iter_mut().zip(before.classes) {
            *class = class.saturating_sub(n);
        }
        later.sum_us = later.sum_us.saturating_sub(before.sum_us);
        later.count = later.count.saturating_sub(before.count);
        later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_is_left_out_of_the_difference_and_a_restart_has_no_before() {
        let mut before = Latency::default();
        (before.classes[3], before.count, before.sum_us, before.max_us) = (5, 5, 40_000, 9000);
        let mut now = before.clone();
        (now.classes[10], now.count, now.sum_us, now.max_us) = (2, 7, 200_000, 90_000);
        let later = now.since(&before);
        assert_eq!((later.classes[3], later.classes[10], later.count, later.sum_us), (0, 2, 2, 160_000));
        assert!(later.quantile_ms(0.5).unwrap() > 75.0);

        let at = |uptime_s| NodeStats { uptime_s, ..NodeStats::default() };
        assert!(at(2.0).since(Some(&at(1.0))).is_some());
        assert!(at(0.5).since(Some(&at(100.0))).is_none());
        assert!(at(0.5).since(None).is_none());
    }
}
