//! Media time of a live source: goes on over reconnects, jumps and restarts.

use std::time::Instant;

/// Media time that goes back by more than this is a jump and no reordering.
const BACK_NS: i64 = 1_000_000_000;
/// Media time that runs ahead of the clock on the wall by more than this from one packet to the next is a jump.
const AHEAD_NS: i64 = 2_000_000_000;
/// By so much the clock on the wall was set, and not read a little late.
const SET_NS: i64 = 500_000_000;

/// Moves the times of packets to the clock on the wall: ns since 1970, spaced as the camera says.
///
/// The packet that was under way for the shortest time is placed at the moment at which it came; the others follow by their own times, so
/// that delays of the network do not show and no packet comes before its time. A camera that sets its clock, or whose counter
/// wraps, is caught by the difference between two packets, and time goes on by the clock on the wall. A delay followed by a burst
/// is no jump: the times of the packets themselves go on evenly.
///
/// A clock on the wall that is set forward is followed. One that is set back is not, as nothing behind a camera takes times that go back: they go on
/// evenly, ahead of it, until it is set forward again or the process is started again.
#[derive(Clone, Debug, Default)]
pub struct LiveClock {
    /// Media time of the last packet of this connection.
    media_ns: Option<i64>,
    /// When the last packet came.
    came: Option<Came>,
    ahead_ns: i64,
    offset_ns: i64,
}

#[derive(Clone, Copy, Debug)]
struct Came {
    wall_ns: i64,
    at: Instant,
}

impl LiveClock {
    /// The next packet is of a new connection.
    pub fn reconnected(&mut self) {
        self.media_ns = None;
    }

    /// How far times are ahead of the clock on the wall, as it was set back.
    #[must_use]
    pub fn ahead_ns(&self) -> i64 {
        self.ahead_ns
    }

    /// The time of a packet that has none and came at `at`, on the wall `wall_ns`.
    pub fn arrival(&mut self, wall_ns: i64, at: Instant) -> i64 {
        self.offset_ns += self.follow(wall_ns, at).1;
        wall_ns + self.ahead_ns
    }

    /// What to add to the times of a packet whose media time is `media_ns` and which came at `at`, on the wall `wall_ns`; true: its time jumped.
    pub fn offset(&mut self, media_ns: i64, wall_ns: i64, at: Instant) -> (i64, bool) {
        let (passed, forward) = self.follow(wall_ns, at);
        let latest = wall_ns + self.ahead_ns - media_ns;
        let mut jumped = false;
        match self.media_ns.replace(media_ns) {
            None => self.offset_ns = latest,
            Some(last) => {
                self.offset_ns += forward;
                let media = media_ns - last;
                if media < -BACK_NS || media > passed.saturating_add(AHEAD_NS) {
                    jumped = true;
                    self.offset_ns += passed - media;
                }
            }
        }
        self.offset_ns = self.offset_ns.min(latest);
        (self.offset_ns, jumped)
    }

    /// How long it is since the last packet, and by how much times go forward with the clock on the wall beyond that.
    fn follow(&mut self, wall_ns: i64, at: Instant) -> (i64, i64) {
        let Some(last) = self.came.replace(Came { wall_ns, at }) else { return (0, 0) };
        let passed = i64::try_from(at.saturating_duration_since(last.at).as_nanos()).unwrap_or(i64::MAX);
        let set = (wall_ns - last.wall_ns).saturating_sub(passed);
        if set.abs() <= SET_NS {
            return (passed, 0);
        }
        let before = self.ahead_ns;
        self.ahead_ns = (before - set).max(0);
        (passed, set + self.ahead_ns - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: i64 = 1_000_000;

    /// Places packets given as (media, wall) in ms, with a clock on the wall that was never set; times in ms, with `true` where one jumped.
    fn placed(packets: &[(i64, i64)]) -> Vec<(i64, bool)> {
        placed_while_set(&packets.iter().map(|&(media, wall)| (media, wall, 0)).collect::<Vec<_>>())
    }

    /// As [`placed`], with by how much the clock on the wall has been set forward in all when the packet comes.
    fn placed_while_set(packets: &[(i64, i64, i64)]) -> Vec<(i64, bool)> {
        let (mut clock, started) = (LiveClock::default(), Instant::now());
        let place = |&(media, wall, set): &(i64, i64, i64)| {
            let at = started + Duration::from_millis(wall as u64);
            let (offset, jumped) = clock.offset(media * MS, (wall + set) * MS, at);
            ((media * MS + offset) / MS, jumped)
        };
        packets.iter().map(place).collect()
    }

    #[test]
    fn times_follow_a_clock_that_is_set() {
        let hour = 3_600_000;
        let on = placed_while_set(&[(0, 5000, 0), (40, 5045, hour), (80, 5080, hour), (120, 5120, hour)]);
        assert_eq!(on, [(5000, false), (5040 + hour, false), (5080 + hour, false), (5120 + hour, false)]);
        let back = placed_while_set(&[(0, 5000, 0), (40, 5045, -hour), (80, 5080, -hour), (120, 5120, 0), (160, 5160, hour)]);
        assert_eq!(back, [(5000, false), (5040, false), (5080, false), (5120, false), (5160 + hour, false)], "it never goes back");
        let more = placed_while_set(&[(0, 5000, 0), (40, 5040, -hour), (80, 5080, 2 * hour)]);
        assert_eq!(more, [(5000, false), (5040, false), (5080 + 2 * hour, false)]);
        // The camera's own clock jumps in the same moment.
        let both = placed_while_set(&[(0, 5000, 0), (hour, 5040, hour), (hour + 40, 5080, hour)]);
        assert_eq!(both, [(5000, false), (5040 + hour, true), (5080 + hour, false)]);
    }

    #[test]
    fn times_follow_the_camera_and_not_the_network() {
        // The second is late by 3 s, the third comes in the same burst.
        assert_eq!(placed(&[(0, 5000), (40, 8040), (80, 8041)]), [(5000, false), (5040, false), (5080, false)]);
        // Reordering by a few frames, and packets that were lost for 3 s.
        assert_eq!(placed(&[(80, 5080), (40, 5084), (3080, 8080)]), [(5080, false), (5040, false), (8080, false)]);
        // The first had to wait until the stream was understood; the others show that it was late.
        assert_eq!(
            placed(&[(0, 5800), (40, 5801), (760, 5802), (800, 5842)]),
            [(5800, false), (5801, false), (5802, false), (5842, false)]
        );
    }

    #[test]
    fn a_jump_or_a_wrap_goes_on_by_the_clock_on_the_wall() {
        assert_eq!(placed(&[(0, 5000), (3_600_000, 5040), (3_600_040, 5080)]), [(5000, false), (5040, true), (5080, false)]);
        let wrap = (1 << 32) / 90;
        assert_eq!(placed(&[(wrap, 5000), (7, 5033), (40, 5066)]), [(5000, false), (5033, true), (5066, false)]);
    }

    #[test]
    fn a_new_connection_starts_at_the_moment_of_its_first_packet() {
        let mut clock = LiveClock::default();
        let started = Instant::now();
        assert_eq!(clock.offset(100, 5000, started), (4900, false));
        clock.reconnected();
        assert_eq!(clock.offset(0, 900_000, started + Duration::from_nanos(895_000)), (900_000, false));
        // Set back while nothing came.
        clock.reconnected();
        let later = started + Duration::from_secs(9);
        assert_eq!(clock.arrival(900_000 - 3_600_000_000_000, later), 9_000_005_000);
        assert_eq!(clock.offset(7, 900_000 - 3_600_000_000_000, later), (9_000_004_993, false));
    }
}
