//! The slot word: who may touch a slot, in one `AtomicU64`.
//!
//! `generation:32 | state:4 | lease bits:28`. One word, because a generation and a set of leases in two atomics would race: a
//! consumer could set its bit on a slot that was rewritten in between.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the algorithm asks of its atomic; loom checks the same code over its own (`tests/loom_word.rs`).
pub(crate) trait AtomicWord {
    fn load(&self, order: Ordering) -> u64;
    fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64>;
    fn swap(&self, new: u64, order: Ordering) -> u64;
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64;
}

impl AtomicWord for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.compare_exchange(current, new, success, failure)
    }
    fn swap(&self, new: u64, order: Ordering) -> u64 {
        self.swap(new, order)
    }
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        self.fetch_and(mask, order)
    }
}

const LEASE_BITS: u32 = 28;
const LEASE_MASK: u64 = (1 << LEASE_BITS) - 1;

/// What a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free = 0,
    Writing = 1,
    Published = 2,
    Quarantined = 3,
    Closed = 4,
}

/// One value of the word, taken apart. Any 64 bits can be looked at: they come from a page that others may scribble on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub u64);

impl Word {
    pub(crate) const fn new(generation: u32, state: State, leases: u32) -> Self {
        Self(((generation as u64) << 32) | ((state as u64) << LEASE_BITS) | (leases as u64 & LEASE_MASK))
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn is(self, state: State) -> bool {
        (self.0 >> LEASE_BITS) & 0xf == state as u64
    }

    pub(crate) fn leases(self) -> u32 {
        (self.0 & LEASE_MASK) as u32
    }

    fn with_state(self, state: State) -> Self {
        Self::new(self.generation(), state, self.leases())
    }
}

/// Why the producer cannot write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BeginRefusal {
    /// These lease bits are set.
    Leased(u32),
    /// Generation or state are not what the producer's private book says.
    Scribbled(Word),
}

/// Why a consumer gets no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseRefusal {
    Stale,
    Closed,
}

/// Producer: (generation, `from`, no lease) -> (generation + 1, WRITING, no lease). Fails while any lease bit is set.
pub(crate) fn begin_write(word: &impl AtomicWord, generation: u32, from: State) -> Result<u32, BeginRefusal> {
    let next = generation.wrapping_add(1);
    // Acquire: the readers' last loads happen before our first store into the slot (they pair with `release`).
    let swap =
        word.compare_exchange(Word::new(generation, from, 0).0, Word::new(next, State::Writing, 0).0, Ordering::AcqRel, Ordering::Acquire);
    match swap.map_err(Word) {
        Ok(_) => Ok(next),
        Err(found) if found.generation() == generation && found.is(from) => Err(BeginRefusal::Leased(found.leases())),
        Err(found) => Err(BeginRefusal::Scribbled(found)),
    }
}

/// Producer: WRITING -> `to`. No honest process changes a word in WRITING, so the private book wins over whatever is found;
/// returns whether something else was found.
pub(crate) fn end_write(word: &impl AtomicWord, generation: u32, to: State) -> bool {
    let found = word.swap(Word::new(generation, to, 0).0, Ordering::AcqRel);
    found != Word::new(generation, State::Writing, 0).0
}

/// Consumer: sets `bit` if the slot holds `generation` and is published.
pub(crate) fn lease(word: &impl AtomicWord, generation: u32, bit: u32) -> Result<(), LeaseRefusal> {
    let mut current = Word(word.load(Ordering::Acquire));
    loop {
        if current.is(State::Closed) {
            return Err(LeaseRefusal::Closed);
        }
        if current.generation() != generation || !current.is(State::Published) {
            return Err(LeaseRefusal::Stale);
        }
        let leased = current.0 | u64::from(bit);
        // Acquire: the producer's stores before `end_write` happen before our loads.
        match word.compare_exchange(current.0, leased, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Ok(()),
            Err(found) => current = Word(found),
        }
    }
}

