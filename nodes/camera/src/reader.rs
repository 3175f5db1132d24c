//! The thread that reads a live source: waits for the network so that the node does not have to, and calls again when it is gone.

use crate::address::Address;
use crate::backlog::{Arrived, Backlog};
use crate::live_clock::LiveClock;
use gantry_media::{Demuxer, MediaError, OpenOptions, VideoPacket};
use gantry_node::Backoff;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{debug, info, warn};

/// How a live source is read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the camera.
    pub camera: String,
    /// Where it is.
    pub address: Address,
    /// Certificates to check against.
    pub ca_file: Option<PathBuf>,
    /// FFmpeg's options of the container.
    pub options: Vec<(String, String)>,
    /// How long opening may take.
    pub open_timeout: Duration,
    /// How long nothing may come.
    pub stall_timeout: Duration,
    /// Longest wait between two calls.
    pub retry: Duration,
    /// Wait after a refused password: cameras lock out who tries too often.
    pub refused_retry: Duration,
    /// Files: start again at the end.
    pub repeat: bool,
}

/// What the thread and the node share.
#[derive(Debug)]
pub struct Shared {
    backlog: Mutex<Backlog>,
    arrived: Condvar,
    /// For FFmpeg, which asks while it waits.
    pub stop: Arc<AtomicBool>,
}

/// Why reading a connection ended.
enum Gone {
    /// A file's end.
    End,
    /// Everything else.
    Lost(MediaError),
    /// The node ends.
    Stopped,
}

impl Shared {
    /// With room for `most` packets.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { backlog: Mutex::new(Backlog::new(most)), arrived: Condvar::new(), stop: Arc::default() }
    }

    /// The packets.
    pub fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The packets, as soon as there is one, or after `limit`.
    pub fn wait(&self, limit: Duration) -> MutexGuard<'_, Backlog> {
        let nothing = |backlog: &mut Backlog| !backlog.is_ready();
        self.arrived.wait_timeout_while(self.backlog(), limit, nothing).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Ends the thread soon.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.arrived.notify_all();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps for `time`, less if the node ends.
    fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// Reads until the node ends; returns when a file is at its end.
pub fn read(plan: &Plan, shared: &Shared) {
    let mut backoff = Backoff::new(plan.retry);
    let mut clock = LiveClock::default();
    let mut outage = Outage::default();
    while !shared.stopped() {
        let gone = match open(plan, shared) {
            Ok(demuxer) => {
                shared.backlog().count("connects", 1);
                read_connection(plan, shared, demuxer, &mut clock, || {
                    backoff.reset();
                    outage.over(plan);
                })
            }
            Err(_) if shared.stopped() => Gone::Stopped,
            Err(error) => {
                shared.backlog().count("connect_failures", 1);
                Gone::Lost(error)
            }
        };
        match gone {
            Gone::Stopped => {}
            Gone::End if plan.repeat => {}
            Gone::End => {
                shared.backlog().end();
                shared.arrived.notify_all();
                return;
            }
            Gone::Lost(error) => {
                if matches!(error, MediaError::Silent { .. }) {
                    shared.backlog().count("stalls", 1);
                }
                let wait = if matches!(error, MediaError::Refused { .. }) { plan.refused_retry } else { backoff.wait(fastrand::f64()) };
                outage.say(plan, &error, wait);
                shared.sleep(wait);
            }
        }
    }
}

fn open(plan: &Plan, shared: &Shared) -> Result<Demuxer, MediaError> {
    let options = OpenOptions {
        interrupt: Some(shared.stop.clone()),
        open_timeout: Some(plan.open_timeout),
        read_timeout: Some(plan.stall_timeout),
        ca_file: plan.ca_file.clone(),
        options: plan.options.clone(),
    };
    Demuxer::open(plan.address.secret(), &options)
}

