//! The thread that empties the spool.

use crate::far_end::{FarEnd, Trouble};
use crate::refused::RefusedFile;
use gantry_frames::StopFlag;
use gantry_node::{Backoff, Episode, Fault};
use gantry_spool::{Entry, Spool, SpoolError};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// Entries of one attempt.
const BATCH: usize = 64;
/// How long the thread sleeps before it looks at the stop flag.
const LOOK: Duration = Duration::from_millis(100);

/// What happened since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub sent: u64,
    pub refused: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Outages that began.
    pub outages: u64,
}

struct Shared {
    spool: Mutex<Spool>,
    arrived: Condvar,
    counts: Mutex<Counts>,
    /// What was sent cannot be taken off the disk.
    stuck: Mutex<Episode>,
    stop: StopFlag,
}

pub(crate) struct Delivery {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A node that fails leaves the rest in the spool.
impl Drop for Delivery {
    fn drop(&mut self) {
        self.shared.stop.set();
        self.shared.arrived.notify_all();
    }
}

impl Delivery {
    pub fn start(spool: Spool, folder: &Path, far: impl FarEnd, retry: Duration) -> Result<Self, Fault> {
        let shared = Arc::new(Shared {
            spool: Mutex::new(spool),
            arrived: Condvar::new(),
            counts: Mutex::default(),
            stuck: Mutex::default(),
            stop: StopFlag::new(),
        });
        let worker = Worker {
            shared: shared.clone(),
            refused: RefusedFile::new(folder),
            backoff: Backoff::new(retry),
            retry,
            away: Episode::default(),
            unreadable: Episode::default(),
        };
        let thread = std::thread::Builder::new().name("sink-delivery".into()).spawn(move || worker.run(far))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Puts entries into the spool; the disk has them when it returns.
    pub fn take(&self, entries: &[Entry]) -> Result<(), SpoolError> {
        self.spool().append(entries)?;
        self.shared.arrived.notify_all();
        Ok(())
    }

    /// Takes what was sent off the disk, when nothing waits.
    pub fn tidy(&self) {
        let mut spool = self.spool();
        if spool.stats().waiting == 0 {
            self.shared.note(spool.tidy());
        }
    }

    pub fn spool(&self) -> MutexGuard<'_, Spool> {
        lock(&self.shared.spool)
    }

    pub fn counts(&self) -> Counts {
        std::mem::take(&mut *lock(&self.shared.counts))
    }

    /// Waits until everything is sent, or for so long, and ends the thread. How many entries are left, and what
    /// was counted until then.
    pub fn end(mut self, within: Duration) -> (u64, Counts) {
        let started = Instant::now();
        let waiting = || lock(&self.shared.spool).stats().waiting;
        while waiting() > 0 && started.elapsed() < within {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.shared.stop.set();
        self.shared.arrived.notify_all();
        // An attempt that hangs is left behind: what it sends and is not acked comes again.
        let ending = Instant::now();
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) && ending.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished)
            && thread.join().is_err()
        {
            error!("the sending thread panicked");
        }
        self.tidy();
        (self.spool().stats().waiting, std::mem::take(&mut *lock(&self.shared.counts)))
    }
}

impl Shared {
    /// What came of taking something off the disk that was sent; a disk that does not let it is told once.
    fn note(&self, done: Result<(), SpoolError>) {
        let mut stuck = lock(&self.stuck);
        match done {
            Ok(()) => {
                stuck.ends();
            }
            Err(error) if stuck.begins() => {
                warn!(%error, hint = error.hint(), "what was sent cannot be taken off the disk, and may be sent again after a restart");
            }
            Err(_) => {}
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    refused: RefusedFile,
    backoff: Backoff,
    retry: Duration,
    /// The far end takes nothing.
    away: Episode,
    /// The spool cannot be read.
    unreadable: Episode,
}

impl Worker {
    fn run(mut self, mut far: impl FarEnd) {
        while let Some(batch) = self.next_batch(&mut far) {
            let (seqs, entries): (Vec<u64>, Vec<Entry>) = batch.into_iter().unzip();
            let sent = far.send(&entries);
            let taken = sent.taken.min(entries.len());
            if taken > 0 {
                self.ack(seqs[taken - 1]);
                lock(&self.shared.counts).sent += taken as u64;
                self.is_there();
            }
            match sent.trouble {
                None if taken > 0 => {}
                None => self.is_away("it took nothing", None),
                Some(Trouble::Away { why, after }) => self.is_away(&why, after),
                Some(Trouble::Refused { why }) => {
                    if let (Some(entry), Some(seq)) = (entries.get(taken), seqs.get(taken)) {
                        self.put_aside(entry, *seq, &why);
                    }
                }
            }
        }
    }

    /// Waits for entries; `None` when the node ends.
    fn next_batch(&mut self, far: &mut impl FarEnd) -> Option<Vec<(u64, Entry)>> {
        while !self.shared.stop.is_set() {
            let mut spool = lock(&self.shared.spool);
            if spool.stats().waiting == 0 {
                let (again, waited) = self.shared.arrived.wait_timeout(spool, LOOK).unwrap_or_else(PoisonError::into_inner);
                drop(again);
                if waited.timed_out() {
                    far.idle();
                }
                continue;
            }
            let batch = spool.peek(BATCH);
            drop(spool);
            match batch {
                Ok(batch) => {
                    self.unreadable.ends();
                    if !batch.is_empty() {
                        return Some(batch);
                    }
                    self.sleep(LOOK);
                }
                Err(error) => {
                    if self.unreadable.begins() {
                        error!(%error, hint = error.hint(), "the spool cannot be read; it is tried again");
                    }
                    self.sleep(Duration::from_secs(1));
                }
            }
        }
        None
    }

    fn ack(&self, seq: u64) {
        let acked = lock(&self.shared.spool).ack(seq);
        self.shared.note(acked);
    }

    fn is_there(&mut self) {
        self.backoff.reset();
        if let Some(away) = self.away.ends() {
            info!(away_s = away.as_secs(), "the far end takes readings again");
        }
    }

    fn is_away(&mut self, why: &str, after: Option<Duration>) {
        let begins = self.away.begins();
        {
            let mut counts = lock(&self.shared.counts);
            counts.failures += 1;
            counts.outages += u64::from(begins);
        }
        if begins {
            warn!("the far end takes no readings; they wait in the spool: {why}");
        }
        let wait = self.backoff.wait(fastrand::f64());
        self.sleep(after.map_or(wait, |after| after.clamp(wait, self.retry.max(wait))));
    }

    fn put_aside(&mut self, entry: &Entry, seq: u64, why: &str) {
        match self.refused.add(entry, why) {
            Ok(()) => {
                error!(key = entry.key, why, file = %self.refused.path().display(), "the far end refuses a reading; it is put aside");
                self.ack(seq);
                lock(&self.shared.counts).refused += 1;
                self.is_there();
            }
            Err(error) => self.is_away(&format!("{why}; and it cannot be put aside: {error}"), None),
        }
    }

    fn sleep(&self, time: Duration) {
        let started = Instant::now();
        while !self.shared.stop.is_set() {
            let left = time.saturating_sub(started.elapsed());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
