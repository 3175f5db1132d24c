//! Sets of sequence numbers near the newest one, in fixed memory.

/// Numbers remembered behind the newest one.
const WINDOW: u64 = 4096;

/// What an insertion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    New,
    /// In the set already, or older than the window, which is taken as the same.
    Repeated,
    /// Beyond the window; only for sets that must not forget.
    TooFar,
}

/// Numbers in `[base, base + 4096)`; all below `base` count as contained.
#[derive(Debug)]
pub(crate) struct SeqSet {
    base: u64,
    count: u64,
    bits: Box<[u64]>,
}

impl SeqSet {
    pub(crate) fn starting_at(base: u64) -> Self {
        Self { base, count: 0, bits: vec![0; WINDOW as usize / 64].into() }
    }

    /// First number that may be missing.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Insertions that were new.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn bit(seq: u64) -> (usize, u64) {
        ((seq % WINDOW) as usize / 64, 1 << (seq % 64))
    }

    /// Inserts `seq`; the oldest numbers are forgotten (taken as contained) when it lies beyond the window.
    pub(crate) fn insert_sliding(&mut self, seq: u64) -> Inserted {
        if seq >= self.base.saturating_add(WINDOW) {
            let base = seq - (WINDOW - 1);
            if base - self.base >= WINDOW {
                self.bits.fill(0);
            } else {
                for old in self.base..base {
                    let (word, mask) = Self::bit(old);
                    self.bits[word] &= !mask;
                }
            }
            self.base = base;
        }
        self.insert(seq)
    }

    /// Inserts `seq` and moves the base over all numbers that are contained without a gap.
    pub(crate) fn insert_contiguous(&mut self, seq: u64) -> Inserted {
        let inserted = self.insert(seq);
        loop {
            let (word, mask) = Self::bit(self.base);
            if self.bits[word] & mask == 0 {
                return inserted;
            }
            self.bits[word] &= !mask;
            self.base += 1;
        }
    }

    fn insert(&mut self, seq: u64) -> Inserted {
        if seq < self.base {
            return Inserted::Repeated;
        }
        if seq - self.base >= WINDOW {
            return Inserted::TooFar;
        }
        let (word, mask) = Self::bit(seq);
        if self.bits[word] & mask != 0 {
            return Inserted::Repeated;
        }
        self.bits[word] |= mask;
        self.count += 1;
        Inserted::New
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sliding_set_is_a_set_within_its_window(seqs in prop::collection::vec(0u64..20_000, 0..300), start in 0u64..100) {
            let (mut set, mut model) = (SeqSet::starting_at(start), BTreeSet::new());
            for seq in seqs {
                let base = set.base().max((seq + 1).saturating_sub(WINDOW));
                let wanted = if seq < base || model.contains(&seq) { Inserted::Repeated } else { Inserted::New };
                prop_assert_eq!(set.insert_sliding(seq), wanted);
                if wanted == Inserted::New {
                    model.insert(seq);
                }
                prop_assert_eq!(set.count(), model.len() as u64);
                prop_assert_eq!(set.base(), base);
            }
        }

        #[test]
        fn acks_in_any_order_move_the_base_to_the_first_gap(mut order in Just((0u64..200).collect::<Vec<_>>()).prop_shuffle(), cut in 0usize..200) {
            order.truncate(cut);
            let (mut set, mut model) = (SeqSet::starting_at(0), BTreeSet::new());
            for seq in order {
                prop_assert_eq!(set.insert_contiguous(seq), Inserted::New);
                model.insert(seq);
                let gap = (0..).find(|n| !model.contains(n)).unwrap();
                prop_assert_eq!(set.base(), gap);
                prop_assert_eq!(set.insert_contiguous(seq), Inserted::Repeated);
            }
        }
    }

    #[test]
    fn an_ack_beyond_the_window_is_refused() {
        let mut set = SeqSet::starting_at(5);
        assert_eq!(set.insert_contiguous(5 + WINDOW), Inserted::TooFar);
        assert_eq!(set.insert_contiguous(4 + WINDOW), Inserted::New);
        assert_eq!(set.base(), 5);
    }
}
