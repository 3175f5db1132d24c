//! Whether something grows: the middle of the last third beside the middle of the first, and never a single value.

use super::Sample;

/// What is no growth.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Share of the memory at the start.
    pub memory_share: f64,
    /// Memory in kB that any process may gain: allocators do not give back at once.
    pub memory_kb: u64,
    /// Descriptors, and threads, that any process may gain: on a busy machine one or another connection is made late.
    pub handles: u64,
}

impl Limits {
    /// For dora's own processes, whose connections come and go: a few more are no growth of a site.
    pub(super) fn for_dora(self) -> Self {
        Self { handles: self.handles.max(8), ..self }
    }
}

/// The samples of one process, in order.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<Sample>);

/// First and last value of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Private memory in kB.
    pub memory_kb: (u64, u64),
    /// Descriptors.
    pub descriptors: (u64, u64),
    /// Threads.
    pub threads: (u64, u64),
    memory_grew: bool,
    handles: u64,
}

impl Series {
    pub(super) fn push(&mut self, sample: &Sample) {
        self.0.push(sample.clone());
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn last(&self) -> Option<&Sample> {
        self.0.last()
    }

    /// First third and last third.
    pub(super) fn verdict(&self, limits: Limits) -> Verdict {
        let third = (self.0.len() / 3).max(1);
        let thirds = |of: fn(&Sample) -> u64| {
            let values: Vec<u64> = self.0.iter().map(of).collect();
            (median(&values[..third.min(values.len())]), median(&values[values.len().saturating_sub(third)..]))
        };
        let memory_kb = thirds(|s| s.memory_kb);
        let allowed = memory_kb.0 + limits.memory_kb + (memory_kb.0 as f64 * limits.memory_share) as u64;
        let memory_grew = memory_kb.1 > allowed;
        Verdict { memory_kb, descriptors: thirds(|s| s.descriptors), threads: thirds(|s| s.threads), memory_grew, handles: limits.handles }
    }
}

impl Verdict {
    pub(super) fn complaints(&self) -> impl Iterator<Item = String> + use<> {
        let Self { memory_kb, descriptors, threads, memory_grew, handles } = *self;
        let told = |grew: bool, what: &str, (from, to): (u64, u64)| grew.then(|| format!("{what} grew from {from} to {to}"));
        let more = |(from, to): (u64, u64)| to > from + handles;
        let all = [
            told(memory_grew, "memory in kB", memory_kb),
            told(more(descriptors), "descriptors", descriptors),
            told(more(threads), "threads", threads),
        ];
        all.into_iter().flatten()
    }
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { memory_share: 0.02, memory_kb: 1000, handles: 0 };

    fn series(values: impl IntoIterator<Item = (u64, u64, u64)>) -> Series {
        let sample = |(memory_kb, descriptors, threads)| Sample { node: "n".into(), memory_kb, descriptors, threads };
        Series(values.into_iter().map(sample).collect())
    }

    fn complaints(series: &Series) -> Vec<String> {
        series.verdict(LIMITS).complaints().collect()
    }

    #[test]
    fn a_leak_of_each_kind_is_found() {
        let leak = series((0..30).map(|i| (50_000 + i * 200, 20 + i / 10, 5 + i / 10)));
        assert_eq!(
            complaints(&leak),
            ["memory in kB grew from 51000 to 55000", "descriptors grew from 20 to 22", "threads grew from 5 to 7"]
        );
    }

    #[test]
    fn ups_and_downs_are_no_growth() {
        let noise = series((0..30).map(|i| (50_000 + i % 7 * 400, 20 + u64::from(i == 29), 5 + u64::from(i % 3 == 0))));
        assert_eq!(complaints(&noise), Vec::<String>::new());
        assert_eq!(complaints(&series([(1000, 3, 1)])), Vec::<String>::new());
    }
}
