//! From a frame in shared memory to the JPEG that a page shows.
//!
//! While somebody looks at a camera its last frames are held until the tracks of one of them come, so that boxes lie on the very
//! picture that they were found in. That frame goes to one thread of low priority, which scales and encodes it. Nothing queues there:
//! a newer frame of the same camera takes the place of one that waits.

use crate::site::Site;
use gantry_frames::Acquired;
use gantry_images::{Arrangement, FrameScaler, Letterbox, Rgb, Yuv, encode_jpeg};
use gantry_messages::{BoxXyxy, FrameRow, TracksRow};
use gantry_node::Fault;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Frames of one camera that are held at once while somebody looks at it: a fifth of a second at 30 frames/s, which tracks need to come.
const MOST_HELD: usize = 6;
/// Leases of a camera's frames at most: those, the one that waits to be encoded and the one that is.
pub const MOST_LEASES: u32 = MOST_HELD as u32 + 2;
/// After that long without tracks frames are shown without boxes.
const NO_TRACKS: Duration = Duration::from_secs(1);
/// Nice value of the thread that encodes: whatever has to do with plates comes first.
const NICE: i32 = 10;

/// A frame with what is drawn into it.
pub struct Job {
    /// Camera.
    pub camera: String,
    /// The row of the frame.
    pub row: FrameRow,
    /// The frame itself.
    pub frame: Acquired,
    /// What is in it.
    pub boxes: Vec<Boxed>,
}

/// A track in a picture, in pixels of the camera's picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boxed {
    /// Track.
    pub track_id: u64,
    /// Box of the vehicle.
    pub vehicle: Option<[f32; 4]>,
    /// Box of the plate.
    pub plate: Option<[f32; 4]>,
    /// What was read, once that is known.
    pub text: Option<String>,
}

/// The frames of one camera that may be shown next, oldest first.
pub struct Held {
    frames: VecDeque<(FrameRow, Acquired)>,
    /// Tracks that were faster than their frame.
    early: Option<TracksRow>,
    /// Shortest time between two pictures.
    every: Duration,
    /// When tracks came last; at first, when somebody began to look.
    tracks_seen: Instant,
    shown: Option<Instant>,
}

impl Held {
    /// Somebody begins to look. `every`: shortest time between two pictures.
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { frames: VecDeque::new(), early: None, every, tracks_seen: now, shown: None }
    }

    /// Takes a frame. Returns it as the next picture if one is due and its tracks are here, or are not to be expected.
    pub fn frame(&mut self, row: FrameRow, frame: Acquired, now: Instant) -> Option<Job> {
        while self.frames.len() >= MOST_HELD {
            self.frames.pop_front();
        }
        let tracks = self.early.take_if(|tracks| tracks.frame <= row.frame);
        self.frames.push_back((row, frame));
        if let Some(job) = tracks.and_then(|tracks| self.tracks(&tracks, now)) {
            return Some(job);
        }
        if now.duration_since(self.tracks_seen) < NO_TRACKS || !self.is_due(now) {
            return None;
        }
        let (row, frame) = self.frames.pop_back()?;
        self.frames.clear();
        self.shown = Some(now);
        Some(Job { camera: row.source.clone(), row, frame, boxes: Vec::new() })
    }

    /// The tracks of a frame have come: the picture, if the frame is held and a picture is due.
    pub fn tracks(&mut self, tracks: &TracksRow, now: Instant) -> Option<Job> {
        self.tracks_seen = now;
        while self.frames.front().is_some_and(|(row, _)| row.frame < tracks.frame) {
            self.frames.pop_front();
        }
        if self.frames.is_empty() {
            self.early = Some(tracks.clone());
        }
        if !self.is_due(now) || self.frames.front().is_none_or(|(row, _)| row.frame != tracks.frame) {
            return None;
        }
        let (row, frame) = self.frames.pop_front()?;
        self.shown = Some(now);
        Some(Job { camera: row.source.clone(), row, frame, boxes: boxes(tracks) })
    }

    fn is_due(&self, now: Instant) -> bool {
        self.shown.is_none_or(|shown| now.duration_since(shown) >= self.every)
    }
}

