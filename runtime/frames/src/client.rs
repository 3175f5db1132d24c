//! The consumer's end, one per process.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use gantry_cuda::Context;
use rustix::event::{EventfdFlags, PollFd, PollFlags, poll};

use crate::import::Import;
use crate::runtime_dir;
use crate::{AcquireError, Acquired, ClientPoolStats, FrameMeta, Handle, JoinError, Mode, PoolId};

/// Who joins pools, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Directory of the sockets, the producers' one.
    pub runtime_dir: PathBuf,
    /// This node's id, as the producers declare it.
    pub name: String,
    /// Most slots held at once, per pool; at most what the producer declares.
    pub max_held: u32,
}

/// Joins pools at the first handle of each and takes frames. Clones share it.
///
/// Lossless, in the order of a node's loop:
///
/// ```no_run
/// # fn example(client: &gantry_frames::Client, handle: gantry_frames::Handle) -> Result<(), gantry_frames::AcquireError> {
/// let mut new = Vec::new();
/// client.observe(&handle, &mut new)?; // for each handle of a message; client.recover_all(&mut new) on a 20 ms tick
/// for handle in new.drain(..) {
///     let frame = client.acquire(&handle)?;
///     let _pixels = frame.bytes(); // ... and send what was made of them, then:
///     frame.ack();
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Guard>);

/// Pools that are remembered after they were let go: more than the messages of one restart can still name.
const GONE: usize = 64;

/// Ends the watching thread when the last clone goes.
struct Guard {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    /// The card that frames are read on; without one only host memory is.
    context: Option<Context>,
    /// The only mode of pools that it takes.
    mode: Mutex<Option<Mode>>,
    /// Pools mapped so far.
    imported: AtomicU64,
    imports: RwLock<Vec<Arc<Import>>>,
    /// What the last pools that were let go had come to. An id never comes back, so they are `Closed` and not to be joined.
    gone: Mutex<VecDeque<ClientPoolStats>>,
    /// Held during a join, so that two threads that see a new pool do not both join; starts with the first one.
    watcher: Mutex<Option<Watcher>>,
    stop: AtomicBool,
}

/// The thread that notices hang-ups, and what wakes it.
struct Watcher {
    event: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl Client {
    /// A client that has joined nothing yet and reads host memory.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self::over(config, None)
    }

    /// A client that has joined nothing yet and reads host memory and that of the context's device.
    #[must_use]
    pub fn with_cuda(config: ClientConfig, context: Context) -> Self {
        Self::over(config, Some(context))
    }

    fn over(config: ClientConfig, context: Option<Context>) -> Self {
        let shared = Shared {
            config,
            context,
            mode: Mutex::default(),
            imported: AtomicU64::new(0),
            imports: RwLock::default(),
            gone: Mutex::default(),
            watcher: Mutex::default(),
            stop: AtomicBool::new(false),
        };
        Self(Arc::new(Guard { shared: Arc::new(shared) }))
    }

    /// Refuses pools of another mode from now on: in a live pool frames are dropped, a lossless one waits for its readers.
    pub fn require(&self, mode: Mode) {
        *self.0.shared.mode.lock().unwrap_or_else(PoisonError::into_inner) = Some(mode);
    }

    /// How often this client mapped a pool's memory: once for each pool it joined, however many frames it took.
    #[must_use]
    pub fn imported(&self) -> u64 {
        self.0.shared.imported.load(Ordering::Relaxed)
    }

