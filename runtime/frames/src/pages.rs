//! The descriptor page (producer writes, consumers read) and the lease page (all write), as offsets into words.
//!
//! ```text
//! descriptor page, in u64:  0 magic  1..3 pool id  3 slots  4 slot bytes  5 slot stride  6 ring length  7 back end << 8 | mode
//!                           8 head = next seq          16..18 device UUID, zeros for host memory
//!                           64 ring: ring length x { seq + 1 (0: being written), generation << 32 | slot }
//!                           then per slot a record of 48: version (odd: being written), handle 24, frame, pts, captured, source 9, view 4
//! lease page, lines of 64 bytes:  0 futex  1 waiters  2..30 cursor of each consumer  30.. slot words
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use rustix::thread::futex;
use rustix::time::Timespec;

use crate::config::MAX_CONSUMERS;
use crate::shm::SharedMemory;
use crate::{Backend, FrameMeta, Handle, Mode, PoolId, SourceName, View};

const PAGE: usize = 4096;
const LINE: usize = 8;
const MAGIC: u64 = u64::from_le_bytes(*b"GFDESC02");
const HEAD: usize = 8;
const DEVICE: usize = 16;
const RING: usize = 64;
const RECORD: usize = 48;
const CURSORS: usize = 2 * LINE;
const SLOTS: usize = CURSORS + MAX_CONSUMERS * LINE;

/// Sizes of a pool. Each process keeps its own copy and never reads them from a shared page again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) id: PoolId,
    pub(crate) mode: Mode,
    pub(crate) slots: u32,
    pub(crate) slot_bytes: u64,
    pub(crate) backend: Backend,
    /// Zeros for host memory.
    pub(crate) device_uuid: [u8; 16],
}

impl Geometry {
    /// Bytes from slot to slot: whole pages.
    pub(crate) fn slot_stride(&self) -> usize {
        (self.slot_bytes as usize).next_multiple_of(PAGE)
    }

    pub(crate) fn data_len(&self) -> usize {
        self.slot_stride() * self.slots as usize
    }

    /// Publishes that the ring remembers: at least one per slot, so in lossless mode every frame that somebody still needs.
    fn ring_len(&self) -> usize {
        (2 * self.slots as usize).next_power_of_two()
    }

    pub(crate) fn descriptor_len(&self) -> usize {
        (8 * (RING + 2 * self.ring_len() + RECORD * self.slots as usize)).next_multiple_of(PAGE)
    }

    pub(crate) fn lease_len(&self) -> usize {
        (8 * (SLOTS + LINE * self.slots as usize)).next_multiple_of(PAGE)
    }

    /// Words of the descriptor page that never change, with their places.
    fn header(&self) -> [(usize, u64); 10] {
        let halves = |bytes: &[u8; 16]| [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i])));
        let ([id0, id1], [device0, device1]) = (halves(&self.id.0), halves(&self.device_uuid));
        let (stride, ring) = (self.slot_stride() as u64, self.ring_len() as u64);
        let kind = (self.backend as u64) << 8 | self.mode as u64;
        let first = [MAGIC, id0, id1, self.slots.into(), self.slot_bytes, stride, ring, kind];
        std::array::from_fn(|i| if i < 8 { (i, first[i]) } else { (DEVICE + i - 8, [device0, device1][i - 8]) })
    }
}

/// Geometry, per-slot descriptors and the ring of the last publishes.
#[derive(Debug)]
pub(crate) struct DescriptorPage {
    memory: SharedMemory,
    ring_len: usize,
    slots: usize,
}

impl DescriptorPage {
    pub(crate) fn create(memory: SharedMemory, geometry: &Geometry) -> Self {
        for (at, value) in geometry.header() {
            memory.words()[at].store(value, Ordering::Relaxed);
        }
        Self::over(memory, geometry)
    }

    /// `None` if the page is not of this pool.
    pub(crate) fn import(memory: SharedMemory, geometry: &Geometry) -> Option<Self> {
        let same = geometry.header().iter().all(|(at, value)| memory.words()[*at].load(Ordering::Relaxed) == *value);
        same.then(|| Self::over(memory, geometry))
    }

    fn over(memory: SharedMemory, geometry: &Geometry) -> Self {
        assert!(memory.len() >= geometry.descriptor_len());
        Self { memory, ring_len: geometry.ring_len(), slots: geometry.slots as usize }
    }

    /// All of it, for a producer that lies.
    #[cfg(feature = "proofs")]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    /// Next seq to be published.
    pub(crate) fn head(&self) -> u64 {
        self.memory.words()[HEAD].load(Ordering::Acquire)
    }

    fn record(&self, slot: usize) -> &[AtomicU64] {
        let start = RING + 2 * self.ring_len + RECORD * slot;
        &self.memory.words()[start..start + RECORD]
    }

    fn ring_entry(&self, seq: u64) -> (&AtomicU64, &AtomicU64) {
        let start = RING + 2 * (seq as usize % self.ring_len);
        (&self.memory.words()[start], &self.memory.words()[start + 1])
    }

