//! A web page to look at: live cameras with what was found in them, readings as they come with crop and votes, health of every camera,
//! rates and latency over time, search of past readings. It works on a phone, dark and light.
//!
//! In a live site it asks `crop` for the frames of the cameras that somebody looks at (`wanted`), `MAX_FPS` times a second, and gets them as handles (`views`).
//! When nobody looks nothing is asked for and nothing comes: the page costs the site nothing. Cameras that were added while the site runs are shown, too.
//!
//! Nobody waits for this node. Of a camera at most 6 frames are held at once, for which its pool has places, and scaled and encoded by one thread of low
//! priority. Where there is no `crop`, and in lossless graphs, it reads `frames` of `decode` and `tracks` of `track`: all of them come then, which costs 1 % of a
//! core per camera of 30 frames/s; they are touched while somebody looks, and in a lossless graph each is acknowledged when it comes.
//!
//! The page is at `http://127.0.0.1:8100`, for this machine alone. With another address in `LISTEN` it wants a token, which stands in a
//! file of mode 0600 (`CREDENTIALS_FILE`) or in a variable of dora's daemon (`CREDENTIALS_ENV`); it has no encryption of its own, so across a network that others
//! use put it behind a proxy with TLS, or `ssh -L 8100:127.0.0.1:8100`.
//!
//! Rates and ages come from the statistics in `GANTRY_RUN_DIR`.
//!
//! In a live site, as in graphs/sites/gate.yml: the inputs `views: crop/views` and `tracks: crop/view_tracks`, the output `wanted`; and at `crop` the input
//! `wanted: preview/wanted` and the outputs `views` and `view_tracks`. In a lossless graph:
//!
//! ```yaml
//! - id: preview
//!   path: bin/preview
//!   inputs:
//!     tick: dora/timer/millis/500
//!     frames_cam0: { source: decode_cam0/frames, queue_size: 256, queue_policy: backpressure }
//!     tracks: { source: track/tracks, queue_size: 256, queue_policy: backpressure }
//!     readings: { source: vote/readings, queue_size: 256, queue_policy: backpressure }
//!   env: { SQLITE: ../out/readings.sqlite }
//! ```

mod cameras;
mod contract;
mod demand;
mod history;
mod pictures;
mod readings;
mod search;
mod server;
mod site;

pub use contract::CONTRACT;

use gantry_contract::Contract;
use gantry_frames::{AcquireError, Client, Handle, Mode};
use gantry_messages::{FrameRow, ReadingRow, TracksRow, WantedRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use pictures::{Encoder, Held, MOST_LEASES};
use serde::Deserialize;
use server::{Door, Server};
use site::Site;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::info;

/// Time between two looks at the statistics while nobody looks at the page, so that its charts have a past.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while somebody does; nodes write once a second.
const LOOK_OFTEN: Duration = Duration::from_millis(900);

/// How long frames are asked for, which is said again twice a second.
const WANTED_FOR: Duration = Duration::from_secs(2);
/// While a page is open: time between two frames of a camera that nobody looks at, to know how it is.
const GLANCE_EVERY: Duration = Duration::from_secs(1);

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub listen: String,
    #[serde(default)]
    pub credentials_file: Option<String>,
    #[serde(default)]
    pub credentials_env: Option<String>,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub sqlite: Option<PathBuf>,
    pub max_fps: f64,
    pub jpeg_quality: u8,
}

/// The node.
pub struct Preview {
    site: Arc<Site>,
    client: Client,
    mode: Mode,
    /// Shortest time between two pictures of a camera.
    every: Duration,
    /// Frames come that are asked for.
    asks: bool,
    held: BTreeMap<String, Held>,
    looked: Instant,
    counted: (u64, u64),
    encoder: Encoder,
    server: Server,
}

