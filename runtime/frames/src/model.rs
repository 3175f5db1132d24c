//! A pool and its consumers against a reference model, under any order of what can happen to them.
//!
//! The model knows slots, seqs and who holds what, and nothing of words, cursors and pages. After each step every frame that is
//! held has the pattern of its seq (P1, P5), a frame is taken exactly when the model says so (P2), a live producer got a slot
//! (P3), a lossless consumer was told each seq once and in order since it acknowledged (P6), and the counters agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use crate::import::Import;
use crate::{AcquireError, Acquired, Client, ClientConfig, ConsumerSpec, FrameMeta, Handle, Layout, Mode, Pool, PoolConfig};

const NAMES: [&str; 2] = ["a", "b"];
const MAX_HELD: u32 = 2;
const SLOTS: u32 = 8;

#[derive(Debug, Clone)]
enum Step {
    Publish,
    /// A loan that is dropped unpublished.
    Abandon,
    /// Doorbell number `.1` of those under way reaches consumer `.0`: 0 is in order, others overtake.
    Deliver(usize, usize),
    /// As `Deliver`, and it comes again later.
    Duplicate(usize, usize),
    Lose(usize, usize),
    Tick(usize),
    Acquire(usize, usize),
    /// Takes a held frame a second time and gives that share back.
    Share(usize, usize),
    Release(usize, usize),
    Ack(usize, usize),
    /// Takes a handle with one byte changed.
    Corrupt(usize, usize, usize, u8),
    Kill(usize),
    /// Goodbye and back again; what it holds is given back.
    Restart(usize),
    Stop(usize),
    Resume(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let c = || 0..NAMES.len();
    let at = || 0..6usize;
    let step = prop_oneof![
        8 => Just(Step::Publish),
        1 => Just(Step::Abandon),
        6 => (c(), Just(0)).prop_map(|(c, n)| Step::Deliver(c, n)),
        2 => (c(), at()).prop_map(|(c, n)| Step::Deliver(c, n)),
        1 => (c(), at()).prop_map(|(c, n)| Step::Duplicate(c, n)),
        2 => (c(), at()).prop_map(|(c, n)| Step::Lose(c, n)),
        2 => c().prop_map(Step::Tick),
        8 => (c(), at()).prop_map(|(c, n)| Step::Acquire(c, n)),
        1 => (c(), at()).prop_map(|(c, n)| Step::Share(c, n)),
        3 => (c(), at()).prop_map(|(c, n)| Step::Release(c, n)),
        5 => (c(), at()).prop_map(|(c, n)| Step::Ack(c, n)),
        1 => (c(), at(), 0..192usize, 1u8..).prop_map(|(c, n, byte, flip)| Step::Corrupt(c, n, byte, flip)),
        1 => c().prop_map(Step::Kill),
        1 => c().prop_map(Step::Restart),
        1 => c().prop_map(Step::Stop),
        2 => c().prop_map(Step::Resume),
    ];
    prop::collection::vec(step, 20..120)
}

struct Consumer {
    client: Client,
    stopped: bool,
    bells: Vec<Handle>,
    told: Vec<Handle>,
    held: Vec<Acquired>,
    /// Where this process began, the first seq beyond those it saw, and what became of them.
    start: u64,
    next: u64,
    seen: BTreeSet<u64>,
    used: BTreeSet<u64>,
    stale: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    /// Used, stale and dropped of its former selves.
    before: [u64; 3],
}

impl Consumer {
    fn acked_next(&self) -> u64 {
        (0..).find(|seq| !self.acked.contains(seq)).unwrap_or_default()
    }
}

struct World {
    dir: PathBuf,
    mode: Mode,
    pool: Pool,
    consumers: Vec<Consumer>,
    /// The frame that lies in each slot.
    slots: BTreeMap<u32, u64>,
    published: Vec<Handle>,
    /// What killed consumers held and had mapped. Behind the pool: when that is gone, their ends mean nothing to anybody.
    dead: Vec<(Vec<Acquired>, Vec<Arc<Import>>)>,
}

fn layout() -> Layout {
    Layout::gray8(64, 2).unwrap()
}

fn byte(seq: u64, at: usize) -> u8 {
    (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 8 * 8)) as u8
}

