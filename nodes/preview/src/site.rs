//! What the node's thread, the thread of pictures and the page share.

use crate::cameras::CameraNodes;
use crate::demand::Demand;
use crate::history::{History, NodeNow, Point, tenths};
use crate::pictures::{Boxed, Jpegs};
use crate::readings::{Readings, Shown};
use gantry_messages::{FrameRow, ReadingRow};
use gantry_node::{Fault, NodeStats, Waker};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Messages that a page may be behind before it has to begin anew.
const EVENTS: usize = 256;
/// Cameras that are taken up: a name is text that came from elsewhere.
const MOST_CAMERAS: usize = 256;
/// A camera without a frame for that long is shown as silent.
const SILENT: Duration = Duration::from_secs(3);

/// The state behind the page.
pub struct Site {
    /// Heading.
    pub title: String,
    /// Who looks at what.
    pub demand: Demand,
    /// The node's thread, for those who begin to look.
    waker: Waker,
    begun: AtomicBool,
    /// Where past readings are.
    pub database: Option<PathBuf>,
    run_dir: Option<PathBuf>,
    graph: Vec<CameraNodes>,
    cameras: Mutex<BTreeMap<String, Camera>>,
    readings: Mutex<Readings>,
    history: Mutex<History>,
    pictures: Mutex<BTreeMap<String, Arc<Picture>>>,
    picture_count: AtomicU64,
    picture_us: AtomicU64,
    newest_picture: Mutex<u64>,
    new_picture: Condvar,
    pages: Mutex<Vec<SyncSender<Event>>>,
}

/// A message to all pages: name and JSON.
pub type Event = (&'static str, Arc<str>);

/// A picture that was made, with what is in it.
#[derive(Debug)]
pub struct Picture {
    /// Rises with every picture, over all cameras.
    pub number: u64,
    /// Description, see [`About`].
    pub about: String,
    /// By the width that was asked for.
    pub jpegs: Jpegs,
}

/// What a page is told about a picture.
#[derive(Debug, Serialize)]
struct About<'a> {
    camera: &'a str,
    number: u64,
    frame: u64,
    captured_ms: i64,
    width: u32,
    height: u32,
    boxes: Vec<Boxed>,
}

/// A camera as its frames show it.
#[derive(Debug, Default)]
struct Camera {
    /// Not all of its frames come here.
    on_demand: bool,
    frames: u64,
    frames_before: u64,
    ages_ms: f64,
    age_ms: Option<f64>,
    size: (u32, u32),
    seen: Option<Instant>,
    ended: bool,
    fault: Option<String>,
    fps: f64,
}

/// A camera as the page shows it.
#[derive(Debug, Serialize)]
pub struct CameraNow {
    name: String,
    /// `live`, `silent`, `waiting` (nothing has come yet) or `ended`.
    state: &'static str,
    fps: f64,
    /// From the camera's packet to here, mean of the frames that came since the last look.
    age_ms: Option<f64>,
    silent_s: Option<f64>,
    width: u32,
    height: u32,
    left_out: u64,
    connects: u64,
    connect_failures: u64,
    decode_errors: u64,
    pts_jumps: u64,
    freezes: u64,
    frozen: bool,
    fault: Option<String>,
}

/// What all pages are told once a second.
#[derive(Debug, Serialize)]
struct Status<'a> {
    cameras: Vec<CameraNow>,
    nodes: &'a [NodeNow],
    point: &'a Point,
}

impl Camera {
    /// Closes the time since the last look. `rate`: frames per second as the camera's nodes count them and how long ago they said so, where not all
    /// frames come here.
    fn count(&mut self, seconds: f64, rate: Option<(f64, Duration)>) {
        let new = self.frames - self.frames_before;
        self.fps = rate.map_or_else(|| tenths(new as f64 / seconds.max(0.001)), |(rate, _)| rate);
        if let Some((_, ago)) = rate.filter(|(rate, _)| *rate > 0.0) {
            self.seen = self.seen.max(Instant::now().checked_sub(ago));
        }
        if new > 0 {
            self.age_ms = (self.ages_ms > 0.0).then(|| tenths(self.ages_ms / new as f64));
        }
        (self.frames_before, self.ages_ms) = (self.frames, 0.0);
    }

