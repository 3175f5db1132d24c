//! The last packets of one camera, whole groups from key frame to key frame.

use gantry_messages::PacketRow;
use gantry_recording::Taken;
use std::collections::VecDeque;

/// Packets in the order of their numbers; the first is a key frame.
#[derive(Debug)]
pub struct Ring {
    keep_ns: i64,
    max_bytes: usize,
    rows: VecDeque<PacketRow>,
    bytes: usize,
    /// Number of the packet that comes next; none before the first.
    next: Option<u64>,
    newest_ns: i64,
    /// Packets were let go.
    cut: bool,
}

/// Where a clip can begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    /// Number of the key frame.
    pub number: u64,
    /// The ring does not reach back as far as was asked for.
    pub cut: bool,
}

impl Ring {
    /// Keeps what is shown up to `keep_ns` before the newest packet, as far as `max_bytes` reach.
    pub fn new(keep_ns: i64, max_bytes: usize) -> Self {
        Self { keep_ns, max_bytes, rows: VecDeque::new(), bytes: 0, next: None, newest_ns: i64::MIN, cut: false }
    }

    /// Takes the next packet.
    pub fn push(&mut self, row: &PacketRow) -> Taken {
        let expected = self.next.unwrap_or(row.frame);
        if row.frame < expected {
            return Taken::Repeated;
        }
        self.next = Some(row.frame + 1);
        if row.end {
            return Taken::Recorded;
        }
        self.newest_ns = self.newest_ns.max(decoded_ns(row));
        // Before the first key frame nothing can be decoded.
        if row.keyframe || !self.rows.is_empty() {
            self.bytes += row.data.len();
            self.rows.push_back(row.clone());
            self.trim();
        }
        match row.frame - expected {
            0 => Taken::Recorded,
            missing => Taken::After(missing),
        }
    }

    /// Decode time of the newest packet, media time in ns.
    pub fn newest_ns(&self) -> i64 {
        self.newest_ns
    }

    /// The key frame from which the picture at `from_ns` can be decoded; none while the ring is empty.
    pub fn start(&self, from_ns: i64) -> Option<Start> {
        let keyframes = || self.rows.iter().filter(|r| r.keyframe);
        match keyframes().take_while(|r| shown_ns(r) <= from_ns).last() {
            Some(row) => Some(Start { number: row.frame, cut: false }),
            None => keyframes().next().map(|row| Start { number: row.frame, cut: self.cut }),
        }
    }

    /// Packets from number `from` on that are decoded up to `end_ns`.
    pub fn between(&self, from: u64, end_ns: i64) -> impl Iterator<Item = &PacketRow> {
        let at = self.rows.partition_point(|r| r.frame < from);
        self.rows.range(at..).take_while(move |r| decoded_ns(r) <= end_ns)
    }

    fn trim(&mut self) {
        let oldest = self.newest_ns.saturating_sub(self.keep_ns);
        while let Some(second) = self.rows.iter().skip(1).position(|r| r.keyframe).map(|i| i + 1) {
            let reached = self.rows.get(second).is_some_and(|r| shown_ns(r) <= oldest);
            if !reached && self.bytes <= self.max_bytes {
                return;
            }
            self.cut = true;
            self.bytes -= self.rows.drain(..second).map(|r| r.data.len()).sum::<usize>();
        }
    }
}

fn shown_ns(row: &PacketRow) -> i64 {
    if row.pts_ns == i64::MIN { row.dts_ns } else { row.pts_ns }
}

/// All later packets are shown after this time.
fn decoded_ns(row: &PacketRow) -> i64 {
    if row.dts_ns == i64::MIN { row.pts_ns } else { row.dts_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second each, key frames every four, 100 bytes.
    fn packet(frame: u64) -> PacketRow {
        let ns = frame as i64 * 1_000_000_000;
        PacketRow { frame, keyframe: frame.is_multiple_of(4), pts_ns: ns, dts_ns: ns, data: vec![0; 100], ..PacketRow::default() }
    }

    fn ring(keep_s: i64, bytes: usize, frames: u64) -> Ring {
        let mut ring = Ring::new(keep_s * 1_000_000_000, bytes);
        (0..frames).for_each(|f| assert_eq!(ring.push(&packet(f)), Taken::Recorded));
        ring
    }

    #[test]
    fn whole_groups_are_kept_for_the_time_that_is_asked_for() {
        let ring = ring(6, usize::MAX, 20);
        assert_eq!(ring.rows.iter().map(|r| r.frame).collect::<Vec<_>>(), (12..20).collect::<Vec<_>>());
        assert_eq!(ring.start(17_500_000_000), Some(Start { number: 16, cut: false }));
        assert_eq!(ring.start(2_000_000_000), Some(Start { number: 12, cut: true }));
        assert_eq!(ring.between(13, 15_000_000_000).map(|r| r.frame).collect::<Vec<_>>(), [13, 14, 15]);
    }

    #[test]
    fn memory_is_bounded_by_whole_groups() {
        let ring = ring(1000, 900, 20);
        assert!(ring.bytes <= 900 && ring.rows.front().unwrap().keyframe, "{}", ring.bytes);
    }

    #[test]
    fn repeated_packets_are_left_out_and_holes_are_told() {
        let mut ring = Ring::new(i64::MAX, usize::MAX);
        let taken: Vec<Taken> = [3, 4, 4, 5, 8].iter().map(|f| ring.push(&packet(*f))).collect();
        assert_eq!(taken, [Taken::Recorded, Taken::Recorded, Taken::Repeated, Taken::Recorded, Taken::After(2)]);
        assert_eq!(ring.rows.front().unwrap().frame, 4, "3 cannot be decoded");
    }
}
