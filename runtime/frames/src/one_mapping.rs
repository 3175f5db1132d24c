//! A writer and readers of one mapping, in threads: for ThreadSanitizer (`cargo xtask prove threads`), which knows memory by its address and
//! so cannot see races between a pool and a client, who map the same pages twice.
//!
//! Words, pages and pixels are those of the crate; there is no lock here, and nothing of the standard library but threads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::pages::{DescriptorPage, Geometry, LeasePage};
use crate::shm::{SharedMemory, Sharing};
use crate::word::{self, State, Word};
use crate::{Backend, FrameMeta, Handle, Mode, PoolId};

const SLOTS: u32 = 3;
const READERS: u32 = 3;
const BYTES: usize = 256;
/// Frames that the writer tries to publish in one go.
const FRAMES: u64 = 4000;

struct Shared {
    data: SharedMemory,
    descriptors: DescriptorPage,
    leases: LeasePage,
    read: AtomicU64,
}

impl Shared {
    fn new() -> Self {
        let geometry = Geometry {
            id: PoolId([3; 16]),
            mode: Mode::Live,
            slots: SLOTS,
            slot_bytes: BYTES as u64,
            backend: Backend::HostMemfd,
            device_uuid: [0; 16],
        };
        let memory = |len| SharedMemory::create("test", len, Sharing::AllWrite).unwrap().0;
        Self {
            data: memory(geometry.data_len()),
            descriptors: DescriptorPage::create(memory(geometry.descriptor_len()), &geometry),
            leases: LeasePage::new(memory(geometry.lease_len()), &geometry),
            read: AtomicU64::new(0),
        }
    }

    fn start(slot: u32) -> usize {
        slot as usize * 4096
    }

    /// Writes frames as a live pool does; `books` is what it knows of its slots, `seq` the next frame.
    #[allow(unsafe_code)]
    fn write(&self, seq: &mut u64, books: &mut [(u32, State); SLOTS as usize]) {
        for turn in 0..FRAMES {
            let slot = (turn % u64::from(SLOTS)) as u32;
            let (generation, state) = books[slot as usize];
            let Ok(generation) = word::begin_write(self.leases.slot(slot), generation, state) else { continue };
            // SAFETY: the slot is in WRITING, so nobody reads it; that this holds is what is tested.
            unsafe { self.data.slice_mut(Self::start(slot), BYTES) }.unwrap().fill(*seq as u8);
            let mut bytes = [0; crate::HANDLE_BYTES];
            bytes[24..32].copy_from_slice(&seq.to_le_bytes());
            self.descriptors.describe(slot, &Handle::from_bytes(bytes), &FrameMeta { frame: *seq, ..FrameMeta::default() });
            assert!(!word::end_write(self.leases.slot(slot), generation, State::Published));
            self.descriptors.announce(*seq, slot, generation);
            books[slot as usize] = (generation, State::Published);
            *seq += 1;
        }
    }

    /// Reads whatever is there, again and again.
    #[allow(unsafe_code)]
    fn read(&self, bit: u32, done: &AtomicU64) {
        while done.load(Ordering::Acquire) == 0 {
            for slot in 0..SLOTS {
                let generation = Word(self.leases.slot(slot).load(Ordering::Relaxed)).generation();
                if word::lease(self.leases.slot(slot), generation, bit).is_err() {
                    continue;
                }
                // SAFETY: the slot is leased, so nobody writes it; that this holds is what is tested.
                let bytes = unsafe { self.data.slice(Self::start(slot), BYTES) }.unwrap();
                let first = bytes[0];
                assert!(bytes.iter().all(|byte| *byte == first), "a torn frame");
                let (handle, meta) = self.descriptors.read(slot).expect("a leased frame is described");
                assert_eq!((handle.seq(), handle.seq() as u8), (meta.frame, first));
                self.read.fetch_add(1, Ordering::Relaxed);
                self.leases.cursor(0).fetch_max(handle.seq(), Ordering::AcqRel);
                assert!(word::release(self.leases.slot(slot), bit));
                self.leases.notify();
            }
            std::thread::yield_now();
        }
    }
}

/// Ends the readers, also when the writer panics: else they would read for ever and the test hang in place of failing.
struct Over<'a>(&'a AtomicU64);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Release);
    }
}

#[test]
fn a_writer_and_three_readers_of_one_mapping_never_meet_in_a_slot() {
    let (shared, done) = (Shared::new(), AtomicU64::new(0));
    let written = std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (shared, done) = (&shared, &done);
            scope.spawn(move || shared.read(1 << reader, done));
        }
        let _over = Over(&done);
        let (mut written, mut books) = (0, [(0, State::Free); SLOTS as usize]);
        // A busy machine may run the writer alone for a while.
        for _ in 0..1000 {
            shared.write(&mut written, &mut books);
            if written > 100 && shared.read.load(Ordering::Relaxed) > 100 {
                break;
            }
            std::thread::yield_now();
        }
        written
    });
    assert!(written > 100 && shared.read.load(Ordering::Relaxed) > 100, "both have met");
}