/// Puts the packets of one connection into the backlog; `works` is called at the first one.
fn read_connection(plan: &Plan, shared: &Shared, mut demuxer: Demuxer, clock: &mut LiveClock, works: impl FnOnce()) -> Gone {
    let mut info = Some(demuxer.info().clone());
    let mut works = Some(works);
    let paced = plan.address.is_file().then(Instant::now);
    clock.reconnected();
    shared.backlog().interrupted();
    let mut corrupt = 0;
    loop {
        let packet = match demuxer.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) if let Some(started) = paced => {
                // The last picture is seen for as long as the others.
                let length = Duration::from_nanos(demuxer.info().duration_ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0));
                shared.sleep(length.saturating_sub(started.elapsed()));
                return Gone::End;
            }
            Ok(None) => {
                return Gone::Lost(MediaError::Read {
                    source_name: plan.address.name().to_owned(),
                    why: "the other end closed the stream".into(),
                });
            }
            Err(_) if shared.stopped() => return Gone::Stopped,
            Err(error) => return Gone::Lost(error),
        };
        if let (Some(started), Some(due)) = (paced, packet.dts_ns.or(packet.pts_ns)) {
            let due = Duration::from_nanos(u64::try_from(due).unwrap_or(0));
            shared.sleep(due.saturating_sub(started.elapsed()));
        }
        if shared.stopped() {
            return Gone::Stopped;
        }
        if let Some(works) = works.take() {
            let opened = demuxer.info();
            info!(
                camera = plan.camera,
                source = demuxer.name(),
                codec = opened.codec,
                width = opened.width,
                height = opened.height,
                fps = opened.fps,
                "connected"
            );
            works();
        }
        if packet.info_changed {
            info = Some(demuxer.info().clone());
        }
        // Both clocks together: between them nothing may wait, or the one on the wall seems to have been set.
        let (captured_ns, at) = (now_ns(), Instant::now());
        let mut arrived = Arrived { packet, captured_ns, info: info.take(), discontinuity: false };
        let ahead_ns = clock.ahead_ns();
        let jumped = place(&mut arrived, at, clock);
        if clock.ahead_ns() > ahead_ns {
            let back_s = (clock.ahead_ns() - ahead_ns) / 1_000_000_000;
            warn!(
                camera = plan.camera,
                back_s, "the clock of this machine was set back; media times go on ahead of it until the node is started again"
            );
        }
        let mut backlog = shared.backlog();
        backlog.count("pts_jumps", u64::from(jumped));
        backlog.count("corrupt_packets", demuxer.stats().corrupt - corrupt);
        corrupt = demuxer.stats().corrupt;
        backlog.push(arrived);
        drop(backlog);
        shared.arrived.notify_all();
    }
}

/// Decode times farther than this from the time of the picture are guesses of FFmpeg's that went wrong: it makes them up for RTSP.
const FAR_NS: i64 = 10_000_000_000;

/// Moves the times of a packet that came at `at` to the clock on the wall; true if they jumped.
fn place(arrived: &mut Arrived, at: Instant, clock: &mut LiveClock) -> bool {
    let VideoPacket { pts_ns, dts_ns, .. } = &mut arrived.packet;
    let Some(media_ns) = pts_ns.or(*dts_ns) else {
        // The first packet of an RTSP connection has none before the server has told what its clock counts from.
        *pts_ns = Some(clock.arrival(arrived.captured_ns, at));
        return false;
    };
    *dts_ns = dts_ns.filter(|dts| (dts - media_ns).abs() < FAR_NS);
    let (offset, jumped) = clock.offset(media_ns, arrived.captured_ns, at);
    for time in [pts_ns, dts_ns].into_iter().flatten() {
        *time += offset;
    }
    jumped
}

/// What was said about a source that does not come: each cause once, and when it is back.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    attempts: u64,
    said: String,
}

impl Outage {
    fn say(&mut self, plan: &Plan, error: &MediaError, wait: Duration) {
        self.since.get_or_insert_with(Instant::now);
        self.attempts += 1;
        let (text, retry_ms) = (error.to_string(), wait.as_millis() as u64);
        if text == self.said {
            debug!(camera = plan.camera, attempts = self.attempts, retry_ms, "still: {text}");
        } else {
            warn!(camera = plan.camera, retry_ms, hint = error.hint(), "{text}; trying again");
            self.said = text;
        }
    }

    fn over(&mut self, plan: &Plan) {
        if let Some(since) = self.since.take() {
            let away_ms = since.elapsed().as_millis() as u64;
            info!(camera = plan.camera, away_ms, attempts = self.attempts, "the camera is back");
        }
        *self = Self::default();
    }
}

pub(crate) fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}
