//! loom runs every interleaving of the slot word: one producer, two consumers, the reaper of one of them.
//! The code under test is the crate's own file, over loom's atomics.

#[allow(dead_code)]
#[path = "../src/word.rs"]
mod word;

use std::sync::atomic::Ordering;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use word::{AtomicWord, LeaseRefusal, State, Word};

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

/// A slot and its pixels; loom's cell panics when a write overlaps a read or another write, or is not ordered after it.
struct Slot {
    word: AtomicU64,
    pixels: UnsafeCell<u32>,
}

// Access to `pixels` is what the word is to guard; loom checks it.
struct Shared(Slot);
#[allow(unsafe_code)]
// SAFETY: loom's scheduler runs one thread at a time, and its cell checks each access to `pixels`.
unsafe impl Sync for Shared {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl Send for Shared {}

fn published() -> Arc<Shared> {
    let slot = Slot { word: AtomicU64::new(Word::new(1, State::Published, 0).0), pixels: UnsafeCell::new(1) };
    Arc::new(Shared(slot))
}

/// Takes `generation`, reads, gives back; whether it got the frame.
fn read(slot: &Slot, generation: u32, bit: u32) -> bool {
    match word::lease(&slot.word, generation, bit) {
        Ok(()) => {
            #[allow(unsafe_code)]
            // SAFETY: loom checks that no write overlaps.
            let pixels = slot.pixels.with(|pixels| unsafe { *pixels });
            assert_eq!(pixels, generation, "a leased slot has the asked generation (P2)");
            assert!(word::release(&slot.word, bit));
            true
        }
        Err(refusal) => {
            assert_eq!(refusal, LeaseRefusal::Stale);
            false
        }
    }
}

/// Tries once to write over `generation`; whether it could.
fn write(slot: &Slot, generation: u32) -> bool {
    let Ok(next) = word::begin_write(&slot.word, generation, State::Published) else { return false };
    assert_eq!(next, generation + 1);
    #[allow(unsafe_code)]
    // SAFETY: loom checks that no read or write overlaps (P1).
    slot.pixels.with_mut(|pixels| unsafe { *pixels = next });
    assert!(!word::end_write(&slot.word, next, State::Published), "nobody changes a word in WRITING");
    true
}

#[test]
fn a_writer_and_two_readers_never_meet_in_a_slot() {
    loom::model(|| {
        let slot = published();
        let readers: Vec<_> = [1, 2]
            .into_iter()
            .map(|bit| {
                let slot = slot.clone();
                thread::spawn(move || read(&slot.0, 1, bit))
            })
            .collect();
        let written = write(&slot.0, 1);
        let used: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        if !written {
            assert!(used.contains(&true), "only a lease keeps a producer from writing");
        }
        let end = Word(slot.0.word.load(Ordering::Acquire));
        assert_eq!(end, Word::new(if written { 2 } else { 1 }, State::Published, 0));
    });
}

#[test]
fn the_reaper_frees_a_dead_readers_bit_and_no_other() {
    loom::model(|| {
        let slot = published();
        // Consumer 1 died with its lease; consumer 2 lives and reads.
        assert_eq!(word::lease(&slot.0.word, 1, 1), Ok(()));
        let living = {
            let slot = slot.clone();
            thread::spawn(move || read(&slot.0, 1, 2))
        };
        let reaper = {
            let slot = slot.clone();
            thread::spawn(move || word::release(&slot.0.word, 1))
        };
        let written = write(&slot.0, 1);
        assert!(reaper.join().unwrap());
        let used = living.join().unwrap();
        assert!(used || written, "the living reader is turned away only by a rewrite");
        assert_eq!(Word(slot.0.word.load(Ordering::Acquire)).leases(), 0);
    });
}

#[test]
fn closing_keeps_the_lease_of_a_reader_that_was_in_time() {
    loom::model(|| {
        let slot = published();
        let reader = {
            let slot = slot.clone();
            thread::spawn(move || match word::lease(&slot.0.word, 1, 1) {
                Ok(()) => true,
                Err(refusal) => {
                    assert_eq!(refusal, LeaseRefusal::Closed);
                    false
                }
            })
        };
        word::retire(&slot.0.word, State::Closed);
        let leased = reader.join().unwrap();
        let end = Word(slot.0.word.load(Ordering::Acquire));
        assert!(end.is(State::Closed));
        assert_eq!(end.leases(), u32::from(leased));
    });
}

/// Every interleaving with at most so many preemptions: 2, or what `GANTRY_LOOM_PREEMPTIONS` says (`cargo xtask prove`).
fn bounded(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let said = std::env::var("GANTRY_LOOM_PREEMPTIONS").ok().map(|text| text.parse().expect("GANTRY_LOOM_PREEMPTIONS: a number is wanted"));
    builder.preemption_bound = Some(said.unwrap_or(2));
    builder.check(model);
}

#[test]
fn two_rounds_of_a_writer_with_two_readers_and_the_reaper_of_a_third() {
    bounded(|| {
        let slot = published();
        // Consumer 1 died with its lease; 2 and 3 live. One is late and wants the old frame, one takes whatever is there.
        assert_eq!(word::lease(&slot.0.word, 1, 1), Ok(()));
        let spawn = |run: fn(&Slot)| {
            let slot = slot.clone();
            thread::spawn(move || run(&slot.0))
        };
        let others = [
            spawn(|slot| assert!(word::release(&slot.word, 1))),
            spawn(|slot| {
                read(slot, 1, 2);
            }),
            spawn(|slot| {
                // Told of generation 1 and then of 2, as by two doorbells.
                read(slot, 1, 4);
                read(slot, 2, 4);
            }),
        ];
        let mut generation = 1;
        for _ in 0..2 {
            generation += u32::from(write(&slot.0, generation));
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        let end = Word(slot.0.word.load(Ordering::Acquire));
        assert_eq!(end, Word::new(generation, State::Published, 0), "all leases are back, and the word says what was written last");
    });
}

#[test]
fn closing_beside_a_writer_and_two_readers_frees_no_frame_that_is_read() {
    bounded(|| {
        let slot = published();
        let reader = |bit| {
            let slot = slot.clone();
            thread::spawn(move || match word::lease(&slot.0.word, 1, bit) {
                Ok(()) => {
                    #[allow(unsafe_code)]
                    // SAFETY: loom checks that no write overlaps.
                    let pixels = slot.0.pixels.with(|pixels| unsafe { *pixels });
                    assert_eq!(pixels, 1);
                    assert!(word::release(&slot.0.word, bit));
                }
                Err(LeaseRefusal::Stale | LeaseRefusal::Closed) => {}
            })
        };
        let readers = [reader(1), reader(2)];
        let written = write(&slot.0, 1);
        word::retire(&slot.0.word, State::Closed);
        assert!(!write(&slot.0, 1 + u32::from(written)), "a closed slot is not written");
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        let end = Word(slot.0.word.load(Ordering::Acquire));
        assert_eq!(end, Word::new(1 + u32::from(written), State::Closed, 0));
    });
}
