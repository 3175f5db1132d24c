//! How long a node works on a frame.

use crate::latency::quantile;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Upper edges of the classes in µs, the last one open.
pub const BUSY_EDGES_US: [u64; 19] = [
    10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000,
];

/// Times that rows took in a node: from the call of the stage to its end, less its waits for free slots. A message of
/// several rows counts each with its share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// Rows per class of [`BUSY_EDGES_US`]; one more for those above.
    pub classes: [u64; BUSY_EDGES_US.len() + 1],
    /// Sum in µs.
    pub sum_us: u64,
    /// Rows.
    pub count: u64,
    /// Longest in µs.
    pub max_us: u64,
}

impl Busy {
    /// Counts `rows` rows that took `time` together.
    pub(crate) fn add(&mut self, time: Duration, rows: u64) {
        let all = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let each = all / rows.max(1);
        let class = BUSY_EDGES_US.iter().position(|edge| each <= *edge).unwrap_or(BUSY_EDGES_US.len());
        self.classes[class] += rows;
        self.sum_us = self.sum_us.saturating_add(all);
        self.count += rows;
        self.max_us = self.max_us.max(each);
    }

    /// Adds what another node counted.
    pub fn merge(&mut self, other: &Self) {
        for (own, more) in self.classes.iter_mut().zip(&other.classes) {
            *own += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.count += other.count;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// Time in ms that the share `share` of all rows does not exceed, as exact as the classes are; `None` without rows.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        quantile(&self.classes, &BUSY_EDGES_US, self.max_us, share).map(|us| us / 1000.0)
    }
}

/// Measures one call of a stage.
pub(crate) struct Watch {
    started: Instant,
    waited: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), waited: gantry_frames::waited() }
    }

    /// Time since the start, less the waits of this thread for free slots.
    pub(crate) fn worked(&self) -> Duration {
        self.started.elapsed().saturating_sub(gantry_frames::waited().saturating_sub(self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_message_share_its_time() {
        let mut busy = Busy::default();
        assert_eq!(busy.quantile_ms(0.5), None);
        busy.add(Duration::from_millis(32), 8);
        busy.add(Duration::from_millis(40), 1);
        assert_eq!((busy.count, busy.sum_us, busy.max_us), (9, 72_000, 40_000));
        let median = busy.quantile_ms(0.5).unwrap();
        assert!((2.0..=5.0).contains(&median), "{median}");
        assert!(busy.quantile_ms(0.99).unwrap() > 20.0);
    }
}
