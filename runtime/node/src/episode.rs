use std::time::{Duration, Instant};

/// Something that lasts, as an outage or a full disk: told when it begins and when it is over, and not each time that it is met.
///
/// ```
/// let mut full = gantry_node::Episode::default();
/// assert!(full.begins());
/// assert!(!full.begins() && full.lasts());
/// assert!(full.ends().is_some());
/// assert!(full.ends().is_none() && full.begins());
/// ```
#[derive(Debug, Default)]
pub struct Episode {
    since: Option<Instant>,
}

impl Episode {
    /// It is met; whether it begins with that.
    pub fn begins(&mut self) -> bool {
        let begins = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        begins
    }

    /// It is not met any more; how long it was, if it ends with that.
    pub fn ends(&mut self) -> Option<Duration> {
        self.since.take().map(|since| since.elapsed())
    }

    /// Whether it has begun and not ended.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.since.is_some()
    }
}
