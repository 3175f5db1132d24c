//! Looks at whole pictures on a thread of its own, which lets everything else go first.

use crate::engine::Host;
use gantry_frames::Acquired;
use gantry_inference::{RawDetection, Selection};
use gantry_messages::FrameRow;
use gantry_node::{Fault, Waker, give_way};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One look at a time.
pub struct Looker {
    /// `None` when it ends.
    jobs: Option<SyncSender<Job>>,
    seen: Receiver<Seen>,
    under_way: Option<Look>,
    spare: Vec<RawDetection>,
    thread: Option<JoinHandle<()>>,
}

/// A frame that is looked at.
pub struct Look {
    pub frame: FrameRow,
    /// Its row went out already, with what was seen in parts of it.
    pub is_answered: bool,
}

struct Job {
    picture: Acquired,
    selection: Selection,
    found: Vec<RawDetection>,
}

struct Seen {
    found: Result<Vec<RawDetection>, Fault>,
    took: Duration,
}

/// What a look came to.
pub struct Looked {
    pub look: Look,
    pub found: Vec<RawDetection>,
    pub took: Duration,
}

impl Looker {
    pub fn start(mut host: Box<Host>, waker: Waker) -> Result<Self, Fault> {
        let (jobs, to_do) = sync_channel::<Job>(1);
        let (done, seen) = sync_channel(1);
        let run = move || {
            give_way(LOOKER);
            let _edge = gantry_copies::edge("frames");
            while let Ok(Job { picture, selection, mut found }) = to_do.recv() {
                let started = Instant::now();
                let result = host.detect(&picture, &selection).map(|all| found.extend_from_slice(all));
                drop(picture);
                let found = result.map(|()| found);
                if done.send(Seen { found, took: started.elapsed() }).is_err() {
                    return;
                }
                waker.wake();
            }
        };
        let thread = std::thread::Builder::new().name("looker".into()).spawn(run)?;
        Ok(Self { jobs: Some(jobs), seen, under_way: None, spare: Vec::new(), thread: Some(thread) })
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Whether a look is under way whose result is a frame's row: nothing of its camera goes out before it.
    pub fn holds(&self, camera: &str) -> bool {
        self.under_way.as_ref().is_some_and(|look| !look.is_answered && look.frame.source == camera)
    }

    /// Looks at a picture; only where it is idle.
    pub fn look(&mut self, look: Look, picture: Acquired, selection: &Selection) -> Result<(), Fault> {
        let job = Job { picture, selection: selection.clone(), found: std::mem::take(&mut self.spare) };
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(ended)?;
        self.under_way = Some(look);
        Ok(())
    }

    /// What the look that was under way came to, once it is over.
    pub fn looked(&mut self) -> Result<Option<Looked>, Fault> {
        match self.seen.try_recv() {
            Ok(seen) => self.over(seen),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ended()),
        }
    }

    /// As [`Looker::looked`], after the look that is under way.
    pub fn wait(&mut self) -> Result<Option<Looked>, Fault> {
        if self.is_idle() {
            return Ok(None);
        }
        let seen = self.seen.recv().map_err(|_| ended())?;
        self.over(seen)
    }

    fn over(&mut self, seen: Seen) -> Result<Option<Looked>, Fault> {
        let Some(look) = self.under_way.take() else { return Ok(None) };
        Ok(Some(Looked { look, found: seen.found?, took: seen.took }))
    }

    /// Takes a list back, to be filled again.
    pub fn reuse(&mut self, mut list: Vec<RawDetection>) {
        list.clear();
        self.spare = list;
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that looks at whole pictures has panicked");
        }
    }
}

fn ended() -> Fault {
    Fault::new("the thread that looks at whole pictures has ended").hint("this is a defect of `detect`: its log above says where")
}

/// How much nicer the node is than the others: frames are left out here and nowhere else.
pub const NODE: i32 = 5;
/// How much nicer the looker is than the node.
const LOOKER: i32 = 4;

/// Runs `open` on a thread that gives way, because those that it starts inherit that.
pub fn nicely<T: Send>(open: impl FnOnce() -> Result<T, Fault> + Send) -> Result<T, Fault> {
    let on_it = || {
        give_way(NODE + LOOKER);
        open()
    };
    std::thread::scope(|scope| {
        let opening = std::thread::Builder::new().name("looker-open".into()).spawn_scoped(scope, on_it)?;
        opening.join().unwrap_or_else(|_| Err(ended()))
    })
}