fn boxes(row: &TracksRow) -> Vec<Boxed> {
    let corners = |b: BoxXyxy| [b.x0, b.y0, b.x1, b.y1];
    let seen = row.tracks.iter().filter(|track| track.matched);
    seen.map(|track| Boxed {
        track_id: track.track_id,
        vehicle: track.vehicle_in_source.map(corners),
        plate: track.plate_in_source.map(corners),
        text: None,
    })
    .collect()
}

/// The thread that encodes; ends with its value.
pub struct Encoder {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Mailbox {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    quality: AtomicU8,
}

#[derive(Default)]
struct Waiting {
    /// One per camera at most.
    jobs: VecDeque<Job>,
    stopped: bool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Encoder {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn start(site: Arc<Site>, quality: u8) -> std::io::Result<Self> {
        let mailbox = Arc::new(Mailbox { quality: AtomicU8::new(quality), ..Mailbox::default() });
        let of_thread = mailbox.clone();
        let thread = std::thread::Builder::new().name("pictures".into()).spawn(move || run(&of_thread, &site))?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    /// Gives it a picture to make, in the place of an older one of the same camera that still waits.
    pub fn give(&self, job: Job) {
        let mut waiting = self.mailbox.lock();
        match waiting.jobs.iter_mut().find(|other| other.camera == job.camera) {
            Some(other) => *other = job,
            None => waiting.jobs.push_back(job),
        }
        drop(waiting);
        self.mailbox.bell.notify_one();
    }

    /// Sets the quality of the pictures that follow.
    pub fn set_quality(&self, quality: u8) {
        self.mailbox.quality.store(quality, Ordering::Relaxed);
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let mut waiting = self.mailbox.lock();
        waiting.stopped = true;
        waiting.jobs.clear();
        drop(waiting);
        self.mailbox.bell.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            warn!("the thread that encodes pictures panicked");
        }
    }
}

fn run(mailbox: &Mailbox, site: &Site) {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        debug!(%error, "pictures are encoded at the usual priority");
    }
    let mut maker = Maker::default();
    let mut refused = false;
    loop {
        let job = {
            let mut waiting = mailbox.lock();
            loop {
                if waiting.stopped {
                    return;
                }
                match waiting.jobs.pop_front() {
                    Some(job) => break job,
                    None => waiting = mailbox.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                }
            }
        };
        let started = Instant::now();
        let widths = site.demand.widths(&job.camera, started);
        let (camera, row, boxes) = (job.camera.clone(), job.row.clone(), job.boxes.clone());
        match maker.make(job, &widths, mailbox.quality.load(Ordering::Relaxed)) {
            Ok(jpegs) => site.show(&camera, &row, boxes, jpegs, started.elapsed()),
            Err(fault) => {
                site.picture_failed(&camera, &fault);
                if !std::mem::replace(&mut refused, true) {
                    warn!(camera, "a picture cannot be shown: {}", fault.message());
                }
            }
        }
    }
}

/// A JPEG and the width that was asked for.
pub type Jpegs = Vec<(u32, Vec<u8>)>;

/// Scratch of all pictures.
#[derive(Default)]
struct Maker {
    scaler: FrameScaler,
    scaled: Vec<u8>,
}

impl Maker {
    /// One JPEG per width, never larger than the frame itself. The frame is given back before the last of them is encoded.
    fn make(&mut self, job: Job, widths: &[u32], quality: u8) -> Result<Jpegs, Fault> {
        let mut jpegs = Jpegs::new();
        let mut frame = Some(job.frame);
        for (i, asked) in widths.iter().enumerate() {
            let Some(held) = &frame else { break };
            let image = held.layout().as_image().ok_or_else(|| {
                Fault::new("this edge carries tensors, pictures are wanted").hint("connect the output `frames` of `decode`")
            })?;
            let picture = Yuv::of(image, held.bytes())?;
            let width = (*asked as usize).min(picture.width);
            let height = (picture.height * width).div_ceil(picture.width.max(1)).max(1);
            self.scaled.resize(3 * width * height, 0);
            let letterbox = Letterbox::fit(picture.width, picture.height, width, height);
            self.scaler.run(&picture, &letterbox, Arrangement::InterleavedU8, &mut self.scaled);
            if i + 1 == widths.len() {
                frame = None;
            }
            jpegs.push((*asked, encode_jpeg(&Rgb::new(&self.scaled, width, height, 3 * width)?, quality)?));
        }
        Ok(jpegs)
    }
}
