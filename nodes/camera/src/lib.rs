//! Opens one source, demuxes it and sends encoded packets. It never decodes, and it alone holds the address and its password.
//!
//! Packets have numbers without holes. `decode` says in `credit` which one it expects next: everything before that is done with
//! and forgotten here, everything after it is kept and sent again when asked for. So a lost message costs a moment, never a packet.
//! A file ends with an end row; the node exits when that one is acknowledged too.
//!
//! ```yaml
//! - id: camera_cam0
//!   path: bin/camera
//!   inputs:
//!     tick: dora/timer/millis/500
//!     credit: { source: decode_cam0/credit, queue_size: 256, queue_policy: backpressure }
//!   outputs: [packets]
//!   env: { SOURCE: ../tests/clips/gate_day.mp4, NAME: gate }
//! ```
//!
//! **Live mode** (`GANTRY_MODE: live`). A stream (`rtsp`, `rtsps`, `http`, `https`) is read by a thread of its own and never waits for
//! the graph: when the graph cannot follow, everything up to the next key frame is dropped and counted (`packets_dropped`). It is
//! taken for lost when it ends, fails, or sends nothing for `STALL_TIMEOUT_MS`, and is then called again, first after 0.1 s, then
//! with waits that double up to `RETRY_MS`; after a refused password only every `REFUSED_RETRY_MS`. Packets before the first key
//! frame of a connection are dropped (`packets_before_keyframe`). Media time is the clock on the wall, spaced by the camera's own times,
//! and goes on over reconnects, jumps (`pts_jumps`) and restarts; where the clock of the machine is set back it goes on ahead of that, as
//! it never goes back. A file with `PACE: realtime` plays the part of such a camera, again and again with `REPEAT: true`.
//!
//! **Passwords.** `CREDENTIALS_FILE` names a file of mode 0600, `CREDENTIALS_ENV` an environment variable of dora's daemon; either
//! holds `user:password`. No message, log or statistic shows them.
//!
//! **Recordings.** A source that ends in `.mcap` is a recording of `record`; `NAME` says which of its cameras, without it the only one. Packets,
//! media times and capture times are those that were recorded; what is missing of it is said and counted (`missing_packets`).
//!
//! In lossless mode a stream is read like a file: the other end has to wait, and its end is the end.

mod address;
mod backlog;
mod contract;
mod file;
mod live;
mod live_clock;
mod reader;
mod replay;
mod window;

pub use address::Address;
pub use contract::CONTRACT;
pub use window::Window;

use file::File;
use gantry_frames::Mode;
use gantry_media::{OpenOptions, StreamInfo};
use gantry_messages::{CreditRow, PacketRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use live::Live;
use reader::Plan;
use replay::Replay;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Bytes of packets in one message at most: dora's daemon path is slow for messages of several MB.
pub(crate) const GROUP_BYTES: usize = 1 << 20;
/// Time without an answer of `decode` after which the oldest unacknowledged packet is sent again.
const POKE_AFTER: Duration = Duration::from_secs(3);

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    source: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    credentials_file: Option<String>,
    #[serde(default)]
    credentials_env: Option<String>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    transport: Transport,
    device_format: String,
    #[serde(default)]
    device_size: Option<String>,
    start_s: f64,
    seconds: f64,
    pace: Pace,
    speed: f64,
    repeat: bool,
    open_timeout_ms: u64,
    stall_timeout_ms: u64,
    retry_ms: u64,
    refused_retry_ms: u64,
    /// For `gantry plan` alone.
    #[serde(default, rename = "view")]
    _view: Option<String>,
    window_packets: u32,
    window_mb: u32,
    group_packets: usize,
}

/// How fast a file is sent.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As fast as credits allow.
    Max,
    /// By its own clock.
    Realtime,
}

/// What RTSP sends its packets over.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Tcp,
    Udp,
}

/// What a source gives at once: rows without camera and number.
pub(crate) struct Batch {
    rows: Vec<PacketRow>,
    next: Next,
}

/// When to ask a source again.
pub(crate) enum Next {
    Now,
    After(Duration),
    /// Never: it is at its end.
    End,
}

enum Feed {
    File(Box<File>),
    Live(Live),
    Replay(Box<Replay>),
}

impl Feed {
    fn read(&mut self, count: usize, out: &mut Outputs) -> Result<Batch, Fault> {
        match self {
            Self::File(file) => file.read(count, out),
            Self::Live(live) => Ok(live.read(count, out)),
            Self::Replay(replay) => replay.read(count),
        }
    }