    fn now(&self, name: &str, nodes: &CameraNodes, history: &History) -> CameraNow {
        let silent = self.seen.map(|seen| seen.elapsed());
        let state = match silent {
            _ if self.ended => "ended",
            None => "waiting",
            Some(silent) if silent > SILENT => "silent",
            Some(_) => "live",
        };
        let of_camera = |counter| history.counter(&nodes.camera, counter);
        let of_decode = |counter| history.counter(&nodes.decode, counter);
        CameraNow {
            name: name.to_owned(),
            state,
            fps: self.fps,
            age_ms: self.age_ms.filter(|_| state == "live"),
            silent_s: silent.map(|silent| tenths(silent.as_secs_f64())),
            width: self.size.0,
            height: self.size.1,
            left_out: history.left_out(&nodes.camera) + history.left_out(&nodes.decode),
            connects: of_camera("connects"),
            connect_failures: of_camera("connect_failures"),
            decode_errors: of_decode("decode_errors"),
            pts_jumps: of_camera("pts_jumps"),
            freezes: of_decode("freezes"),
            frozen: of_decode("freezes") > of_decode("freezes_over"),
            fault: self.fault.clone(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(title: String, run_dir: Option<PathBuf>, database: Option<PathBuf>, graph: Vec<CameraNodes>, waker: Waker) -> Self {
        let camera = |nodes: &CameraNodes| (nodes.name.clone(), Camera { on_demand: nodes.on_demand, ..Camera::default() });
        let cameras = graph.iter().map(camera).collect();
        Self {
            title,
            demand: Demand::default(),
            waker,
            begun: AtomicBool::new(false),
            database,
            run_dir,
            graph,
            cameras: Mutex::new(cameras),
            readings: Mutex::default(),
            history: Mutex::default(),
            pictures: Mutex::default(),
            picture_count: AtomicU64::new(0),
            picture_us: AtomicU64::new(0),
            newest_picture: Mutex::default(),
            new_picture: Condvar::new(),
            pages: Mutex::default(),
        }
    }

    /// Somebody looks at `camera` now.
    pub fn look(&self, camera: &str, width: u32, now: Instant) {
        if self.demand.look(camera, width, now) {
            self.begin();
        }
    }

    fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Whether somebody has begun to look since the last call.
    pub fn take_begun(&self) -> bool {
        self.begun.swap(false, Ordering::Relaxed)
    }

    /// A frame has come, or the end of a camera. `on_demand`: one of those that were asked for.
    pub fn frame(&self, row: &FrameRow, on_demand: bool) {
        let mut cameras = lock(&self.cameras);
        if !cameras.contains_key(&row.source) {
            if cameras.len() >= MOST_CAMERAS {
                return;
            }
            cameras.insert(row.source.clone(), Camera::default());
        }
        let Some(camera) = cameras.get_mut(&row.source) else { return };
        (camera.ended, camera.on_demand) = (row.end, on_demand);
        if row.end {
            return;
        }
        camera.frames += 1;
        // Frames of files carry media time, which has no age.
        if row.captured_ns > 1_000_000_000_000_000_000 {
            camera.ages_ms += ((now_ms() - row.captured_ns / 1_000_000).max(0)) as f64;
        }
        camera.size = (row.source_width, row.source_height);
        camera.seen = Some(Instant::now());
    }

    /// A reading has come.
    pub fn reading(&self, row: ReadingRow) {
        let shown = lock(&self.readings).add(row);
        self.tell("reading", &shown);
    }

    /// A picture was made.
    pub fn show(&self, camera: &str, row: &FrameRow, mut boxes: Vec<Boxed>, jpegs: Jpegs, took: Duration) {
        if jpegs.is_empty() {
            return;
        }
        let readings = lock(&self.readings);
        for boxed in &mut boxes {
            boxed.text = readings.plate_of(camera, boxed.track_id).map(str::to_owned);
        }
        drop(readings);
        let number = self.picture_count.fetch_add(1, Ordering::Relaxed) + 1;
        self.picture_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let about = About {
            camera,
            number,
            frame: row.frame,
            captured_ms: row.captured_ns / 1_000_000,
            width: row.source_width,
            height: row.source_height,
            boxes,
        };
        let about = serde_json::to_string(&about).unwrap_or_default();
        lock(&self.pictures).insert(camera.to_owned(), Arc::new(Picture { number, about, jpegs }));
        if let Some(seen) = lock(&self.cameras).get_mut(camera) {
            seen.fault = None;
        }
        *lock(&self.newest_picture) = number;
        self.new_picture.notify_all();
    }

    /// Pictures of a camera cannot be made.
    pub fn picture_failed(&self, camera: &str, fault: &Fault) {
        if let Some(seen) = lock(&self.cameras).get_mut(camera) {
            seen.fault = Some(match fault.hint_text() {
                Some(hint) => format!("{}; {hint}", fault.message()),
                None => fault.message(),
            });
        }
    }

    /// Pictures made so far and the µs that they took.
    pub fn pictures_made(&self) -> (u64, u64) {
        (self.picture_count.load(Ordering::Relaxed), self.picture_us.load(Ordering::Relaxed))
    }

    /// Whether there is a camera of that name.
    pub fn has_camera(&self, name: &str) -> bool {
        lock(&self.cameras).contains_key(name)
    }

    /// The newest picture of a camera.
    pub fn picture(&self, camera: &str) -> Option<Arc<Picture>> {
        lock(&self.pictures).get(camera).cloned()
    }

    /// Pictures that nobody looks at any more are let go.
    pub fn forget_pictures(&self, now: Instant) {
        lock(&self.pictures).retain(|camera, _| !self.demand.widths(camera, now).is_empty());
    }

    /// Number of the newest picture of all.
    pub fn newest_picture(&self) -> u64 {
        *lock(&self.newest_picture)
    }

    /// Waits until there is one after `newest`, at most that long; whether there is.
    pub fn wait_for_picture(&self, newest: u64, limit: Duration) -> bool {
        let waited = self.new_picture.wait_timeout_while(lock(&self.newest_picture), limit, |now| *now == newest);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// What is told to all pages from now on. Ends when the page cannot follow.
    pub fn listen(&self) -> Receiver<Event> {
        let (sender, receiver) = sync_channel(EVENTS);
        lock(&self.pages).push(sender);
        self.begin();
        receiver
    }

    /// Pages that are open.
    pub fn watchers(&self) -> usize {
        lock(&self.pages).len()
    }

    /// Runs `f` over the readings in memory.
    pub fn with_readings<T>(&self, f: impl FnOnce(&Readings) -> T) -> T {
        f(&lock(&self.readings))
    }

    /// What a page is told first.
    pub fn hello(&self) -> serde_json::Value {
        let newest: Vec<Shown> = lock(&self.readings).newest().take(40).cloned().collect();
        let names: Vec<String> = lock(&self.cameras).keys().cloned().collect();
        let points: Vec<Point> = lock(&self.history).points().iter().cloned().collect();
        serde_json::json!({
            "title": self.title,
            "version": env!("CARGO_PKG_VERSION"),
            "cameras": names,
            "has_statistics": self.run_dir.is_some(),
            "readings": newest,
            "points": points,
        })
    }

    /// Looks at the statistics of all nodes, keeps a point of them and tells the pages. `seconds`: since the last call.
    pub fn look_at_statistics(&self, seconds: f64) {
        let stats = self.run_dir.as_deref().map(NodeStats::read_all).unwrap_or_default();
        let (mut history, t) = (lock(&self.history), now_ms());
        let nodes = history.look(t, stats);
        let mut cameras = lock(&self.cameras);
        for (name, camera) in cameras.iter_mut() {
            camera.count(seconds, camera.on_demand.then(|| history.rate(self.nodes_of(name).counted(), t)));
        }
        let fps = cameras.iter().map(|(name, camera)| (name.clone(), camera.fps)).collect();
        let point = history.keep(t, &nodes, &fps);
        let cameras = cameras.iter().map(|(name, camera)| camera.now(name, &self.nodes_of(name), &history)).collect();
        drop(history);
        if self.watchers() > 0 {
            self.tell("status", &Status { cameras, nodes: &nodes, point: &point });
        }
    }

    fn nodes_of(&self, camera: &str) -> Cow<'_, CameraNodes> {
        let known = self.graph.iter().find(|nodes| nodes.name == camera);
        known.map_or_else(|| Cow::Owned(CameraNodes::added(camera)), Cow::Borrowed)
    }

    fn tell(&self, name: &'static str, what: &impl Serialize) {
        let mut pages = lock(&self.pages);
        if pages.is_empty() {
            return;
        }
        if let Ok(json) = serde_json::to_string(what) {
            let json: Arc<str> = json.into();
            pages.retain(|page| page.try_send((name, json.clone())).is_ok());
        }
    }
}

/// ms since 1970.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
}
