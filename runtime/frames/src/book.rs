//! The producer's private books: what it knows of its slots and consumers without trusting a shared page.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::pages::LeasePage;
use crate::word::{self, BeginRefusal, State, Word};
use crate::{ConsumerSpec, FrameMeta, Handle, Mode};

/// One slot.
#[derive(Debug, Clone)]
pub(crate) struct SlotBook {
    pub(crate) generation: u32,
    pub(crate) state: State,
    /// Its frame, while published.
    pub(crate) seq: u64,
    /// Round in which `claim` found it leased.
    tried: u64,
}

impl SlotBook {
    fn is_done(&self, limit: u64) -> bool {
        self.state == State::Free || (self.state == State::Published && self.seq < limit)
    }
}

/// One declared consumer.
#[derive(Debug)]
pub(crate) struct ConsumerBook {
    pub(crate) spec: ConsumerSpec,
    /// Process that is connected.
    pub(crate) pid: Option<u32>,
    /// When it was last seen to go, or the pool's start.
    pub(crate) away_since: Instant,
    pub(crate) joins: u64,
    pub(crate) reaps: u64,
    pub(crate) reaped_leases: u64,
    /// Checked copy of its cursor.
    pub(crate) acked_next: u64,
    /// A cursor that cannot be, counted once.
    bad_cursor: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) slots: Vec<SlotBook>,
    pub(crate) consumers: Vec<ConsumerBook>,
    pub(crate) next_seq: u64,
    pub(crate) newest: Option<(Handle, FrameMeta)>,
    pub(crate) closed: bool,
    pub(crate) abandoned: u64,
    pub(crate) waits: u64,
    pub(crate) waited_ns: u64,
    pub(crate) scribbles: u64,
    round: u64,
}

impl Book {
    pub(crate) fn new(slots: u32, consumers: Vec<ConsumerSpec>, now: Instant) -> Self {
        let slot = SlotBook { generation: 0, state: State::Free, seq: 0, tried: 0 };
        let consumer =
            |spec| ConsumerBook { spec, pid: None, away_since: now, joins: 0, reaps: 0, reaped_leases: 0, acked_next: 0, bad_cursor: None };
        Self {
            slots: vec![slot; slots as usize],
            consumers: consumers.into_iter().map(consumer).collect(),
            next_seq: 0,
            newest: None,
            closed: false,
            abandoned: 0,
            waits: 0,
            waited_ns: 0,
            scribbles: 0,
            round: 0,
        }
    }

    /// Copies the consumers' cursors. One that went back, or beyond what was published, is not believed.
    pub(crate) fn read_cursors(&mut self, page: &LeasePage) {
        for (index, consumer) in self.consumers.iter_mut().enumerate() {
            let cursor = page.cursor(index).load(Ordering::Acquire);
            if (consumer.acked_next..=self.next_seq).contains(&cursor) {
                consumer.acked_next = cursor;
                consumer.bad_cursor = None;
            } else if consumer.bad_cursor.replace(cursor) != Some(cursor) {
                self.scribbles += 1;
            }
        }
    }

    /// Frames below this seq have been read by all (lossless) or need not be (live).
    fn read_limit(&mut self, mode: Mode, page: &LeasePage) -> u64 {
        match mode {
            Mode::Live => u64::MAX,
            Mode::Lossless => {
                self.read_cursors(page);
                self.consumers.iter().map(|consumer| consumer.acked_next).min().unwrap_or(u64::MAX)
            }
        }
    }

    /// How many slots [`Book::claim`] could give out one after the other, but for leases, which acknowledged frames rarely have.
    pub(crate) fn usable(&mut self, mode: Mode, page: &LeasePage, held: impl Fn(usize) -> bool) -> usize {
        let limit = self.read_limit(mode, page);
        self.slots.iter().enumerate().filter(|(index, slot)| slot.is_done(limit) && !held(*index)).count()
    }