    fn info(&self) -> &StreamInfo {
        match self {
            Self::File(file) => file.info(),
            Self::Live(live) => live.info(),
            Self::Replay(replay) => replay.info(),
        }
    }
}

/// The node.
pub struct Camera {
    name: String,
    feed: Feed,
    window: Window,
    group: usize,
    at_end: bool,
    last_answer: Instant,
}

impl Stage for Camera {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let mut name = params.name.clone().unwrap_or_else(|| context.node_id.clone());
        let address = Address::new(&params.source, params.credentials_file.as_deref(), params.credentials_env.as_deref())?;
        check_tls(&name, &params, &address)?;
        let max_bytes = params.window_mb as usize * 1_000_000;
        let live = context.mode == Mode::Live && (!address.is_file() || params.pace == Pace::Realtime);
        let (feed, first) = if address.is_file() && is_recording(&params.source) {
            let part = (params.start_s, params.seconds);
            let replay = Replay::open(Path::new(&params.source), params.name.as_deref(), part, params.pace, params.speed)?;
            replay.name().clone_into(&mut name);
            (Feed::Replay(Box::new(replay)), 0)
        } else if live {
            if params.start_s > 0.0 || params.seconds < 1e9 {
                return Err(Fault::new("`START_S` and `SECONDS` are for files that are read once, this is a live source")
                    .hint("leave them out, or set `GANTRY_MODE: lossless`"));
            }
            // Above all numbers of a process that was here before this one: `decode` knows new packets from old.
            let first = u64::try_from(reader::now_ns() / 1_000_000).unwrap_or(0);
            (Feed::Live(Live::start(plan(&name, &params, address))?), first)
        } else {
            let options = OpenOptions {
                options: options(&params, &address),
                open_timeout: timeout(params.open_timeout_ms, &address),
                read_timeout: timeout(params.stall_timeout_ms, &address),
                interrupt: None,
                ca_file: params.ca_file.clone(),
            };
            let file = File::open(&name, &address, &options, params.start_s, params.seconds, params.pace)?;
            (Feed::File(Box::new(file)), 0)
        };
        Ok(Self {
            name,
            feed,
            window: Window::starting_at(first, params.window_packets, max_bytes),
            group: params.group_packets,
            at_end: false,
            last_answer: Instant::now(),
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        for row in input.rows::<CreditRow>()? {
            if row.source != self.name {
                continue;
            }
            self.last_answer = Instant::now();
            match (self.window.on_credit(&row), &self.feed) {
                (Ok(()), _) => {}
                (Err(lost), Feed::Live(_)) => {
                    debug!(camera = self.name, "{lost}: `decode` goes on with the next one");
                    continue;
                }
                (Err(lost), Feed::File(_) | Feed::Replay(_)) => {
                    return Err(Fault::new(format!("camera `{}`: {lost}", self.name))
                        .hint("`decode` was restarted in the middle of a file; start the run again"));
                }
            }
            if row.resend {
                out.count("resent_packets", self.window.unacknowledged() as u64);
                self.resend(usize::MAX, out)?;
            }
        }
        Ok(())
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        if self.window.is_done() {
            return Ok(Work::Done);
        }
        if self.at_end {
            return Ok(Work::Idle);
        }
        // A message costs the same for one packet and for eight: wait until a whole group fits.
        let room = self.window.room();
        let is_live = matches!(self.feed, Feed::Live(_));
        if room == 0 || (!is_live && room < self.group && self.window.unacknowledged() > 0) {
            return Ok(Work::Idle);
        }
        let batch = self.feed.read(room.min(self.group), out)?;
        for row in batch.rows {
            self.push(row);
        }
        let work = match batch.next {
            Next::Now => Work::Again,
            Next::After(time) => Work::After(time),
            Next::End => {
                self.end(out);
                Work::Again
            }
        };
        out.send("packets", self.window.unsent())?;
        self.window.mark_sent();
        Ok(work)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        // A lost message that nothing follows leaves no hole, and a credit can be lost too: ask once more with the oldest packet.
        if self.last_answer.elapsed() >= POKE_AFTER {
            self.last_answer = Instant::now();
            let sent = self.window.unacknowledged() - self.window.unsent().len();
            if sent > 0 {
                out.count("resent_packets", 1);
                self.resend(1, out)?;
            }
        }
        Ok(())
    }

    fn on_peer_restarted(&mut self, _node_id: &str, out: &mut Outputs) -> Result<(), Fault> {
        self.resend(usize::MAX, out)
    }
}

impl Camera {
    fn push(&mut self, row: PacketRow) {
        let row = PacketRow { source: self.name.clone(), frame: self.window.next(), ..row };
        self.window.push(row);
    }

