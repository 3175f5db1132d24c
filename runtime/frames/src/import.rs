//! One joined pool, seen from a consumer process: mappings, own leases, what was seen and acknowledged.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gantry_cuda::{Context, DeviceUuid};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::config::{MAX_CONSUMERS, MAX_SLOTS};
use crate::data::Data;
use crate::handle::{Descriptor, HandleError};
use crate::pages::{DescriptorPage, Geometry, LeasePage};
use crate::runtime_dir;
use crate::shm::{SharedMemory, Sharing};
use crate::window::{Inserted, SeqSet};
use crate::wire::{self, Refusal, Reply, Request};
use crate::word::{self, LeaseRefusal, State, Word};
use crate::{AcquireError, Acquired, ClientPoolStats, FrameMeta, Handle, JoinError, Mode, PoolId};

/// How long a join is tried again while the consumer's former self still counts as joined.
const IN_USE_PATIENCE: Duration = Duration::from_millis(1000);
/// How long the producer's thread may take to answer a hello.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a producer that ends may still hold its socket after its memory has gone.
const END_PATIENCE: Duration = Duration::from_millis(100);

/// A joined pool. Lives until the client lets it go and the last [`Acquired`] is dropped; then says goodbye.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) geometry: Geometry,
    pub(crate) output: String,
    pub(crate) data: Data,
    descriptors: DescriptorPage,
    leases: LeasePage,
    /// Behind the memory: it says goodbye when all of that is unmapped.
    pub(crate) socket: Welcomed,
    index: usize,
    max_held: u32,
    closed: AtomicBool,
    /// Per slot, how many `Acquired` share this process's lease bit. Uncontended unless two threads want one slot.
    shares: Box<[Mutex<u32>]>,
    held: AtomicU32,
    track: Mutex<Track>,
}

/// The socket of a producer that let this process in. It says goodbye on drop, also when joining fails later: else the producer would
/// count a consumer that is not there for as long as this process lives.
#[derive(Debug)]
pub(crate) struct Welcomed(OwnedFd);

/// What became of each seq.
#[derive(Debug)]
struct Track {
    /// First seq that this process answers for.
    start: u64,
    /// Told by a message or pulled from the ring.
    seen: SeqSet,
    /// Told by a message.
    told: SeqSet,
    /// Acquired, or found stale.
    decided: SeqSet,
    acked: SeqSet,
    /// First seq beyond all that were seen.
    next: u64,
    used: u64,
    stale: u64,
    duplicates: u64,
    refused: u64,
}

impl Import {
    /// Joins pool `id` as consumer `name`.
    pub(crate) fn join(dir: &Path, id: PoolId, name: &str, max_held: u32, context: Option<&Context>) -> Result<Self, AcquireError> {
        let started = Instant::now();
        loop {
            match Self::try_join(dir, id, name, max_held, context) {
                Err(AcquireError::Join(JoinError::InUse { .. })) if started.elapsed() < IN_USE_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                done => return done,
            }
        }
    }

