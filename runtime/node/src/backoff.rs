//! How long to wait before something that failed is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// Doubles from 0.1 s up to a limit, each time up to a quarter more or less: cameras that went away together (a switch), or sinks of
/// one server, do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits of `most` at most, give or take a quarter.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        Self { next: FIRST.min(most), most }
    }

    /// The next wait. `chance` in `0.0..1.0` decides about the quarter.
    pub fn wait(&mut self, chance: f64) -> Duration {
        let wait = self.next.mul_f64(0.75 + 0.5 * chance);
        self.next = (self.next * 2).min(self.most);
        wait
    }

    /// It worked: the next failure starts from the beginning.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500));
        let waits: Vec<u128> = (0..5).map(|_| backoff.wait(0.5).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 500, 500]);
        assert_eq!((backoff.wait(0.0).as_millis(), backoff.wait(1.0).as_millis()), (375, 625));
        backoff.reset();
        assert_eq!(backoff.wait(0.5), FIRST);
        assert_eq!(Backoff::new(Duration::from_millis(20)).wait(0.5).as_millis(), 20);
    }
}
