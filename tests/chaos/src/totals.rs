//! Sums over all episodes, and how they are printed.

use std::collections::BTreeMap;
use std::time::Duration;

/// Sums over all episodes.
#[derive(Default)]
pub struct Totals {
    pub kills: u64,
    pub stops: u64,
    pub published: u64,
    pub used: u64,
    pub stale: u64,
    pub dropped: u64,
    pub unread: u64,
    pub repeats: u64,
    pub episodes: u64,
    pub slowest_begin_ns: u64,
    pub fired: BTreeMap<String, u64>,
    pub freed: Vec<Duration>,
}

impl Totals {
    pub fn print(&mut self, seed: u64, took: Duration) {
        self.freed.sort();
        let at = |share: usize| self.freed.get((self.freed.len().saturating_sub(1)) * share / 100).copied().unwrap_or_default();
        println!(
            "seed {seed}: {} kills, {} stops, {} episodes in {took:.1?}; every armed fault fired",
            self.kills, self.stops, self.episodes
        );
        println!(
            "frames published {}; read {}, stale {}, doorbells dropped {}, died with their reader {}, read again after a kill {}",
            self.published, self.used, self.stale, self.dropped, self.unread, self.repeats
        );
        println!(
            "leases free after exit: p50 {:.2?}, p99 {:.2?}, max {:.2?} ({} consumers killed)",
            at(50),
            at(99),
            at(100),
            self.freed.len()
        );
        println!("slowest begin_write of a live producer: {:.2?}", Duration::from_nanos(self.slowest_begin_ns));
        println!("torn frames 0, wrong generations 0, leases revoked 0, frames lost 0, files left 0, descriptors left 0");
        for (point, n) in &self.fired {
            println!("{n:>8}  {point}");
        }
    }

    pub fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.stops += other.stops;
        self.published += other.published;
        self.used += other.used;
        self.stale += other.stale;
        self.dropped += other.dropped;
        self.unread += other.unread;
        self.repeats += other.repeats;
        self.episodes += other.episodes;
        self.slowest_begin_ns = self.slowest_begin_ns.max(other.slowest_begin_ns);
        self.freed.extend(other.freed);
        for (point, n) in other.fired {
            *self.fired.entry(point).or_default() += n;
        }
    }
}