    /// Producer: describes the frame in `slot`. `slot` is below the number of slots.
    pub(crate) fn describe(&self, slot: u32, handle: &Handle, meta: &FrameMeta) {
        let record = self.record(slot as usize);
        // A sequence lock: only the producer stores, under its own lock.
        let version = record[0].load(Ordering::Relaxed).wrapping_add(1) | 1;
        record[0].store(version, Ordering::Relaxed);
        fence(Ordering::Release);
        let meta_words = [meta.frame, meta.pts_ns as u64, meta.captured_ns as u64];
        let values = handle.to_words().into_iter().chain(meta_words).chain(meta.source.to_words()).chain(meta.view.to_words());
        for (word, value) in record[1..].iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
        record[0].store(version.wrapping_add(1), Ordering::Release);
    }

    /// Producer: frame `seq` lies in `slot`; makes `seq` visible as the newest.
    pub(crate) fn announce(&self, seq: u64, slot: u32, generation: u32) {
        let (number, place) = self.ring_entry(seq);
        number.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        place.store(u64::from(generation) << 32 | u64::from(slot), Ordering::Relaxed);
        fault_point!("producer.in_ring");
        number.store(seq + 1, Ordering::Release);
        self.memory.words()[HEAD].store(seq + 1, Ordering::Release);
    }

    /// The handle and metadata last described for `slot`; `None` while they change, or when they are unreadable.
    pub(crate) fn read(&self, slot: u32) -> Option<(Handle, FrameMeta)> {
        if slot as usize >= self.slots {
            return None;
        }
        let record = self.record(slot as usize);
        let before = record[0].load(Ordering::Acquire);
        let at = |i: usize| record[i].load(Ordering::Relaxed);
        let handle = Handle::from_words(&std::array::from_fn(|i| at(1 + i)));
        let (frame, pts_ns, captured_ns) = (at(25), at(26) as i64, at(27) as i64);
        let source = std::array::from_fn(|i| at(28 + i));
        let view = std::array::from_fn(|i| at(37 + i));
        fence(Ordering::Acquire);
        if before % 2 == 1 || record[0].load(Ordering::Relaxed) != before {
            return None;
        }
        let (source, view) = (SourceName::from_words(&source)?, View::from_words(view));
        Some((handle, FrameMeta { source, frame, pts_ns, captured_ns, view }))
    }

    /// The handle of frame `seq`; `None` when the ring or the slot has moved on.
    pub(crate) fn published(&self, seq: u64) -> Option<(Handle, FrameMeta)> {
        let (number, place) = self.ring_entry(seq);
        if number.load(Ordering::Acquire) != seq + 1 {
            return None;
        }
        let slot = place.load(Ordering::Relaxed) as u32;
        self.read(slot).filter(|(handle, _)| handle.seq() == seq)
    }
}

/// Slot words, cursors, and the futex that a waiting producer sleeps on.
#[derive(Debug)]
pub(crate) struct LeasePage {
    memory: SharedMemory,
    slots: usize,
}

impl LeasePage {
    pub(crate) fn new(memory: SharedMemory, geometry: &Geometry) -> Self {
        assert!(memory.len() >= geometry.lease_len());
        Self { memory, slots: geometry.slots as usize }
    }

    /// The word of `slot`, which is below the number of slots.
    pub(crate) fn slot(&self, slot: u32) -> &AtomicU64 {
        &self.memory.words()[SLOTS + LINE * slot as usize]
    }

    pub(crate) fn slot_words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.memory.words()[SLOTS..].iter().step_by(LINE).take(self.slots)
    }

    /// Next seq that consumer `index` wants.
    pub(crate) fn cursor(&self, index: usize) -> &AtomicU64 {
        &self.memory.words()[CURSORS + LINE * index]
    }

    fn futex(&self) -> &AtomicU32 {
        self.memory.futex(0)
    }

    fn waiters(&self) -> &AtomicU32 {
        self.memory.futex(LINE)
    }

    /// Tells a waiting producer that something was given back; a system call only if one waits.
    pub(crate) fn notify(&self) {
        // Pairs with the fence in `wait`: either we see the waiter, or it sees what we gave back.
        fence(Ordering::SeqCst);
        if self.waiters().load(Ordering::Relaxed) != 0 {
            self.futex().fetch_add(1, Ordering::Release);
            // A wake-up that fails costs the producer its time-out and nothing else.
            let _ = futex::wake(self.futex(), futex::Flags::empty(), i32::MAX as u32);
        }
    }

    /// Looks with `ready`, and if it gives nothing sleeps until [`LeasePage::notify`] or for `timeout`.
    pub(crate) fn wait<T>(&self, timeout: Duration, ready: impl FnOnce() -> Option<T>) -> Option<T> {
        self.waiters().fetch_add(1, Ordering::SeqCst);
        let before = self.futex().load(Ordering::Acquire);
        fence(Ordering::SeqCst);
        let found = ready();
        if found.is_none() {
            let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
            let _ = futex::wait(self.futex(), futex::Flags::empty(), before, Some(&timeout));
        }
        self.waiters().fetch_sub(1, Ordering::SeqCst);
        found
    }
}
