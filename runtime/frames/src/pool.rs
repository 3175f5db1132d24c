//! The producer's end.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::EventfdFlags;
use rustix::rand::GetRandomFlags;

use crate::book::Book;
use crate::config::{MAX_CONSUMERS, MAX_SLOTS};
use crate::data::Data;
use crate::pages::{DescriptorPage, Geometry, LeasePage};
use crate::reaper;
use crate::runtime_dir::{self, Listener};
use crate::shm::{SharedMemory, Sharing};
use crate::wire::{MAX_NAME_BYTES, Refusal};
use crate::word::{self, State, Word};
use crate::{
    Backend, BeginWriteError, ConsumerStats, DrainError, FrameMeta, Handle, Loaned, Memory, Mode, PoolConfig, PoolError, PoolId, PoolStats,
    StopFlag,
};

/// Longest sleep of a waiting producer: how late it notices a stop flag, an exit, or a wake-up that got lost.
const WAIT_STEP: Duration = Duration::from_millis(20);
/// How long a producer that found no slot waits for a whole batch of them before it goes on with what there is.
const BATCH_PATIENCE: Duration = Duration::from_millis(100);
const MAX_SLOT_BYTES: u64 = 1 << 30;

/// One output's slots. Clones share the pool; it is closed by [`Pool::close`] or when the last clone is dropped. Memory that a
/// [`Loaned`] or a [`SlotHold`](crate::SlotHold) still points to stays mapped until that is dropped too.
///
/// ```no_run
/// use std::time::Duration;
/// use gantry_frames::{ConsumerSpec, FrameMeta, Layout, Mode, Pool, PoolConfig, StopFlag};
///
/// let consumers = vec![ConsumerSpec { name: "detect".into(), max_held: 2, queue_size: 4 }];
/// let layout = Layout::rgb8(960, 540)?;
/// let pool = Pool::create(PoolConfig {
///     runtime_dir: "/run/user/1000/gantry".into(),
///     output: "cam0.resize/frames".into(),
///     mode: Mode::Lossless,
///     slots: PoolConfig::min_slots(Mode::Lossless, &consumers, 0) + 2,
///     slot_bytes: layout.byte_len(),
///     producer_max_held: 0,
///     consumers,
///     grace: Duration::from_secs(10),
/// })?;
/// let mut loaned = pool.begin_write(&StopFlag::new())?;
/// loaned.bytes_mut().fill(114);
/// let published = loaned.fill(layout)?.publish(&FrameMeta::default());
/// assert_eq!(published.seq, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Guard>);

/// Closes the pool when the last clone goes; the memory itself is [`Inner`].
struct Guard {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stop: Arc<OwnedFd>,
}

/// What loans, holds and the join thread share.
pub(crate) struct Inner {
    pub(crate) geometry: Geometry,
    config: PoolConfig,
    pub(crate) fds: [OwnedFd; 3],
    pub(crate) data: Data,
    pub(crate) descriptors: DescriptorPage,
    pub(crate) leases: LeasePage,
    book: Mutex<Book>,
    /// Holds per slot; private memory.
    pub(crate) holds: Box<[AtomicU32]>,
}

impl Pool {
    /// [`Pool::create_in`] host memory.
    ///
    /// # Errors
    /// As there.
    pub fn create(config: PoolConfig) -> Result<Self, PoolError> {
        Self::create_in(config, &Memory::Host)
    }

    /// Makes the slots in `memory`, the pages, the socket and the thread that lets consumers in. Sockets of dead producers are swept on
    /// the way.
    ///
    /// # Errors
    /// [`PoolError`] if the slots are too few for the mode, names are unusable, or the system or the driver refuses memory, socket or
    /// thread. Never another kind of memory than the one asked for.
    pub fn create_in(config: PoolConfig, memory: &Memory) -> Result<Self, PoolError> {
        let output = config.output.clone();
        let system = |step: &'static str| {
            let output = output.clone();
            move |source: io::Error| PoolError::System { output, step, source }
        };
        check(&config)?;
        let dir = config.runtime_dir.clone();
        runtime_dir::ensure(&dir).map_err(|why| PoolError::RuntimeDir { output: output.clone(), path: dir.clone(), why })?;
        runtime_dir::sweep(&dir).map_err(system("sweeping the runtime directory"))?;