    /// Takes the best slot to write. Live: a free one, else the one with the oldest frame. Lossless: the one that was read by
    /// all most recently, else a free one; so a run goes round in as few slots as are under way, whose memory is in the cache
    /// and mapped already, and not round the whole pool. `held` says which slots this process still uses.
    pub(crate) fn claim(&mut self, mode: Mode, page: &LeasePage, held: impl Fn(usize) -> bool) -> Option<(u32, u32)> {
        let limit = self.read_limit(mode, page);
        self.round += 1;
        loop {
            let usable = |(index, slot): &(usize, &SlotBook)| slot.is_done(limit) && slot.tried != self.round && !held(*index);
            let rank = |(_, slot): &(usize, &SlotBook)| match (mode, slot.state) {
                (Mode::Live, State::Free) => 0,
                (Mode::Live, _) => slot.seq + 1,
                (Mode::Lossless, State::Free) => u64::MAX,
                (Mode::Lossless, _) => u64::MAX - 1 - slot.seq,
            };
            let (index, _) = self.slots.iter().enumerate().filter(usable).min_by_key(rank)?;
            let round = self.round;
            let slot = &mut self.slots[index];
            slot.tried = round;
            match word::begin_write(page.slot(index as u32), slot.generation, slot.state) {
                Ok(generation) => {
                    (slot.generation, slot.state) = (generation, State::Writing);
                    return Some((index as u32, generation));
                }
                Err(BeginRefusal::Leased(bits)) if bits >> self.consumers.len() == 0 => {}
                // A lease that nobody can have, or a word that is not ours: never write there again, somebody may read it.
                Err(BeginRefusal::Leased(_) | BeginRefusal::Scribbled(_)) => {
                    slot.state = State::Quarantined;
                    self.scribbles += 1;
                    word::retire(page.slot(index as u32), State::Quarantined);
                    tracing::error!(slot = index, "slot word was scribbled over, the slot is put aside");
                }
            }
        }
    }

    /// A consumer that is away for longer than `grace` and has frames to read: its index and how many.
    pub(crate) fn overdue(&self, grace: Duration, now: Instant) -> Option<(usize, u64)> {
        self.consumers.iter().enumerate().find_map(|(index, consumer)| {
            let unacked = self.next_seq - consumer.acked_next;
            let late = consumer.pid.is_none() && now.saturating_duration_since(consumer.away_since) > grace;
            (late && unacked > 0).then_some((index, unacked))
        })
    }

    /// Live: a consumer with leases and how many. Lossless: a consumer with unacknowledged frames and how many.
    pub(crate) fn busy(&mut self, mode: Mode, page: &LeasePage) -> Option<(usize, u64)> {
        self.read_cursors(page);
        let leases = |index: usize| {
            let has_bit = |word: &&std::sync::atomic::AtomicU64| Word(word.load(Ordering::Acquire)).leases() & (1 << index) != 0;
            page.slot_words().filter(has_bit).count() as u64
        };
        self.consumers.iter().enumerate().find_map(|(index, consumer)| {
            let open = match mode {
                Mode::Live => leases(index),
                Mode::Lossless => self.next_seq - consumer.acked_next,
            };
            (open > 0).then_some((index, open))
        })
    }

