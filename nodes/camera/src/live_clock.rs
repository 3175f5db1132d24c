//! Media time of a live source: goes on over reconnects, jumps and restarts.

/// Media time that goes back by more than this is a jump and no reordering.
const BACK_NS: i64 = 1_000_000_000;
/// Media time that runs ahead of the clock on the wall by more than this from one packet to the next is a jump.
const AHEAD_NS: i64 = 2_000_000_000;

/// Moves the times of packets to the clock on the wall: ns since 1970, spaced as the camera says.
///
/// The packet that was under way for the shortest time is placed at the moment at which it came; the others follow by their own times, so
/// that delays of the network do not show and no packet comes before its time. A camera that sets its clock, or whose counter
/// wraps, is caught by the difference between two packets, and time goes on by the clock on the wall. A delay followed by a burst
/// is no jump: the times of the packets themselves go on evenly.
#[derive(Clone, Debug, Default)]
pub struct LiveClock {
    last: Option<Last>,
    offset_ns: i64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    media_ns: i64,
    wall_ns: i64,
}

impl LiveClock {
    /// The next packet is of a new connection.
    pub fn reconnected(&mut self) {
        self.last = None;
    }

    /// What to add to the times of a packet whose media time is `media_ns` and which came at `wall_ns`; true: its time jumped.
    pub fn offset(&mut self, media_ns: i64, wall_ns: i64) -> (i64, bool) {
        let mut jumped = false;
        match self.last {
            None => self.offset_ns = wall_ns - media_ns,
            Some(last) => {
                let (media, wall) = (media_ns - last.media_ns, (wall_ns - last.wall_ns).max(0));
                if media < -BACK_NS || media > wall + AHEAD_NS {
                    jumped = true;
                    self.offset_ns += wall - media;
                }
            }
        }
        self.offset_ns = self.offset_ns.min(wall_ns - media_ns);
        self.last = Some(Last { media_ns, wall_ns });
        (self.offset_ns, jumped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Places packets given as (media, wall) in ms; times in ms, with `true` where one jumped.
    fn placed(packets: &[(i64, i64)]) -> Vec<(i64, bool)> {
        let mut clock = LiveClock::default();
        let place = |&(media, wall): &(i64, i64)| {
            let (offset, jumped) = clock.offset(media * MS, wall * MS);
            ((media * MS + offset) / MS, jumped)
        };
        packets.iter().map(place).collect()
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
        assert_eq!(clock.offset(100, 5000), (4900, false));
        clock.reconnected();
        assert_eq!(clock.offset(0, 900_000), (900_000, false));
    }
}