        let mut id = [0; 16];
        rustix::rand::getrandom(&mut id[..], GetRandomFlags::empty()).map_err(|e| system("drawing a pool id")(e.into()))?;
        let PoolConfig { mode, slots, slot_bytes, .. } = config;
        let (backend, device_uuid) = (memory.backend(), memory.device_uuid());
        let geometry = Geometry { id: PoolId(id), mode, slots, slot_bytes, backend, device_uuid };
        let make = |name: &str, len, sharing| {
            SharedMemory::create(&format!("{name}-{}", geometry.id), len, sharing).map_err(system("making shared memory"))
        };
        let (data, data_fd) = Data::create(memory, &geometry, &output)?;
        let (descriptors, descriptor_fd) = make("gantry-descriptors", geometry.descriptor_len(), Sharing::MakerWrites)?;
        let (leases, lease_fd) = make("gantry-leases", geometry.lease_len(), Sharing::AllWrite)?;
        let listener = Listener::bind(&dir, &geometry.id, &output).map_err(system("making the pool's socket"))?;
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC);
        let stop = Arc::new(event.map_err(|e| system("making an event descriptor")(e.into()))?);

        let inner = Arc::new(Inner {
            geometry,
            fds: [data_fd, descriptor_fd, lease_fd],
            data,
            descriptors: DescriptorPage::create(descriptors, &geometry),
            leases: LeasePage::new(leases, &geometry),
            book: Mutex::new(Book::new(config.slots, config.consumers.clone(), Instant::now())),
            holds: (0..config.slots).map(|_| AtomicU32::new(0)).collect(),
            config,
        });
        let thread = std::thread::Builder::new().name("frames-pool".to_owned()).spawn({
            let (inner, stop) = (inner.clone(), stop.clone());
            move || reaper::serve(&inner, &listener, &stop)
        });
        let thread = thread.map_err(system("starting the pool's thread"))?;
        tracing::info!(output, pool = %geometry.id, %backend, mode = ?mode, slots, slot_bytes, "pool made");
        Ok(Self(Arc::new(Guard { inner, thread: Mutex::new(Some(thread)), stop })))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    /// The pool's random name.
    #[must_use]
    pub fn id(&self) -> PoolId {
        self.inner().geometry.id
    }

    /// Node and port, as in `cam0.decode/frames`.
    #[must_use]
    pub fn output(&self) -> &str {
        self.inner().output()
    }

    /// Live or lossless.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.inner().geometry.mode
    }

    /// Where the slots lie.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.inner().geometry.backend
    }

    /// Bytes that one frame can have.
    #[must_use]
    pub fn slot_bytes(&self) -> u64 {
        self.inner().geometry.slot_bytes
    }

    /// Takes a slot to write. Live: a free one or the one with the oldest frame that nobody holds, at once. Lossless: one
    /// whose frame all declared consumers have acknowledged; if there is none, sleeps until a quarter of the pool is free, 100 ms
    /// at most, then until there is one. A producer that went on with every single slot would send a message per frame exactly
    /// when its readers have most to do (the silly window of RFC 813, for the same reason and with the same cure).
    ///
    /// # Errors
    /// [`BeginWriteError::Stopped`] when `stop` is set while waiting; [`BeginWriteError::GraceExpired`] when a declared consumer
    /// is away for longer than `grace` and its acknowledgement is needed; [`BeginWriteError::Exhausted`] in live mode when more
    /// slots are in use than the pool was sized for; [`BeginWriteError::Closed`] after [`Pool::close`].
    pub fn begin_write(&self, stop: &StopFlag) -> Result<Loaned, BeginWriteError> {
        let inner = self.inner();
        if let Some(loaned) = self.try_begin_write()? {
            return Ok(loaned);
        }
        if self.mode() == Mode::Live {
            return Err(inner.exhausted());
        }
        let started = Instant::now();
        let waited = loop {
            if stop.is_set() {
                break Err(BeginWriteError::Stopped { output: self.output().to_owned() });
            }
            if let Some((consumer, unacked)) = inner.overdue() {
                let (output, grace) = (self.output().to_owned(), inner.config.grace);
                break Err(BeginWriteError::GraceExpired { output, consumer, grace, unacked });
            }
            let patient = started.elapsed() < BATCH_PATIENCE;
            let ready = || if patient && !inner.has_batch() { None } else { self.try_begin_write().transpose() };
            match inner.leases.wait(WAIT_STEP, ready) {
                Some(result) => break result,
                None => continue,
            }
        };
        let time = started.elapsed();
        crate::waiting::add(time);
        let mut book = inner.book();
        book.waits += 1;
        book.waited_ns += time.as_nanos() as u64;
        waited
    }

    /// As [`Pool::begin_write`], but returns `None` instead of waiting (lossless) or failing (live) when no slot is free.
    ///
    /// # Errors
    /// [`BeginWriteError::Closed`] after [`Pool::close`].
    pub fn try_begin_write(&self) -> Result<Option<Loaned>, BeginWriteError> {
        let inner = self.inner();
        let mut book = inner.book();
        if book.closed {
            return Err(BeginWriteError::Closed { output: self.output().to_owned() });
        }
        let held = |slot: usize| inner.holds[slot].load(Ordering::Acquire) != 0;
        let claimed = book.claim(self.mode(), &inner.leases, held);
        drop(book);
        Ok(claimed.map(|(slot, generation)| Loaned::new(inner.clone(), slot, generation)))
    }

    /// Waits until all declared consumers have read everything: lossless, until the last seq is acknowledged; live, until no
    /// slot is leased. For the end of a file, before the node exits.
    ///
    /// # Errors
    /// [`DrainError`] names a consumer that is not done when `stop` is set, `timeout` is over, or it is away for longer than
    /// the pool's `grace`.
    pub fn drain(&self, stop: &StopFlag, timeout: Option<Duration>) -> Result<(), DrainError> {
        let inner = self.inner();
        let started = Instant::now();
        let busy = || {
            let mut book = inner.book();
            let (index, unacked) = book.busy(self.mode(), &inner.leases)?;
            Some((book.consumers[index].spec.name.clone(), unacked))
        };
        loop {
            let Some((consumer, unacked)) = busy() else { return Ok(()) };
            let output = self.output().to_owned();
            if stop.is_set() {
                return Err(DrainError::Stopped { output, consumer, unacked });
            }
            if timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
                return Err(DrainError::TimedOut { output, consumer, unacked });
            }
            if self.mode() == Mode::Lossless
                && let Some((consumer, unacked)) = inner.overdue()
            {
                return Err(DrainError::GraceExpired { output, consumer, grace: inner.config.grace, unacked });
            }
            inner.leases.wait(WAIT_STEP, || if busy().is_none() { Some(()) } else { None });
        }
    }

    /// The newest published frame: what a producer rings again when a consumer seems to have missed the last doorbell.
    #[must_use]
    pub fn newest(&self) -> Option<(Handle, FrameMeta)> {
        self.inner().book().newest
    }

    /// All seqs below this are acknowledged by every declared consumer (lossless): what a producer need not tell again.
    #[must_use]
    pub fn acked_next(&self) -> u64 {
        let inner = self.inner();
        let mut book = inner.book();
        book.read_cursors(&inner.leases);
        book.consumers.iter().map(|consumer| consumer.acked_next).min().unwrap_or(book.next_seq)
    }

    /// Whether some declared consumer has not acknowledged the newest frame (lossless) or holds a slot (live).
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let inner = self.inner();
        inner.book().busy(self.mode(), &inner.leases).is_some()
    }

    /// Live: frames that the furthest of the connected consumers has not come to. `None` while none is connected.
    #[must_use]
    pub fn unseen(&self) -> Option<u64> {
        let inner = self.inner();
        let mut book = inner.book();
        book.read_cursors(&inner.leases);
        let connected = book.consumers.iter().filter(|consumer| consumer.pid.is_some());
        connected.map(|consumer| book.next_seq - consumer.acked_next).min()
    }

    /// Counters and the state of each consumer.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner().stats()
    }

    /// A look at the counters that does not keep the pool open.
    #[must_use]
    pub fn watch(&self) -> PoolWatch {
        PoolWatch(Arc::downgrade(self.inner()))
    }

    /// Ends the pool: no slot can be taken any more on either side, the socket is gone, consumers unmap. What consumers hold
    /// stays readable for them until they drop it. Does not wait for anybody: see [`Pool::drain`]. Idempotent.
    pub fn close(&self) {
        self.0.close();
    }
}