    fn try_join(dir: &Path, id: PoolId, name: &str, max_held: u32, context: Option<&Context>) -> Result<Self, AcquireError> {
        let system = |step: &'static str| move |source: io::Error| JoinError::System { pool: id, step, source };
        let protocol = |why: &str| JoinError::Protocol { pool: id, why: why.to_owned() };
        let socket = match runtime_dir::connect(dir, &id) {
            Ok(socket) => socket,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Err(AcquireError::Closed { pool: id });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(protocol("its producer takes no connections").into()),
            Err(error) => return Err(system("connecting to its socket")(error).into()),
        };
        if runtime_dir::peer(&socket).map_err(system("asking who listens"))?.is_none() {
            return Err(protocol("its socket belongs to another user").into());
        }
        let hello = Request::Hello { name: name.to_owned(), max_held };
        // A producer that ends between our connecting and its answer is as gone as one that never listened.
        let ended = |error: &io::Error| matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        let gone =
            |step| move |error: io::Error| if ended(&error) { AcquireError::Closed { pool: id } } else { system(step)(error).into() };
        fault_point!("join.before_hello");
        wire::send(&socket, &hello.encode(), &[]).map_err(gone("saying hello"))?;
        fault_point!("join.after_hello");
        let patience = Timespec { tv_sec: ANSWER_PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let answered = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&patience));
        if answered.map_err(|error| system("waiting for the answer")(error.into()))? == 0 {
            return Err(protocol("its producer does not answer").into());
        }
        let (bytes, fds) = wire::receive(&socket).map_err(gone("receiving the memory"))?;
        fault_point!("join.after_welcome");
        if bytes.is_empty() {
            return Err(AcquireError::Closed { pool: id });
        }
        let (geometry, index, output) = match Reply::decode(&bytes).ok_or_else(|| protocol("its answer is no answer"))? {
            Reply::Welcome { geometry, index, output } => (geometry, index as usize, output),
            Reply::Refused { refusal, output } => {
                let consumer = name.to_owned();
                return Err(match refusal {
                    Refusal::Undeclared => JoinError::Undeclared { output, consumer }.into(),
                    Refusal::InUse { pid } => JoinError::InUse { output, consumer, pid }.into(),
                    Refusal::MaxHeld { declared } => JoinError::MaxHeld { output, consumer, asked: max_held, declared }.into(),
                    Refusal::Closing => AcquireError::Closed { pool: id },
                });
            }
        };
        // From here on the producer counts this process as joined.
        let welcomed = Welcomed(socket);
        let sizes = (1..=MAX_SLOTS).contains(&geometry.slots) && (1..=1 << 30).contains(&geometry.slot_bytes);
        if geometry.id != id || !sizes || index >= MAX_CONSUMERS {
            return Err(protocol("its answer contradicts itself").into());
        }
        let [data, descriptors, leases]: [OwnedFd; 3] = fds.try_into().map_err(|_| protocol("its answer has no memory"))?;
        let map = |fd, len, sharing| SharedMemory::import(fd, len, sharing).map_err(system("mapping its memory"));
        let descriptors = map(&descriptors, geometry.descriptor_len(), Sharing::MakerWrites)?;
        let leases = LeasePage::new(map(&leases, geometry.lease_len(), Sharing::AllWrite)?, &geometry);
        let descriptors =
            DescriptorPage::import(descriptors, &geometry).ok_or_else(|| protocol("its descriptor page is of another pool"))?;
        // Last, as it may take a card's memory: what was refused before costs nothing.
        let data = match Data::import(&data, &geometry, &output, name, context) {
            Ok(data) => data,
            // Memory of the legacy IPC goes with its owner: what fails while the producer ends is no fault of the card.
            Err(JoinError::Cuda { .. }) if welcomed.hangs_up_within(END_PATIENCE) => return Err(AcquireError::Closed { pool: id }),
            Err(error) => return Err(error.into()),
        };
        let start = leases.cursor(index).load(Ordering::Acquire);
        tracing::info!(pool = %id, output, backend = %geometry.backend, mode = ?geometry.mode, slots = geometry.slots, start, "pool joined");
        Ok(Self {
            geometry,
            output,
            data,
            descriptors,
            leases,
            socket: welcomed,
            index,
            max_held,
            closed: AtomicBool::new(false),
            shares: (0..geometry.slots).map(|_| Mutex::new(0)).collect(),
            held: AtomicU32::new(0),
            track: Mutex::new(Track::starting_at(start)),
        })
    }

    fn bit(&self) -> u32 {
        1 << self.index
    }

    fn track(&self) -> MutexGuard<'_, Track> {
        self.track.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The producer hung up.
    pub(crate) fn mark_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The part of the one check that needs the pool.
    fn check(&self, d: &Descriptor) -> Result<(), HandleError> {
        let pool = |field, value, limit| HandleError::Pool { field, value, limit };
        let g = &self.geometry;
        if d.mode != g.mode {
            return Err(pool("mode", d.mode as u64, g.mode as u64));
        }
        if d.backend != g.backend {
            return Err(pool("backend", d.backend as u64, g.backend as u64));
        }
        if d.device_uuid != g.device_uuid {
            return Err(HandleError::Device { found: DeviceUuid(d.device_uuid), pool: DeviceUuid(g.device_uuid) });
        }
        if d.slot >= g.slots {
            return Err(pool("slot", d.slot.into(), u64::from(g.slots) - 1));
        }
        match d.offset.checked_add(d.len) {
            Some(end) if end <= g.slot_bytes => {}
            _ => return Err(pool("offset + len", d.offset.saturating_add(d.len), g.slot_bytes)),
        }
        // The head is stored before the message is sent, so a handle that is ahead of it was never published.
        match self.descriptors.head() {
            head if d.seq < head => Ok(()),
            head => Err(pool("seq", d.seq, head.saturating_sub(1))),
        }
    }

    /// Notes that a message brought `handle`, which says `d`, and pushes what is new.
    pub(crate) fn observe(&self, handle: &Handle, d: &Descriptor, new: &mut Vec<Handle>) -> Result<(), AcquireError> {
        self.check(d)?;
        let mut track = self.track();
        if track.told.insert_sliding(d.seq) != Inserted::New {
            track.duplicates += 1;
            return Ok(());
        }
        match self.geometry.mode {
            Mode::Live => {
                if self.note(&mut track, d.seq) {
                    new.push(*handle);
                }
            }
            Mode::Lossless => self.pull(&mut track, Some(handle), new),
        }
        Ok(())
    }

    /// Lossless: pushes what the ring shows and nobody told of.
    pub(crate) fn recover(&self, new: &mut Vec<Handle>) {
        if self.geometry.mode == Mode::Lossless {
            self.pull(&mut self.track(), None, new);
        }
    }

    /// Notes that a handle told of `seq`; whether it was new. Live: the cursor goes along, so that this consumer's next self
    /// answers for the frames after it and each frame is counted by one of them.
    fn note(&self, track: &mut Track, seq: u64) -> bool {
        let new = track.see(seq);
        if new && self.geometry.mode == Mode::Live {
            self.leases.cursor(self.index).store(track.next, Ordering::Release);
        }
        new
    }

    fn pull(&self, track: &mut Track, told: Option<&Handle>, new: &mut Vec<Handle>) {
        let head = self.descriptors.head();
        // What was acknowledged without having been taken may be written over. Whatever is further back than the slots reach is not there any
        // more; the head is not trusted to bound the loop.
        let from = track.next.max(track.acked.base()).max(head.saturating_sub(u64::from(self.geometry.slots) * 2));
        for seq in from..head {
            // The page before the message: a forged message must not take the place of a frame.
            let told = || told.filter(|handle| handle.seq() == seq).copied();
            let Some(handle) = self.descriptors.published(seq).map(|(handle, _)| handle).or_else(told) else {
                tracing::error!(pool = %self.geometry.id, output = self.output, seq, "frame is missing from the descriptor ring");
                continue;
            };
            if track.see(seq) {
                new.push(handle);
            }
        }
    }

    /// Takes the frame of `handle`, which says `d`.
    pub(crate) fn acquire(self: &Arc<Self>, handle: &Handle, d: Descriptor) -> Result<Acquired, AcquireError> {
        self.check(&d)?;
        let taken = self.lease(&d).and_then(|()| match self.descriptors.read(d.slot) {
            Some((described, meta)) if described == *handle => Ok(Acquired::new(self.clone(), *handle, d, meta)),
            _ => {
                self.release(d.slot);
                Err(HandleError::Forged { seq: d.seq }.into())
            }
        });
        let mut track = self.track();
        match &taken {
            Ok(_) => {
                self.note(&mut track, d.seq);
                track.used += u64::from(track.decided.insert_sliding(d.seq) == Inserted::New);
            }
            Err(AcquireError::Stale { .. }) if self.geometry.mode == Mode::Live => {
                self.note(&mut track, d.seq);
                track.stale += u64::from(track.decided.insert_sliding(d.seq) == Inserted::New);
            }
            Err(AcquireError::Stale { .. }) => track.stale += 1,
            Err(AcquireError::Refused { .. }) => track.refused += 1,
            Err(_) => {}
        }
        taken
    }

    fn lease(&self, d: &Descriptor) -> Result<(), AcquireError> {
        if self.is_closed() {
            return Err(AcquireError::Closed { pool: self.geometry.id });
        }
        let mut shares = self.shares[d.slot as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let word = self.leases.slot(d.slot);
        let current = Word(word.load(Ordering::Acquire));
        if current.is(State::Closed) {
            return Err(AcquireError::Closed { pool: self.geometry.id });
        }
        if *shares == 0 {
            let room = |held: u32| (held < self.max_held).then_some(held + 1);
            if self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
                return Err(AcquireError::Refused { seq: d.seq, max_held: self.max_held });
            }
            word::lease(word, d.generation, self.bit()).map_err(|refusal| {
                self.held.fetch_sub(1, Ordering::Relaxed);
                match refusal {
                    LeaseRefusal::Stale => AcquireError::Stale { seq: d.seq },
                    LeaseRefusal::Closed => AcquireError::Closed { pool: self.geometry.id },
                }
            })?;
            fault_point!("consumer.after_lease");
        } else if current.generation() != d.generation {
            // Our bit keeps the generation as it is.
            return Err(AcquireError::Stale { seq: d.seq });
        }
        *shares += 1;
        Ok(())
    }

    /// Gives one share of a lease back.
    pub(crate) fn release(&self, slot: u32) {
        let last = {
            let mut shares = self.shares[slot as usize].lock().unwrap_or_else(PoisonError::into_inner);
            *shares -= 1;
            if *shares == 0 {
                word::release(self.leases.slot(slot), self.bit());
                fault_point!("consumer.after_release");
                self.held.fetch_sub(1, Ordering::Relaxed);
            }
            *shares == 0
        };
        if last {
            self.leases.notify();
        }
    }

    /// Done with `seq`; the cursor moves over all that are done without a gap.
    pub(crate) fn ack(&self, seq: u64) -> Result<(), HandleError> {
        if self.geometry.mode == Mode::Live {
            return Ok(());
        }
        let head = self.descriptors.head();
        if seq >= head {
            return Err(HandleError::Pool { field: "seq", value: seq, limit: head.saturating_sub(1) });
        }
        {
            let mut track = self.track();
            let before = track.acked.base();
            if track.acked.insert_contiguous(seq) == Inserted::TooFar {
                return Err(HandleError::Pool { field: "seq", value: seq, limit: before });
            }
            if track.acked.base() == before {
                return Ok(());
            }
            self.leases.cursor(self.index).store(track.acked.base(), Ordering::Release);
            fault_point!("consumer.after_cursor");
        }
        self.leases.notify();
        Ok(())
    }

    /// Metadata of a frame that is still in its slot.
    pub(crate) fn frame_meta(&self, handle: &Handle, d: &Descriptor) -> Result<Option<FrameMeta>, AcquireError> {
        self.check(d)?;
        let described = self.descriptors.read(d.slot);
        Ok(described.filter(|(described, _)| described == handle).map(|(_, meta)| meta))
    }

    /// The slot's word as this process sees it, and its own bit in it.
    #[cfg(feature = "proofs")]
    pub(crate) fn word(&self, slot: u32) -> (Word, u32) {
        (Word(self.leases.slot(slot).load(Ordering::Acquire)), self.bit())
    }

    pub(crate) fn stats(&self) -> ClientPoolStats {
        let track = self.track();
        ClientPoolStats {
            pool: self.geometry.id,
            output: self.output.clone(),
            mode: self.geometry.mode,
            published: self.descriptors.head().saturating_sub(track.start),
            seen: track.seen.count(),
            skipped: (track.next - track.start).saturating_sub(track.seen.count()),
            used: track.used,
            stale: track.stale,
            dropped: (track.next - track.start).saturating_sub(track.used + track.stale),
            duplicates: track.duplicates,
            recovered: match self.geometry.mode {
                Mode::Live => 0,
                Mode::Lossless => track.seen.count().saturating_sub(track.told.count()),
            },
            refused: track.refused,
            held: self.held.load(Ordering::Relaxed),
            acked_next: track.acked.base(),
        }
    }
}

impl Welcomed {
    /// Whether the producer is gone, or goes within `patience`: after its welcome it says nothing more.
    fn hangs_up_within(&self, patience: Duration) -> bool {
        let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&patience)).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Welcomed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Welcomed {
    fn drop(&mut self) {
        fault_point!("consumer.before_goodbye");
        // The last lease went before the last `Arc<Import>`. If the producer is gone nobody listens, which is as well.
        let _ = wire::send(&self.0, &Request::Goodbye.encode(), &[]);
        fault_point!("consumer.after_goodbye");
    }
}

impl Track {
    fn starting_at(start: u64) -> Self {
        Self {
            start,
            seen: SeqSet::starting_at(start),
            told: SeqSet::starting_at(start),
            decided: SeqSet::starting_at(start),
            acked: SeqSet::starting_at(start),
            next: start,
            used: 0,
            stale: 0,
            duplicates: 0,
            refused: 0,
        }
    }

    /// Whether `seq` was not seen before.
    fn see(&mut self, seq: u64) -> bool {
        let new = self.seen.insert_sliding(seq) == Inserted::New;
        if new {
            self.next = self.next.max(seq.saturating_add(1));
        }
        new
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
