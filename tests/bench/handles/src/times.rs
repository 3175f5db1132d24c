//! Clocks and samples.

use rustix::time::{ClockId, clock_gettime};

fn ns(clock: ClockId) -> u64 {
    let t = clock_gettime(clock);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Now, the same clock in every process of this machine.
pub fn now_ns() -> u64 {
    ns(ClockId::Monotonic)
}

/// CPU time of this process, all threads.
pub fn process_cpu_ns() -> u64 {
    ns(ClockId::ProcessCPUTime)
}

/// CPU time of this thread.
pub fn thread_cpu_ns() -> u64 {
    ns(ClockId::ThreadCPUTime)
}

/// CPU time of another process, all its threads; in steps of 10 ms.
pub fn cpu_of_ns(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat) * 10_000_000
}

/// CPU time of this process's threads whose names start with `prefix`; in steps of 10 ms.
pub fn threads_cpu_ns(prefix: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named = tasks.filter(|t| std::fs::read_to_string(t.path().join("comm")).is_ok_and(|name| name.starts_with(prefix)));
    named.map(|t| ticks(&std::fs::read_to_string(t.path().join("stat")).unwrap_or_default()) * 10_000_000).sum()
}

/// Fields 14 and 15 of a `stat` file, `utime` and `stime`; the command, which may hold spaces, is field 2.
fn ticks(stat: &str) -> u64 {
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum()
}

/// CPU time of the calls between two looks at the clock, less what looking costs.
#[derive(Clone, Copy, Debug)]
pub struct ThreadTimer {
    on: bool,
    look_ns: u64,
    since: u64,
}

impl ThreadTimer {
    /// Finds out what a look costs: a system call. If not `on` it never looks, and all spans are 0.
    pub fn new(on: bool) -> Self {
        let mut looks: Vec<u64> = (0..2000)
            .map(|_| {
                let since = thread_cpu_ns();
                thread_cpu_ns() - since
            })
            .collect();
        looks.sort_unstable();
        Self { on, look_ns: looks[looks.len() / 2], since: 0 }
    }

    /// Begins a span.
    pub fn start(&mut self) {
        if self.on {
            self.since = thread_cpu_ns();
        }
    }

    /// Ends a span and begins the next one.
    pub fn lap(&mut self) -> u64 {
        if !self.on {
            return 0;
        }
        let now = thread_cpu_ns();
        let spent = (now - self.since).saturating_sub(self.look_ns);
        self.since = now;
        spent
    }
}

/// Values in ns, to be asked for percentiles.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    /// One more.
    pub fn push(&mut self, ns: u64) {
        self.0.push(ns);
    }

    /// Many more.
    pub fn extend(&mut self, ns: impl IntoIterator<Item = u64>) {
        self.0.extend(ns);
    }

    /// All of another.
    pub fn extend_from(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The value that `share` of all do not exceed, divided by `unit_ns`; NaN if there is none.
    pub fn at(&self, share: f64, unit_ns: f64) -> f64 {
        let mut all = self.0.clone();
        all.sort_unstable();
        let index = (share * all.len().saturating_sub(1) as f64).round() as usize;
        all.get(index).map_or(f64::NAN, |ns| *ns as f64 / unit_ns)
    }

    /// p50 and p99 in us.
    pub fn us(&self) -> Vec<f64> {
        vec![self.at(0.5, 1e3), self.at(0.99, 1e3)]
    }

    /// Median and largest in ms.
    pub fn ms(&self) -> Vec<f64> {
        vec![self.at(0.5, 1e6), self.at(1.0, 1e6)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut samples = Samples::default();
        assert!(samples.at(0.5, 1.0).is_nan());
        samples.extend((1..=100).rev().map(|n| n * 1000));
        assert_eq!((samples.at(0.0, 1e3), samples.at(0.99, 1e3), samples.at(1.0, 1e3)), (1.0, 99.0, 100.0));
    }

    #[test]
    fn a_span_counts_the_threads_own_work_and_not_its_sleep() {
        let mut timer = ThreadTimer::new(true);
        timer.start();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(timer.lap() < 10_000_000);
        let (mut x, mut spent) = (1u64, 0);
        while spent < 5_000_000 {
            for i in 0..10_000u64 {
                x = std::hint::black_box(x.wrapping_mul(i | 1));
            }
            spent += timer.lap();
        }
        assert!(process_cpu_ns() >= spent);
        assert_eq!(ticks("7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 30 12 13"), 42);
    }
}