    /// This node's id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.shared.config.name
    }

    /// Call first for each handle of a message: pushes the handles that are new, in order of seq. Lossless: everything published
    /// that this client has not seen, so also what lost messages would have told; nothing for a duplicate. Live: the handle
    /// itself; nothing for a duplicate.
    ///
    /// # Errors
    /// [`AcquireError`] if the handle is malformed or its pool is closed or cannot be joined.
    pub fn observe(&self, handle: &Handle, new: &mut Vec<Handle>) -> Result<(), AcquireError> {
        let d = handle.decode_checked()?;
        self.0.shared.import(d.pool)?.observe(handle, &d, new)
    }

    /// Pushes what pool `pool` published and no message told of yet. Call on a tick of about 20 ms. Live: pushes nothing.
    ///
    /// # Errors
    /// [`AcquireError`] if the pool is closed or cannot be joined.
    pub fn recover(&self, pool: &PoolId, new: &mut Vec<Handle>) -> Result<(), AcquireError> {
        self.0.shared.import(*pool)?.recover(new);
        Ok(())
    }

    /// [`Client::recover`] for every joined pool.
    pub fn recover_all(&self, new: &mut Vec<Handle>) {
        self.0.shared.joined().iter().for_each(|import| import.recover(new));
    }

    /// Joins the pool of `output` (as in `cam0.decode/frames`) without waiting for its first message. `None` while there is no
    /// such pool.
    ///
    /// # Errors
    /// [`AcquireError`] if there is one that cannot be joined.
    pub fn find(&self, output: &str) -> Result<Option<PoolId>, AcquireError> {
        let found = runtime_dir::find(&self.0.shared.config.runtime_dir, output);
        let found = found.map_err(|source| JoinError::Find { output: output.to_owned(), source })?;
        let Some(id) = found else { return Ok(None) };
        match self.0.shared.import(id) {
            Ok(_) => Ok(Some(id)),
            Err(AcquireError::Closed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a frame: its slot is not written again until the result is dropped. Two atomic operations and no system call, once
    /// the pool is joined. The same frame may be taken several times; that counts as one slot held.
    ///
    /// # Errors
    /// [`AcquireError::Stale`] if the slot holds another frame by now (in live mode a dropped frame), [`AcquireError::Refused`]
    /// if `max_held` slots are held, [`AcquireError::Closed`] if the producer is gone, [`AcquireError::Malformed`] for bytes
    /// that are no handle or not this pool's, [`AcquireError::Join`] if the pool cannot be joined.
    pub fn acquire(&self, handle: &Handle) -> Result<Acquired, AcquireError> {
        let d = handle.decode_checked()?;
        self.0.shared.import(d.pool)?.acquire(handle, d)
    }

    /// What the producer said about a frame, without taking it. `None` when its slot was reused.
    ///
    /// # Errors
    /// As [`Client::acquire`].
    pub fn frame_meta(&self, handle: &Handle) -> Result<Option<FrameMeta>, AcquireError> {
        let d = handle.decode_checked()?;
        self.0.shared.import(d.pool)?.frame_meta(handle, &d)
    }

    /// Done with a frame, taken or not. Acknowledgements may come in any order. Live: does nothing.
    ///
    /// # Errors
    /// [`AcquireError::Malformed`] for a frame that was not published, [`AcquireError::Closed`] if the producer is gone.
    pub fn ack(&self, handle: &Handle) -> Result<(), AcquireError> {
        let pool = handle.decode_checked()?.pool;
        Ok(self.0.shared.import(pool)?.ack(handle.seq())?)
    }

    /// Counters of each joined pool, and what those had come to whose producers are gone.
    #[must_use]
    pub fn stats(&self) -> Vec<ClientPoolStats> {
        let gone = self.0.shared.gone.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.shared.joined().iter().map(|import| import.stats()).chain(gone).collect()
    }
}

#[cfg(test)]
impl Client {
    /// What SIGKILL leaves: no goodbye, and the lease bits as they are. What is returned says goodbye when it is dropped, so keep it for as
    /// long as the pool.
    pub(crate) fn kill(self) -> Vec<Arc<Import>> {
        self.0.shared.joined().clone()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.name())
    }
}

impl Shared {
    fn joined(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Import>>> {
        self.imports.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, id: PoolId) -> Option<Arc<Import>> {
        self.joined().iter().find(|import| import.geometry.id == id).cloned()
    }

    /// The joined pool `id`; joins it at first sight.
    fn import(self: &Arc<Self>, id: PoolId) -> Result<Arc<Import>, AcquireError> {
        if let Some(import) = self.known(id) {
            return if import.is_closed() { Err(AcquireError::Closed { pool: id }) } else { Ok(import) };
        }
        if self.gone.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|pool| pool.pool == id) {
            return Err(AcquireError::Closed { pool: id });
        }
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(import) = self.known(id) {
            return Ok(import);
        }
        let ClientConfig { runtime_dir, name, max_held } = &self.config;
        let import = Arc::new(Import::join(runtime_dir, id, name, *max_held, self.context.as_ref())?);
        let wanted = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        let its = import.geometry.mode;
        if let Some(own) = wanted.filter(|own| *own != its) {
            let (output, consumer) = (import.output.clone(), name.clone());
            return Err(JoinError::OtherMode { output, consumer, its, own }.into());
        }
        self.imported.fetch_add(1, Ordering::Relaxed);
        if watcher.is_none() {
            let started = self.start_watcher();
            *watcher = Some(started.map_err(|source| JoinError::System { pool: id, step: "starting the client's thread", source })?);
        }
        self.imports.write().unwrap_or_else(PoisonError::into_inner).push(import.clone());
        if let Some(watcher) = &*watcher {
            watcher.wake();
        }
        Ok(import)
    }

    fn start_watcher(self: &Arc<Self>) -> io::Result<Watcher> {
        let event = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let thread = std::thread::Builder::new().name("frames-client".to_owned()).spawn({
            let (shared, event) = (self.clone(), event.clone());
            move || shared.watch(&event)
        })?;
        Ok(Watcher { event, thread })
    }

    /// Lets go of pools whose producer hung up: no new frame can come, and the mapping goes with the last `Acquired`.
    fn watch(&self, event: &OwnedFd) {
        while !self.stop.load(Ordering::Acquire) {
            let imports: Vec<_> = self.joined().clone();
            let mut fds: Vec<_> = vec![PollFd::from_borrowed_fd(event.as_fd(), PollFlags::IN)];
            fds.extend(imports.iter().map(|import| PollFd::from_borrowed_fd(import.socket.as_fd(), PollFlags::IN)));
            if poll(&mut fds, None).is_err() {
                // Interrupted; anything else would come back at once, so it must not spin.
                std::thread::sleep(std::time::Duration::from_millis(10));
                continue;
            }
            let _ = rustix::io::read(event, &mut [0; 8]);
            for (import, fd) in imports.iter().zip(&fds[1..]) {
                // After its welcome a producer says nothing more: readable means gone.
                if !fd.revents().is_empty() {
                    import.mark_closed();
                    // Before it leaves the list: whoever no longer finds it there finds it here.
                    let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
                    gone.truncate(GONE - 1);
                    gone.push_front(import.stats());
                    drop(gone);
                    let mut joined = self.imports.write().unwrap_or_else(PoisonError::into_inner);
                    joined.retain(|other| !Arc::ptr_eq(other, import));
                    tracing::info!(pool = %import.geometry.id, output = import.output, "pool closed by its producer");
                }
            }
        }
    }
}

impl Watcher {
    fn wake(&self) {
        // Full only after 2^64 - 2 wake-ups that nobody read.
        let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let watcher = self.shared.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            watcher.wake();
            if watcher.thread.join().is_err() {
                tracing::error!(client = self.shared.config.name, "the client's thread panicked");
            }
        }
    }
}
