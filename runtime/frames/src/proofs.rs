//! What the proofs need and no node may have: fault points, and the shared pages as an outsider or a hostile peer has them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pages::{Geometry, LeasePage};
use crate::shm::{SharedMemory, Sharing};
use crate::wire::{self, Reply, Request};
use crate::word::Word;
use crate::{Acquired, Backend, Mode, Pool, PoolId, runtime_dir};

static HOOK: OnceLock<fn(&'static str)> = OnceLock::new();

/// Calls `hook` at each fault point of this process from now on, with the point's name. The first one stays.
pub fn set_hook(hook: fn(&'static str)) {
    let _ = HOOK.set(hook);
}

pub(crate) fn reached(point: &'static str) {
    if let Some(hook) = HOOK.get() {
        hook(point);
    }
}

/// Whether this process's lease bit is set on the frame's slot, in the frame's generation.
#[must_use]
pub fn holds_lease(frame: &Acquired) -> bool {
    let Ok(d) = frame.handle().decode_checked() else { return false };
    let (word, bit) = frame.import.word(d.slot);
    word.generation() == d.generation && word.leases() & bit != 0
}

/// The lease page of some pool, writable.
#[derive(Debug)]
pub struct Leases {
    page: LeasePage,
    slots: u32,
}

impl Leases {
    /// Maps the page of a pool with `slots` slots.
    ///
    /// # Errors
    /// The descriptor is no lease page of that many slots.
    pub fn map(fd: &OwnedFd, slots: u32) -> io::Result<Self> {
        let geometry =
            Geometry { id: PoolId([0; 16]), mode: Mode::Live, slots, slot_bytes: 1, backend: Backend::HostMemfd, device_uuid: [0; 16] };
        let memory = SharedMemory::import(fd, geometry.lease_len(), Sharing::AllWrite)?;
        Ok(Self { page: LeasePage::new(memory, &geometry), slots })
    }

    /// Slots that consumer `index` has a lease on, with their generations.
    #[must_use]
    pub fn of(&self, index: usize) -> Vec<(u32, u32)> {
        let word = |slot| Word(self.page.slot(slot).load(Ordering::Acquire));
        let leased = |slot: &u32| word(*slot).leases() & (1 << index) != 0;
        (0..self.slots).filter(leased).map(|slot| (slot, word(slot).generation())).collect()
    }

    /// Next seq that consumer `index` wants.
    #[must_use]
    pub fn cursor(&self, index: usize) -> u64 {
        self.page.cursor(index).load(Ordering::Acquire)
    }

    /// The word of `slot`, to scribble on.
    #[must_use]
    pub fn slot(&self, slot: u32) -> &AtomicU64 {
        self.page.slot(slot)
    }

    /// The cursor of consumer `index`, to scribble on.
    #[must_use]
    pub fn cursor_word(&self, index: usize) -> &AtomicU64 {
        self.page.cursor(index)
    }
}

/// The descriptor page of a producer that lies.
#[must_use]
pub fn descriptor_words(pool: &Pool) -> &[AtomicU64] {
    pool.inner().descriptors.words()
}

/// Says hello as `name` and returns the socket, the answer and the descriptors (data, descriptor page, lease page).
///
/// # Errors
/// The system's answer.
pub fn raw_join(dir: &Path, id: &PoolId, name: &str, max_held: u32) -> io::Result<(OwnedFd, Vec<u8>, Vec<OwnedFd>)> {
    let socket = runtime_dir::connect(dir, id)?;
    send(&socket, &Request::Hello { name: name.to_owned(), max_held }.encode(), &[])?;
    let (bytes, fds) = wire::receive(&socket)?;
    Ok((socket, bytes, fds))
}

/// Sends any bytes and descriptors over a pool's socket.
///
/// # Errors
/// The system's answer.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    wire::send(socket, bytes, fds)
}

/// A producer's welcome, true or not.
#[must_use]
pub fn welcome(id: PoolId, mode: Mode, slots: u32, slot_bytes: u64, index: u32, output: &str) -> Vec<u8> {
    let geometry = Geometry { id, mode, slots, slot_bytes, backend: Backend::HostMemfd, device_uuid: [0; 16] };
    Reply::Welcome { geometry, index, output: output.to_owned() }.encode()
}

/// Decodes a client's message; what it encodes to again.
#[must_use]
pub fn decode_request(bytes: &[u8]) -> Option<Vec<u8>> {
    Request::decode(bytes).map(|request| request.encode())
}

/// Decodes a producer's message; what it encodes to again.
#[must_use]
pub fn decode_reply(bytes: &[u8]) -> Option<Vec<u8>> {
    Reply::decode(bytes).map(|reply| reply.encode())
}