/// Clears `bit`; whether it was set. Used by the consumer, and by the producer for a consumer that is proven dead. Idempotent.
pub(crate) fn release(word: &impl AtomicWord, bit: u32) -> bool {
    // Release: our loads from the slot happen before the producer's next `begin_write`.
    word.fetch_and(!u64::from(bit), Ordering::AcqRel) & u64::from(bit) != 0
}

/// Producer: puts the slot into `state` for good, keeping generation and lease bits.
pub(crate) fn retire(word: &impl AtomicWord, state: State) {
    let mut current = word.load(Ordering::Acquire);
    while let Err(found) = word.compare_exchange(current, Word(current).with_state(state).0, Ordering::AcqRel, Ordering::Acquire) {
        current = found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_round_and_refuses_what_comes_out_of_turn() {
        let word = AtomicU64::new(Word::new(0, State::Free, 0).0);
        assert_eq!(begin_write(&word, 0, State::Free), Ok(1));
        assert_eq!(lease(&word, 1, 1), Err(LeaseRefusal::Stale), "not while it is written");
        assert!(!end_write(&word, 1, State::Published));
        assert_eq!(lease(&word, 0, 1), Err(LeaseRefusal::Stale), "not the old generation");
        assert_eq!(lease(&word, 1, 1), Ok(()));
        assert_eq!(lease(&word, 1, 1 << 27), Ok(()));
        assert_eq!(begin_write(&word, 1, State::Published), Err(BeginRefusal::Leased(1 | 1 << 27)));
        assert!(release(&word, 1) && !release(&word, 1), "idempotent");
        assert!(release(&word, 1 << 27));
        assert_eq!(begin_write(&word, 1, State::Published), Ok(2));
        retire(&word, State::Closed);
        assert_eq!(lease(&word, 2, 1), Err(LeaseRefusal::Closed));
    }

    #[test]
    fn a_scribbled_word_is_noticed_by_the_producer() {
        let word = AtomicU64::new(u64::MAX);
        assert_eq!(begin_write(&word, 7, State::Published), Err(BeginRefusal::Scribbled(Word(u64::MAX))));
        assert!(end_write(&word, 7, State::Published));
        assert_eq!(Word(word.load(Ordering::Relaxed)), Word::new(7, State::Published, 0));
    }

    #[test]
    fn a_slot_is_leased_or_scribbled_over_and_neither_is_taken_for_the_other() {
        let begin = |generation, state, leases| begin_write(&AtomicU64::new(Word::new(generation, state, leases).0), 7, State::Published);
        assert_eq!(begin(7, State::Published, 0), Ok(8));
        assert_eq!(begin(7, State::Published, 5), Err(BeginRefusal::Leased(5)));
        for (generation, state) in [(7, State::Free), (7, State::Writing), (6, State::Published), (8, State::Published)] {
            for leases in [0, 5] {
                assert_eq!(begin(generation, state, leases), Err(BeginRefusal::Scribbled(Word::new(generation, state, leases))));
            }
        }
    }

    #[test]
    fn a_lease_that_is_taken_twice_is_one_lease() {
        let word = AtomicU64::new(Word::new(3, State::Published, 2).0);
        assert_eq!((lease(&word, 3, 4), lease(&word, 3, 4)), (Ok(()), Ok(())));
        assert_eq!(Word(word.load(Ordering::Relaxed)), Word::new(3, State::Published, 6));
        assert!(release(&word, 4));
        assert_eq!(Word(word.load(Ordering::Relaxed)), Word::new(3, State::Published, 2));
    }

    #[test]
    fn a_slot_that_is_retired_keeps_generation_and_leases() {
        for state in [State::Closed, State::Quarantined] {
            let word = AtomicU64::new(Word::new(u32::MAX - 1, State::Writing, 0xfff_ffff).0);
            retire(&word, state);
            assert_eq!(Word(word.load(Ordering::Relaxed)), Word::new(u32::MAX - 1, state, 0xfff_ffff));
        }
    }

    #[test]
    fn the_generation_wraps() {
        let word = AtomicU64::new(Word::new(u32::MAX, State::Published, 0).0);
        assert_eq!(begin_write(&word, u32::MAX, State::Published), Ok(0));
    }
}