fn assert_intact(frame: &Acquired) {
    assert!(frame.bytes().iter().enumerate().all(|(at, found)| *found == byte(frame.seq(), at)), "seq {} changed", frame.seq());
    assert_eq!(frame.frame_meta().frame, frame.seq());
}

impl World {
    fn new(mode: Mode) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gantry-model-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        let spec = |name: &&str| ConsumerSpec { name: (*name).to_owned(), max_held: MAX_HELD, queue_size: 1 };
        let consumers: Vec<_> = NAMES.iter().map(spec).collect();
        assert_eq!(PoolConfig::min_slots(Mode::Live, &consumers, 0), SLOTS);
        let pool = Pool::create(PoolConfig {
            runtime_dir: dir.clone(),
            output: "model/frames".to_owned(),
            mode,
            slots: SLOTS,
            slot_bytes: layout().byte_len(),
            producer_max_held: 0,
            consumers,
            grace: Duration::from_secs(60),
        })
        .unwrap();
        let mut world = Self { dir, mode, pool, consumers: Vec::new(), slots: BTreeMap::new(), published: Vec::new(), dead: Vec::new() };
        for name in NAMES {
            let client = world.join(name);
            world.consumers.push(Consumer {
                client,
                stopped: false,
                bells: Vec::new(),
                told: Vec::new(),
                held: Vec::new(),
                start: 0,
                next: 0,
                seen: BTreeSet::new(),
                used: BTreeSet::new(),
                stale: BTreeSet::new(),
                acked: BTreeSet::new(),
                before: [0; 3],
            });
        }
        world
    }

    fn join(&self, name: &str) -> Client {
        let client = Client::new(ClientConfig { runtime_dir: self.dir.clone(), name: name.to_owned(), max_held: MAX_HELD });
        assert_eq!(client.find("model/frames").unwrap(), Some(self.pool.id()));
        client
    }

    fn leased(&self) -> BTreeSet<u64> {
        self.consumers.iter().flat_map(|c| c.held.iter().map(Acquired::seq)).collect()
    }

    fn slot_of(&self, seq: u64) -> Option<u32> {
        self.slots.iter().find(|(_, there)| **there == seq).map(|(slot, _)| *slot)
    }

    /// Whether the model has a slot to write into.
    fn has_room(&self) -> bool {
        let leased = self.leased();
        let acked = self.consumers.iter().map(Consumer::acked_next).min().unwrap_or_default();
        let reusable = |seq: &u64| !leased.contains(seq) && (self.mode == Mode::Live || *seq < acked);
        self.slots.len() < SLOTS as usize || self.slots.values().any(reusable)
    }

    fn write(&mut self, publish: bool) {
        let loaned = self.pool.try_begin_write().unwrap();
        assert_eq!(loaned.is_some(), self.has_room());
        let Some(mut loaned) = loaned else {
            assert_eq!(self.mode, Mode::Lossless, "a live producer never waits (P3)");
            return;
        };
        if let Some(seq) = self.slots.remove(&loaned.slot()) {
            assert!(!self.leased().contains(&seq), "seq {seq} is written over while it is leased (P1)");
        }
        let seq = self.published.len() as u64;
        loaned.bytes_mut().iter_mut().enumerate().for_each(|(at, to)| *to = byte(seq, at));
        if !publish {
            return;
        }
        let slot = loaned.slot();
        let published = loaned.fill(layout()).unwrap().publish(&FrameMeta { frame: seq, ..FrameMeta::default() });
        assert_eq!(published.seq, seq);
        self.slots.insert(slot, seq);
        self.published.push(published.handle);
        self.consumers.iter_mut().for_each(|c| c.bells.push(published.handle));
    }

    /// What a consumer is told by `bell`, or by its tick.
    fn tell(&mut self, c: usize, bell: Option<Handle>) {
        let mut new = Vec::new();
        let head = self.published.len() as u64;
        let c = &mut self.consumers[c];
        match bell {
            Some(bell) => c.client.observe(&bell, &mut new).unwrap(),
            None => c.client.recover_all(&mut new),
        }
        let seqs: Vec<u64> = new.iter().map(Handle::seq).collect();
        match self.mode {
            Mode::Live => {
                let fresh = bell.map(|bell| bell.seq()).filter(|seq| *seq >= c.start && !c.seen.contains(seq));
                assert_eq!(seqs, Vec::from_iter(fresh));
            }
            Mode::Lossless => {
                // A duplicate is no news; a tick or a new bell tells all that is there.
                let all: Vec<u64> = (c.next..head).collect();
                let duplicate = bell.is_some_and(|bell| bell.seq() < c.next);
                assert!(seqs == all || (duplicate && seqs.is_empty()), "told {seqs:?}, wanted {all:?} (P6)");
            }
        }
        c.seen.extend(&seqs);
        c.next = seqs.iter().map(|seq| seq + 1).chain([c.next]).max().unwrap_or_default();
        c.told.append(&mut new);
    }

    fn acquire(&mut self, c: usize, n: usize) {
        let Some(handle) = self.consumers[c].told.get(n).copied() else { return };
        let seq = handle.seq();
        let there = self.slot_of(seq).is_some();
        let c = &mut self.consumers[c];
        let held: BTreeSet<u64> = c.held.iter().map(Acquired::seq).collect();
        let full = held.len() == MAX_HELD as usize && !held.contains(&seq);
        match c.client.acquire(&handle) {
            Ok(frame) => {
                assert!(there && !full, "seq {seq}");
                assert_eq!(frame.seq(), seq);
                assert_intact(&frame);
                c.held.push(frame);
                c.used.insert(seq);
                c.told.remove(n);
            }
            Err(AcquireError::Refused { .. }) => assert!(full),
            Err(AcquireError::Stale { .. }) => {
                assert!(!there, "seq {seq} is there (P2)");
                assert_eq!(self.mode, Mode::Live, "lossless loses nothing");
                c.stale.insert(seq);
                c.told.remove(n);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn corrupt(&self, c: usize, n: usize, at: usize, flip: u8) {
        let Some(handle) = self.consumers[c].told.get(n) else { return };
        // Another generation, or a slot that was rewritten, is a frame that is gone: stale whatever its other bytes say, and
        // counted so. `host_pool.rs` covers those bytes.
        if (36..40).contains(&at) || self.slot_of(handle.seq()).is_none() {
            return;
        }
        let mut bytes = *handle.as_bytes();
        bytes[at] ^= flip;
        let refused = self.consumers[c].client.acquire(&Handle::from_bytes(bytes));
        assert!(refused.is_err(), "byte {at}");
    }

    fn come_back(&mut self, c: usize, killed: bool) {
        let fresh = Client::new(ClientConfig { runtime_dir: self.dir.clone(), name: String::new(), max_held: 0 });
        let consumer = &mut self.consumers[c];
        let old = std::mem::replace(&mut consumer.client, fresh);
        if killed {
            self.dead.push((std::mem::take(&mut consumer.held), old.kill()));
            self.pool.reap(c);
        } else {
            consumer.held.clear();
            drop(old);
        }
        let client = self.join(NAMES[c]);
        let acked = self.consumers[c].acked_next();
        let consumer = &mut self.consumers[c];
        let (used, stale) = (consumer.used.len() as u64, consumer.stale.len() as u64);
        let sums = [used, stale, consumer.next - consumer.start - used - stale];
        consumer.before.iter_mut().zip(sums).for_each(|(total, more)| *total += more);
        consumer.client = client;
        consumer.stopped = false;
        consumer.start = if self.mode == Mode::Live { consumer.next } else { acked };
        consumer.next = consumer.start;
        let start = consumer.start;
        consumer.acked.retain(|seq| *seq < start);
        consumer.told.clear();
        consumer.seen.clear();
        consumer.used.clear();
        consumer.stale.clear();
    }

    fn run(&mut self, step: &Step) {
        use Step::{Abandon, Ack, Acquire, Corrupt, Deliver, Duplicate, Kill, Lose, Publish, Release, Restart, Resume, Share, Stop, Tick};
        match *step {
            Publish => self.write(true),
            Abandon => self.write(false),
            Kill(c) => self.come_back(c, true),
            Stop(c) => self.consumers[c].stopped = true,
            Resume(c) => self.consumers[c].stopped = false,
            Lose(c, n) => {
                let bells = &mut self.consumers[c].bells;
                if n < bells.len() {
                    bells.remove(n);
                }
            }
            // A stopped process does nothing, and nothing may happen to what it holds.
            Deliver(c, _)
            | Duplicate(c, _)
            | Tick(c)
            | Acquire(c, _)
            | Share(c, _)
            | Release(c, _)
            | Ack(c, _)
            | Corrupt(c, ..)
            | Restart(c)
                if self.consumers[c].stopped => {}
            Restart(c) => self.come_back(c, false),
            Deliver(c, n) | Duplicate(c, n) => {
                let Some(bell) = self.consumers[c].bells.get(n).copied() else { return };
                if matches!(step, Deliver(..)) {
                    self.consumers[c].bells.remove(n);
                }
                self.tell(c, Some(bell));
            }
            Tick(c) => self.tell(c, None),
            Acquire(c, n) => self.acquire(c, n),
            Share(c, n) => {
                let c = &self.consumers[c];
                if let Some(frame) = c.held.get(n) {
                    assert_intact(&c.client.acquire(frame.handle()).unwrap());
                }
            }
            Release(c, n) | Ack(c, n) => {
                let c = &mut self.consumers[c];
                if n >= c.held.len() {
                    return;
                }
                let frame = c.held.remove(n);
                if matches!(step, Ack(..)) {
                    c.acked.insert(frame.seq());
                    frame.ack();
                } else if self.mode == Mode::Lossless {
                    // Given back without an acknowledgement: the node takes it again.
                    c.told.push(*frame.handle());
                }
            }
            Corrupt(c, n, at, flip) => self.corrupt(c, n, at, flip),
        }
    }

    fn check(&self) {
        self.consumers.iter().flat_map(|c| &c.held).for_each(assert_intact);
        let stats = self.pool.stats();
        assert_eq!(stats.published, self.published.len() as u64);
        assert_eq!(stats.leased_slots as usize, self.leased().len());
        assert_eq!((stats.scribbles, stats.quarantined_slots), (0, 0));
        for (index, c) in self.consumers.iter().enumerate() {
            let found = &c.client.stats()[0];
            assert_eq!((found.used, found.stale), (c.used.len() as u64, c.stale.len() as u64));
            assert_eq!(found.used + found.stale + found.dropped, c.next - c.start, "the account of frames adds up");
            assert_eq!(found.held as usize, c.held.iter().map(Acquired::seq).collect::<BTreeSet<_>>().len());
            if self.mode == Mode::Lossless {
                assert_eq!(stats.consumers[index].acked_next, c.acked_next());
            }
        }
    }

    /// Everybody goes on and a last frame reaches everybody: then the accounts cover all that was published.
    fn settle(&mut self) {
        for c in 0..NAMES.len() {
            self.consumers[c].stopped = false;
            self.consumers[c].held.clear();
        }
        if self.mode == Mode::Live {
            self.write(true);
        }
        for c in 0..NAMES.len() {
            let last = self.published.last().copied();
            self.tell(c, last);
            self.tell(c, None);
            if self.mode == Mode::Live {
                let consumer = &self.consumers[c];
                let stats = &consumer.client.stats()[0];
                let [used, stale, dropped] = consumer.before;
                let total = used + stale + dropped + stats.used + stats.stale + stats.dropped;
                assert_eq!(total, self.pool.stats().published, "published = used + stale + dropped");
            } else {
                let consumer = &self.consumers[c];
                assert_eq!(consumer.next, self.published.len() as u64, "each seq reached the consumer (P6)");
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.consumers.clear();
        self.pool.close();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn run(mode: Mode, steps: &[Step]) {
    let mut world = World::new(mode);
    for step in steps {
        world.run(step);
        world.check();
    }
    world.settle();
    world.check();
}

proptest! {
    // `PROPTEST_CASES` sets more for the long run.
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_live_pool_behaves_as_its_model(steps in steps()) {
        run(Mode::Live, &steps);
    }

    #[test]
    fn a_lossless_pool_behaves_as_its_model(steps in steps()) {
        run(Mode::Lossless, &steps);
    }
}
