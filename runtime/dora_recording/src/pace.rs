//! When the next message of a replay is due.

use std::time::Duration;

/// The gaps of a recording, at some speed.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    speed: f64,
    /// Offset of the last message from the start of the recording, in ns.
    last_ns: u64,
}

impl Pace {
    /// `speed` 2 is twice as fast as recorded; 0 and below: without gaps.
    pub fn new(speed: f64) -> Self {
        Self { speed, last_ns: 0 }
    }

    /// How long to wait before the message at `offset_ns` from the start of the recording. The first waits for its own offset, so that the
    /// messages of several nodes keep their places to each other.
    pub fn gap(&mut self, offset_ns: u64) -> Duration {
        let gap_ns = offset_ns.saturating_sub(self.last_ns);
        self.last_ns = offset_ns;
        if self.speed > 0.0 { Duration::from_nanos((gap_ns as f64 / self.speed) as u64) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_those_of_the_recording_divided_by_the_speed() {
        let gaps = |speed: f64| {
            let mut pace = Pace::new(speed);
            [400, 1000, 900].map(|ms| pace.gap(ms * 1_000_000).as_millis())
        };
        assert_eq!(gaps(1.0), [400, 600, 0]);
        assert_eq!(gaps(2.0), [200, 300, 0]);
        assert_eq!(gaps(0.0), [0, 0, 0]);
    }
}