impl Stage for Preview {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        if context.inputs().is_empty() && !context.graph.is_null() {
            return Err(Fault::new("nothing is connected to this node")
                .hint("connect `crop/views` as `views`, `crop/view_tracks` as `tracks`, and `vote/readings`"));
        }
        let on_demand = context.inputs().iter().any(|edge| edge.input.starts_with("views"));
        if on_demand && context.run_dir.is_none() {
            return Err(Fault::new("`views` is connected, and there are no statistics that say how cameras are while nobody looks").hint(
                "set `GANTRY_RUN_DIR` in the `env` at the top of the graph, or connect `frames` of each `decode` as `frames_<camera>`",
            ));
        }
        let listen = address(&params.listen)?;
        let token = gantry_credentials::token(params.credentials_file.as_deref(), params.credentials_env.as_deref()).map_err(|e| {
            let hint = e.hint();
            Fault::from(e).maybe_hint(hint)
        })?;
        let door = Door::new(&listen, token.as_ref().map(gantry_credentials::Secret::reveal))?;
        let of_folder = || Some(context.run_dir.as_ref()?.file_name()?.to_string_lossy().into_owned());
        let title = params.title.clone().or_else(of_folder).unwrap_or_else(|| "Gantry".to_owned());
        let cameras = cameras::cameras(&context.graph, context.inputs());
        let site = Arc::new(Site::new(title, context.run_dir.clone(), params.sqlite.clone(), cameras, context.waker.clone()));
        let server = Server::start(&listen, site.clone(), door)?;
        info!(address = %server.address, token = token.is_some(), "the page is at http://{}", server.address);
        Ok(Self {
            client: context.client(MOST_LEASES)?,
            mode: context.mode,
            // Frames come in steps: one that is almost due is not left for the next.
            every: Duration::from_nanos((0.9e9 / params.max_fps) as u64),
            asks: on_demand,
            held: BTreeMap::new(),
            looked: Instant::now(),
            counted: (0, 0),
            encoder: Encoder::start(site.clone(), params.jpeg_quality)?,
            server,
            site,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        match input.port.as_str() {
            "frames" => self.frames(input.rows()?, false, out),
            "views" => self.frames(input.rows()?, true, out),
            "tracks" => self.tracks(input),
            _ => {
                let rows = input.rows::<ReadingRow>()?;
                rows.into_iter().filter(|row| !row.end).for_each(|row| self.site.reading(row));
                Ok(())
            }
        }
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        if self.site.take_begun() {
            self.ask(Instant::now(), out)?;
        }
        Ok(Work::Idle)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let now = Instant::now();
        self.ask(now, out)?;
        self.held.retain(|camera, _| !self.site.demand.widths(camera, now).is_empty());
        self.site.forget_pictures(now);
        let since = now.duration_since(self.looked);
        if since >= if self.site.watchers() > 0 { LOOK_OFTEN } else { LOOK_EVERY } {
            self.looked = now;
            self.site.look_at_statistics(since.as_secs_f64());
        }
        let made = self.site.pictures_made();
        for (name, now, before) in [("pictures", made.0, self.counted.0), ("picture_us", made.1, self.counted.1)] {
            if now > before {
                out.count(name, now - before);
            }
        }
        self.counted = made;
        Ok(())
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.encoder.set_quality(params.jpeg_quality);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Outputs) -> Result<(), Fault> {
        self.held.clear();
        Ok(())
    }
}

impl Preview {
    /// Where the page is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Asks for the frames that somebody looks at, and for some of each camera while a page is open.
    fn ask(&self, now: Instant, out: &mut Outputs) -> Result<(), Fault> {
        if !self.asks {
            return Ok(());
        }
        let every = |source: String, every: Duration| WantedRow {
            source,
            every_ns: every.as_nanos() as u64,
            for_ns: WANTED_FOR.as_nanos() as u64,
            ..WantedRow::default()
        };
        let mut rows: Vec<WantedRow> = self.site.demand.cameras(now).into_iter().map(|camera| every(camera, self.every)).collect();
        if self.site.watchers() > 0 {
            rows.push(every(String::new(), GLANCE_EVERY));
        }
        out.send("wanted", &rows)
    }

    fn frames(&mut self, rows: Vec<FrameRow>, on_demand: bool, out: &mut Outputs) -> Result<(), Fault> {
        let now = Instant::now();
        for row in rows {
            self.site.frame(&row, on_demand);
            if row.end {
                self.held.remove(&row.source);
                continue;
            }
            let handle = Handle::from_bytes(row.handle);
            if self.site.demand.widths(&row.source, now).is_empty() {
                self.held.remove(&row.source);
            } else {
                // What was asked for comes as often as it was asked for.
                let every = if on_demand { Duration::ZERO } else { self.every };
                self.hold(row, &handle, every, now, out)?;
            }
            // A lease keeps what is held; nobody waits for this node.
            if self.mode == Mode::Lossless {
                self.client.ack(&handle)?;
            }
        }
        Ok(())
    }

    fn hold(&mut self, row: FrameRow, handle: &Handle, every: Duration, now: Instant, out: &mut Outputs) -> Result<(), Fault> {
        match self.client.acquire(handle) {
            Ok(frame) => {
                let held = self.held.entry(row.source.clone()).or_insert_with(|| Held::new(every, now));
                if let Some(job) = held.frame(row, frame, now) {
                    self.encoder.give(job);
                }
                Ok(())
            }
            Err(AcquireError::Stale { .. }) => {
                out.count("frames_stale", 1);
                Ok(())
            }
            // All that may be held is in the hands of the thread that encodes: the next one then.
            Err(AcquireError::Refused { .. }) => {
                out.count("frames_refused", 1);
                Ok(())
            }
            Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => Ok(()),
            Err(e) => Err(Fault::from(e).context(format!("camera `{}`, frame {}", row.source, row.frame))),
        }
    }

    fn tracks(&mut self, input: &Input) -> Result<(), Fault> {
        let now = Instant::now();
        if !self.site.demand.any(now) {
            return Ok(());
        }
        for row in input.rows::<TracksRow>()?.iter().filter(|row| !row.end) {
            if let Some(job) = self.held.get_mut(&row.source).and_then(|held| held.tracks(row, now)) {
                self.encoder.give(job);
            }
        }
        Ok(())
    }
}

fn address(listen: &str) -> Result<SocketAddr, Fault> {
    let wrong = |what: String| {
        Fault::new(format!("parameter `listen`: `{listen}` {what}")).hint("write an address and a port, e.g. `127.0.0.1:8100`")
    };
    let mut found = listen.to_socket_addrs().map_err(|e| wrong(format!("is no address with a port: {e}")))?;
    found.next().ok_or_else(|| wrong("is the name of no machine".to_owned()))
}