    fn end(&mut self, out: &mut Outputs) {
        self.at_end = true;
        match &self.feed {
            Feed::File(file) => file.report(self.window.next(), out),
            Feed::Replay(replay) => replay.report(self.window.next(), out),
            Feed::Live(_) => {}
        }
        self.push(PacketRow { end: true, ..PacketRow::default() });
    }

    /// The oldest `count` unacknowledged packets once more, in messages of the usual size.
    fn resend(&mut self, count: usize, out: &mut Outputs) -> Result<(), Fault> {
        let info = self.feed.info().clone();
        let rows = self.window.all();
        let count = count.min(rows.len());
        let rows = &mut rows[..count];
        if let Some(first) = rows.first_mut().filter(|r| r.codec.is_empty() && !r.end) {
            // The receiver may be new: it needs to know the codec. For one that is not, nothing has changed.
            describe(first, &info);
        }
        let mut from = 0;
        while from < rows.len() {
            let mut to = from;
            let mut bytes = 0;
            while to < rows.len() && to - from < self.group && bytes < GROUP_BYTES {
                bytes += rows[to].data.len();
                to += 1;
            }
            out.send("packets", &rows[from..to])?;
            from = to;
        }
        Ok(())
    }
}

/// Whether the source is a recording of `record`.
fn is_recording(source: &str) -> bool {
    Path::new(source).extension().is_some_and(|e| e.eq_ignore_ascii_case("mcap"))
}

/// What can be known about TLS before the camera is called.
fn check_tls(name: &str, params: &Params, address: &Address) -> Result<(), Fault> {
    match &params.ca_file {
        Some(_) if !address.is_tls() => {
            return Err(Fault::new(format!("`CA_FILE` is set and `{}` is not reached over TLS", address.name()))
                .hint("write `rtsps://` or `https://`, or leave `CA_FILE` out"));
        }
        Some(path) => gantry_media::check_ca_file(path).map_err(media_fault)?,
        None if address.is_tls() => warn!(
            camera = name,
            hint = "`CA_FILE`: a file with the certificate of who signed it, or the camera's own",
            "the certificate of `{}` is not checked: whoever is in between can read the password and show other pictures",
            address.name()
        ),
        None => {}
    }
    if address.name().to_ascii_lowercase().starts_with("rtsps:") && params.transport == Transport::Udp {
        return Err(Fault::new(format!("`{}` with `TRANSPORT: udp` would send the pictures outside of TLS", address.name()))
            .hint("leave `TRANSPORT` out, or write `rtsp://`"));
    }
    Ok(())
}

fn plan(name: &str, params: &Params, address: Address) -> Plan {
    Plan {
        camera: name.to_owned(),
        options: options(params, &address),
        ca_file: params.ca_file.clone(),
        address,
        open_timeout: Duration::from_millis(params.open_timeout_ms),
        stall_timeout: Duration::from_millis(params.stall_timeout_ms),
        retry: Duration::from_millis(params.retry_ms),
        refused_retry: Duration::from_millis(params.refused_retry_ms),
        repeat: params.repeat,
    }
}

/// FFmpeg's options for streams. It would look at the first 20 frames to guess their rate; three leave time for a good picture within 2 s.
fn options(params: &Params, address: &Address) -> Vec<(String, String)> {
    if address.is_file() {
        return Vec::new();
    }
    if address.is_device() {
        let mut options = vec![("input_format".to_owned(), params.device_format.clone())];
        options.extend(params.device_size.clone().map(|size| ("video_size".to_owned(), size)));
        return options;
    }
    let transport = if params.transport == Transport::Udp { "udp" } else { "tcp" };
    let options = [("rtsp_transport", transport), ("fpsprobesize", "3"), ("buffer_size", "4194304")];
    options.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn timeout(ms: u64, address: &Address) -> Option<Duration> {
    (!address.is_file()).then(|| Duration::from_millis(ms))
}

pub(crate) fn describe(row: &mut PacketRow, info: &StreamInfo) {
    row.codec = info.codec.clone();
    row.width = info.width;
    row.height = info.height;
    row.rotation_deg = info.rotation_deg;
    row.fps = info.fps;
    row.extradata = info.extradata.clone();
}

pub(crate) fn media_fault(error: gantry_media::MediaError) -> Fault {
    let hint = error.hint();
    Fault::from(error).maybe_hint(hint)
}
