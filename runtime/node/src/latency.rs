//! How old frames are when a node sends what it made of them.

use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// Upper edges of the classes in ms, the last one open: `le` of Prometheus. They are close where ages of live sites are, because a share is as exact as its class.
pub const LATENCY_EDGES_MS: [u64; 19] = [1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10_000];

/// Wall clocks of cameras are above this (2001), media times of files below.
const WALL_CLOCK_NS: i64 = 1_000_000_000_000_000_000;

/// Ages of rows, from the arrival of the frame's packet at `camera` to now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Rows per class of [`LATENCY_EDGES_MS`]; one more for those above.
    pub classes: [u64; LATENCY_EDGES_MS.len() + 1],
    /// Sum of all ages in µs.
    pub sum_us: u64,
    /// Rows.
    pub count: u64,
    /// Oldest so far in µs.
    pub max_us: u64,
}

impl Latency {
    /// Counts one row. Rows of files have no age and are left out.
    pub(crate) fn add(&mut self, captured_ns: i64, now_ns: i64) {
        if captured_ns < WALL_CLOCK_NS {
            return;
        }
        // A clock that was set back makes no negative ages.
        let us = u64::try_from((now_ns - captured_ns) / 1000).unwrap_or(0);
        let class = LATENCY_EDGES_MS.iter().position(|edge| us <= edge * 1000).unwrap_or(LATENCY_EDGES_MS.len());
        self.classes[class] += 1;
        self.sum_us += us;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Age in ms that the share `share` of all rows does not exceed, as exact as the classes are; `None` without rows.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        quantile(&self.classes, &LATENCY_EDGES_MS.map(|ms| ms * 1000), self.max_us, share).map(|us| us / 1000.0)
    }
}

/// The value that the share `share` of all counted values does not exceed, spread evenly within its class; `None` if none was
/// counted. `classes` has one class more than `edges`, which are in the unit of `max` and of the result.
pub(crate) fn quantile(classes: &[u64], edges: &[u64], max: u64, share: f64) -> Option<f64> {
    let count: u64 = classes.iter().sum();
    if count == 0 {
        return None;
    }
    let wanted = share * count as f64;
    let mut below = 0.0;
    for (i, n) in classes.iter().enumerate() {
        let n = *n as f64;
        if n > 0.0 && below + n >= wanted {
            let lower = if i == 0 { 0.0 } else { edges[i - 1] as f64 };
            let upper = edges.get(i).map_or(max as f64, |edge| (*edge).min(max) as f64);
            return Some(lower + (upper - lower).max(0.0) * ((wanted - below) / n).clamp(0.0, 1.0));
        }
        below += n;
    }
    Some(max as f64)
}

/// Wall clock in ns since 1970.
pub(crate) fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_fall_into_classes_and_files_have_none() {
        let now = 1_800_000_000_000_000_000;
        let mut latency = Latency::default();
        latency.add(40_000_000, now);
        assert_eq!(latency, Latency::default());
        assert_eq!(latency.quantile_ms(0.5), None);
        for ms in [0, 1, 15, 15, 15, 15, 15, 15, 150, 20_000] {
            latency.add(now - ms * 1_000_000, now);
        }
        latency.add(now + 5_000_000, now);
        assert_eq!(latency.classes, [3, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((latency.count, latency.max_us), (11, 20_000_000));
        let median = latency.quantile_ms(0.5).unwrap();
        assert!((10.0..=15.0).contains(&median), "{median}");
        assert!(latency.quantile_ms(0.99).unwrap() > 10_000.0);
    }
}
