use std::time::{Duration, Instant};

/// Live: work that is left out because there is more than can be done, told apart from a burst.
///
/// Where frames come in a burst, those that wait are done soon and none need be lost. Where there are more than can be done for good, those that wait only
/// get old, and none more is done: from then on one place is enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shortage {
    /// When leaving out began, and was last.
    times: Option<(Instant, Instant)>,
}

impl Shortage {
    /// After so long, leaving out is no burst, and leaving out nothing no pause.
    pub const CALM: Duration = Duration::from_secs(1);

    /// Something was left out.
    pub fn met(&mut self, now: Instant) {
        let first = self.recent(now).map_or(now, |(first, _)| first);
        self.times = Some((first, now));
    }

    /// Whether something has been left out for longer than [`Shortage::CALM`], without a pause of that length.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> bool {
        self.recent(now).is_some_and(|(first, last)| last.saturating_duration_since(first) >= Self::CALM)
    }

    fn recent(&self, now: Instant) -> Option<(Instant, Instant)> {
        self.times.filter(|(_, last)| now.saturating_duration_since(*last) < Self::CALM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_none_and_a_pause_ends_it() {
        let (start, mut shortage) = (Instant::now(), Shortage::default());
        let at = |halves: u32| start + halves * Shortage::CALM / 2;
        assert!(!shortage.lasts(start));
        shortage.met(at(0));
        shortage.met(at(1));
        assert!(!shortage.lasts(at(1)));
        shortage.met(at(2));
        assert!(shortage.lasts(at(2)) && shortage.lasts(at(3)) && !shortage.lasts(at(4)));
        shortage.met(at(5));
        assert!(!shortage.lasts(at(5)), "it begins again");
    }
}