/// Sees a pool's counters for as long as its memory is there; see [`Pool::watch`].
#[derive(Clone)]
pub struct PoolWatch(Weak<Inner>);

impl PoolWatch {
    /// Node and port, and the counters. `None` once the pool is gone.
    #[must_use]
    pub fn stats(&self) -> Option<(String, PoolStats)> {
        self.0.upgrade().map(|inner| (inner.output().to_owned(), inner.stats()))
    }
}

#[cfg(test)]
impl Pool {
    /// What the pool's thread does when the pidfd of consumer `index` says that it exited.
    pub(crate) fn reap(&self, index: usize) {
        self.inner().reap(index);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} {})", self.output(), self.id())
    }
}

impl Guard {
    fn close(&self) {
        {
            let mut book = self.inner.book();
            if !std::mem::replace(&mut book.closed, true) {
                self.inner.leases.slot_words().for_each(|word| word::retire(word, State::Closed));
            }
        }
        fault_point!("producer.in_close");
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An eventfd takes 8 bytes at a time and is empty here.
            let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
            if thread.join().is_err() {
                tracing::error!(output = self.inner.output(), "the pool's thread panicked");
            }
        }
        self.inner.leases.notify();
    }
}

impl fmt::Debug for PoolWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolWatch({})", self.0.upgrade().map_or("gone".to_owned(), |inner| inner.output().to_owned()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    pub(crate) fn output(&self) -> &str {
        &self.config.output
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Byte at which `slot` starts.
    pub(crate) fn slot_start(&self, slot: u32) -> usize {
        slot as usize * self.geometry.slot_stride()
    }

    /// Whether as many slots can be written as a producer that had to wait should have. A closed pool has: nothing to wait for.
    fn has_batch(&self) -> bool {
        let batch = (self.config.slots.saturating_sub(self.config.producer_max_held) / 4).max(1);
        let mut book = self.book();
        let held = |slot: usize| self.holds[slot].load(Ordering::Acquire) != 0;
        book.closed || book.usable(self.config.mode, &self.leases, held) >= batch as usize
    }

    fn overdue(&self) -> Option<(String, u64)> {
        let mut book = self.book();
        book.read_cursors(&self.leases);
        let (index, unacked) = book.overdue(self.config.grace, Instant::now())?;
        Some((book.consumers[index].spec.name.clone(), unacked))
    }

    fn exhausted(&self) -> BeginWriteError {
        let stats = self.stats();
        BeginWriteError::Exhausted {
            output: self.output().to_owned(),
            slots: stats.slots,
            leased: stats.leased_slots,
            held: stats.producer_held_slots,
            quarantined: stats.quarantined_slots,
        }
    }

    fn stats(&self) -> PoolStats {
        let mut book = self.book();
        book.read_cursors(&self.leases);
        let writing =
            |(slot, hold): (&crate::book::SlotBook, &AtomicU32)| slot.state == State::Writing || hold.load(Ordering::Relaxed) != 0;
        let leased = |word: &&std::sync::atomic::AtomicU64| Word(word.load(Ordering::Relaxed)).leases() != 0;
        PoolStats {
            published: book.next_seq,
            abandoned: book.abandoned,
            waits: book.waits,
            waited_ns: book.waited_ns,
            scribbles: book.scribbles,
            quarantined_slots: book.quarantined(),
            leased_slots: self.leases.slot_words().filter(leased).count() as u32,
            producer_held_slots: book.slots.iter().zip(&self.holds).filter(|pair| writing(*pair)).count() as u32,
            slots: self.geometry.slots,
            consumers: book.consumers.iter().map(consumer_stats).collect(),
        }
    }

    /// Lets `pid` in as consumer `name`; its index.
    pub(crate) fn join(&self, name: &str, max_held: u32, pid: u32) -> Result<usize, Refusal> {
        let mut book = self.book();
        if book.closed {
            return Err(Refusal::Closing);
        }
        let index = book.consumers.iter().position(|consumer| consumer.spec.name == name).ok_or(Refusal::Undeclared)?;
        let consumer = &mut book.consumers[index];
        if let Some(pid) = consumer.pid {
            return Err(Refusal::InUse { pid });
        }
        if max_held > consumer.spec.max_held {
            return Err(Refusal::MaxHeld { declared: consumer.spec.max_held });
        }
        consumer.pid = Some(pid);
        consumer.joins += 1;
        tracing::info!(output = self.output(), consumer = name, pid, "consumer joined");
        Ok(index)
    }

    /// Consumer `index` said goodbye: it holds nothing any more.
    pub(crate) fn leave(&self, index: usize) {
        self.part(index, false);
    }

    /// Consumer `index` is dead: takes its leases back.
    pub(crate) fn reap(&self, index: usize) {
        self.part(index, true);
    }

    fn part(&self, index: usize, died: bool) {
        let leases = self.leases.slot_words().filter(|word| word::release(*word, 1 << index)).count();
        fault_point!("producer.in_reap");
        {
            let mut book = self.book();
            let consumer = &mut book.consumers[index];
            consumer.pid = None;
            consumer.away_since = Instant::now();
            consumer.reaps += u64::from(died);
            consumer.reaped_leases += leases as u64;
            let name = &consumer.spec.name;
            if died {
                tracing::warn!(output = self.output(), consumer = name, leases, "consumer exited without goodbye, its leases are free");
            } else {
                tracing::info!(output = self.output(), consumer = name, "consumer left");
            }
        }
        self.leases.notify();
    }
}