    pub(crate) fn quarantined(&self) -> u32 {
        self.slots.iter().filter(|slot| slot.state == State::Quarantined).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Geometry;
    use crate::shm::{SharedMemory, Sharing};
    use crate::{Backend, PoolConfig, PoolId};

    fn book(mode: Mode, slots: u32, consumers: u32) -> (Book, LeasePage) {
        let geometry = Geometry { id: PoolId([1; 16]), mode, slots, slot_bytes: 1, backend: Backend::HostMemfd, device_uuid: [0; 16] };
        let (memory, _) = SharedMemory::create("test-leases", geometry.lease_len(), Sharing::AllWrite).unwrap();
        let specs = (0..consumers).map(|n| ConsumerSpec { name: n.to_string(), max_held: 1, queue_size: 0 }).collect();
        (Book::new(slots, specs, Instant::now()), LeasePage::new(memory, &geometry))
    }

    /// Claims and publishes, as `Filled::publish` does it.
    fn publish(book: &mut Book, page: &LeasePage, mode: Mode) -> Option<u32> {
        let (slot, generation) = book.claim(mode, page, |_| false)?;
        assert!(!word::end_write(page.slot(slot), generation, State::Published));
        let entry = &mut book.slots[slot as usize];
        (entry.state, entry.seq) = (State::Published, book.next_seq);
        book.next_seq += 1;
        Some(slot)
    }

    #[test]
    fn a_scribbled_slot_word_puts_the_slot_aside_for_good() {
        let (mut book, page) = book(Mode::Live, 4, 2);
        let published: Vec<_> = (0..4).filter_map(|_| publish(&mut book, &page, Mode::Live)).collect();
        assert_eq!(published, [0, 1, 2, 3]);
        page.slot(0).store(u64::MAX, Ordering::Release);
        // A lease of a consumer that is not declared.
        page.slot(1).fetch_or(1 << 2, Ordering::AcqRel);
        page.slot(2).fetch_or(1 << 1, Ordering::AcqRel);
        for _ in 0..10 {
            assert_eq!(publish(&mut book, &page, Mode::Live), Some(3), "0 and 1 are scribbled, 2 is leased");
        }
        assert_eq!((book.quarantined(), book.scribbles), (2, 2));
        page.slot(1).fetch_and(!(1 << 2), Ordering::AcqRel);
        word::release(page.slot(2), 1 << 1);
        assert_eq!(publish(&mut book, &page, Mode::Live), Some(2));
        assert_eq!(publish(&mut book, &page, Mode::Live), Some(3), "1 does not come back");
    }

    #[test]
    fn a_scribbled_cursor_is_not_believed_and_counted_once() {
        let (mut book, page) = book(Mode::Lossless, 2, 1);
        assert_eq!([0; 3].map(|_| publish(&mut book, &page, Mode::Lossless)), [Some(0), Some(1), None]);
        page.cursor(0).store(u64::MAX, Ordering::Release);
        assert_eq!([0; 3].map(|_| publish(&mut book, &page, Mode::Lossless)), [None; 3]);
        assert_eq!(book.scribbles, 1);
        page.cursor(0).store(1, Ordering::Release);
        assert_eq!(publish(&mut book, &page, Mode::Lossless), Some(0));
        page.cursor(0).store(0, Ordering::Release);
        assert_eq!(publish(&mut book, &page, Mode::Lossless), None);
        assert_eq!((book.consumers[0].acked_next, book.scribbles), (1, 2), "it does not go back");
    }

    #[test]
    fn a_lossless_pool_goes_round_in_the_slots_that_are_under_way_and_not_in_all() {
        let (mut book, page) = book(Mode::Lossless, 48, 1);
        let mut used = std::collections::BTreeSet::new();
        for seq in 0..1000u64 {
            used.extend(publish(&mut book, &page, Mode::Lossless));
            // The reader is three frames behind.
            page.cursor(0).store((seq + 1).saturating_sub(3), Ordering::Release);
        }
        assert_eq!(used.len(), 4, "{used:?}");
        assert_eq!(book.next_seq, 1000);
    }

    #[test]
    fn a_pool_of_the_smallest_size_always_has_a_slot_for_a_live_producer() {
        for consumers in 0..4u32 {
            let specs: Vec<_> = (0..consumers).map(|n| ConsumerSpec { name: n.to_string(), max_held: 1, queue_size: 0 }).collect();
            let slots = PoolConfig::min_slots(Mode::Live, &specs, 0);
            let (mut book, page) = book(Mode::Live, slots, consumers);
            for n in 0..200u32 {
                let slot = publish(&mut book, &page, Mode::Live).expect("a live producer never waits");
                // Each consumer in turn swaps what it holds for the newest frame.
                if consumers > 0 {
                    let index = n % consumers;
                    for word in page.slot_words() {
                        word::release(word, 1 << index);
                    }
                    let generation = book.slots[slot as usize].generation;
                    assert_eq!(word::lease(page.slot(slot), generation, 1 << index), Ok(()));
                }
            }
        }
    }
}
