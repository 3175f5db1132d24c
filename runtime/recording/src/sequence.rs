//! Which packets of a camera are there: pure bookkeeping.

use gantry_messages::PacketRow;
use std::ops::Range;

/// Numbers of live cameras begin anew, far above, when one is started again; a jump beyond this is no loss.
pub(crate) const ANEW: u64 = 1_000_000;

/// The packets of one camera in the order of their numbers.
///
/// Packets behind a hole refer to pictures that are gone; they are left out until the next key frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    next: u64,
    waits_for_keyframe: bool,
    delivered: u64,
    missing: Vec<Range<u64>>,
    unusable: Vec<Range<u64>>,
    ended: bool,
}

impl Sequence {
    /// Of a recording that begins with packet `first` on purpose.
    pub fn starting_at(first: u64) -> Self {
        Self { next: first, ..Self::default() }
    }

    /// Takes the next packet that was found; gives it back if it can be decoded. Behind a hole it is marked as a discontinuity.
    pub fn take(&mut self, mut row: PacketRow) -> Option<PacketRow> {
        let number = row.frame;
        if number < self.next || self.ended {
            return None;
        }
        if number - self.next > ANEW {
            self.waits_for_keyframe = self.next > 0;
        } else if number > self.next {
            self.missing.push(self.next..number);
            self.waits_for_keyframe = true;
        }
        self.next = number + 1;
        if row.end {
            self.ended = true;
            return Some(row);
        }
        if self.waits_for_keyframe || self.delivered == 0 {
            if !row.keyframe || row.codec.is_empty() {
                match self.unusable.last_mut() {
                    Some(last) if last.end == number => last.end += 1,
                    _ => self.unusable.push(number..number + 1),
                }
                return None;
            }
            row.discontinuity |= self.waits_for_keyframe;
            self.waits_for_keyframe = false;
        }
        self.delivered += 1;
        Some(row)
    }

    /// Packets that could be given back.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Numbers of packets that are not in the recording although later ones are.
    pub fn missing(&self) -> &[Range<u64>] {
        &self.missing
    }

    /// Numbers of packets that are there and cannot be decoded, because the key frame before them is not.
    pub fn unusable(&self) -> &[Range<u64>] {
        &self.unusable
    }

    /// Whether the camera came to its end. If not, packets after [`Sequence::next_number`] may be missing.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// One more than the last number seen.
    pub fn next_number(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(frame: u64, keyframe: bool) -> PacketRow {
        PacketRow { frame, keyframe, codec: if keyframe { "h264".into() } else { String::new() }, ..PacketRow::default() }
    }

    fn numbers(ranges: &[Range<u64>]) -> Vec<u64> {
        ranges.iter().cloned().flatten().collect()
    }

    #[test]
    fn every_number_is_delivered_missing_or_unusable() {
        let mut sequence = Sequence::default();
        let found = [(0, true), (1, false), (1, false), (4, false), (5, false), (6, true), (7, false), (9, true)];
        let given: Vec<(u64, bool)> =
            found.iter().filter_map(|(n, key)| sequence.take(packet(*n, *key))).map(|r| (r.frame, r.discontinuity)).collect();
        assert_eq!(given, [(0, false), (1, false), (6, true), (7, false), (9, true)]);
        assert_eq!((numbers(sequence.missing()), numbers(sequence.unusable())), (vec![2, 3, 8], vec![4, 5]));
        assert!(!sequence.ended());
        assert!(sequence.take(PacketRow { frame: 10, end: true, ..PacketRow::default() }).is_some());
        assert!(sequence.ended() && sequence.take(packet(11, true)).is_none());
    }

    #[test]
    fn a_live_camera_begins_anywhere_and_anew_without_a_loss() {
        let mut sequence = Sequence::default();
        let found = [(1 << 40, true), ((1 << 40) + 1, false), (1 << 41, true)];
        let given: Vec<bool> = found.iter().filter_map(|(n, k)| sequence.take(packet(*n, *k))).map(|r| r.discontinuity).collect();
        assert_eq!((given, sequence.missing().len()), (vec![false, false, true], 0));
    }

    #[test]
    fn a_recording_that_begins_late_begins_at_a_key_frame() {
        let mut sequence = Sequence::default();
        let given: Vec<u64> = [(3, false), (4, true)].iter().filter_map(|(n, k)| sequence.take(packet(*n, *k))).map(|r| r.frame).collect();
        assert_eq!((given, numbers(sequence.missing()), numbers(sequence.unusable())), (vec![4], vec![0, 1, 2], vec![3]));
    }
}