fn consumer_stats(consumer: &crate::book::ConsumerBook) -> ConsumerStats {
    ConsumerStats {
        name: consumer.spec.name.clone(),
        joined: consumer.pid.is_some(),
        joins: consumer.joins,
        reaps: consumer.reaps,
        reaped_leases: consumer.reaped_leases,
        acked_next: consumer.acked_next,
    }
}

fn check(config: &PoolConfig) -> Result<(), PoolError> {
    let output = config.output.clone();
    let usable = |name: &str| (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains('\0');
    if !usable(&output) {
        return Err(PoolError::Names { why: format!("the output's own name has {} bytes", output.len()), output });
    }
    if config.consumers.len() > MAX_CONSUMERS {
        return Err(PoolError::Names { output, why: format!("{} are declared", config.consumers.len()) });
    }
    for (index, consumer) in config.consumers.iter().enumerate() {
        if !usable(&consumer.name) {
            return Err(PoolError::Names { output, why: format!("consumer {index} has a name of {} bytes", consumer.name.len()) });
        }
        if config.consumers[..index].iter().any(|other| other.name == consumer.name) {
            return Err(PoolError::Names { output, why: format!("`{}` is declared twice", consumer.name) });
        }
    }
    let (slots, slot_bytes) = (config.slots, config.slot_bytes);
    if !(1..=MAX_SLOTS).contains(&slots) || !(1..=MAX_SLOT_BYTES).contains(&slot_bytes) {
        return Err(PoolError::Size { output, slots, slot_bytes });
    }
    let needed = PoolConfig::min_slots(config.mode, &config.consumers, config.producer_max_held);
    if slots < needed {
        let terms = PoolConfig::terms(config.mode, &config.consumers, config.producer_max_held);
        return Err(PoolError::TooFewSlots { output, slots, needed, terms });
    }
    Ok(())
}
