//! Makes visits of readings: a reading is one pass before one camera, a visit is a vehicle's stay on the site.
//!
//! | event | when |
//! |---|---|
//! | `entered` | an entry has read it; or, without entries, a camera has for the first time since it left |
//! | `seen` | a further camera has read it; once per camera and visit |
//! | `left` | an exit has read it (`duration_s` from the entry, none where nobody saw it come); or, without entries, it was not seen for `ABSENT_S` |
//! | `expired` | it came in, and was not seen to leave for `EXPIRE_H`, or came in once more |
//!
//! A parked car is one visit, however often it is read: readings within `ABSENT_S` of the last sign of it belong to it (so does a living
//! track, where `tracks` are connected), and its return after that is a new one. Two plates are one vehicle up to `MAX_DISTANCE`; of
//! several open visits the nearest is taken. The price: a vehicle that comes within `ABSENT_S` of another whose plate differs in one or
//! two of the pairs that are easily confused counts as that one. `MAX_DISTANCE: 0` knows equal plates only.
//!
//! `RULES` is a file; everything in it may be left out:
//!
//! ```text
//! lists: { allow: residents.txt, deny: banned.txt }   # one plate a line, `# remarks`; read again when they change
//! cameras:
//!   entry_north: { role: entry }                      # entry, exit or seen
//!   exit_north: { role: exit }
//!   yard:
//!     lines:                                          # needs the input `tracks`
//!       - { name: barrier, from: [0, 700], to: [1920, 700] }   # `in` from its left to its right: here downwards
//!     zones:
//!       - { name: bay_1, polygon: [[100, 400], [600, 400], [600, 800], [100, 800]] }
//!       - { name: street, polygon: [[0, 0], [1920, 0], [1920, 200], [0, 200]], ignore: true }
//! ```
//!
//! A camera with lines has no role: `in` over a line is an entry, `out` an exit, and neither only sees. A reading waits for that until the
//! vehicle has crossed or its track has ended. A zone is where the middle of the plate was in the frame of the evidence.
//!
//! `list` of an event is that of the nearest plate within `MAX_DISTANCE`, `deny` before `allow`; `list_distance` says how near. Who opens a
//! barrier should ask for 0.
//!
//! `STATE` keeps open visits over a restart of the node. For live sites; in lossless runs readings of several cameras have no order
//! among each other, so pairs over cameras depend on it.
//!
//! ```yaml
//! - id: visits
//!   path: bin/visits
//!   inputs:
//!     tick: dora/timer/millis/500
//!     readings: { source: vote/readings, queue_size: 256, queue_policy: backpressure }
//!     tracks: { source: track/tracks, queue_size: 256, queue_policy: backpressure }
//!   outputs: [visits]
//!   env: { STATE: ../out/visits.json }
//! ```

mod contract;
pub mod geometry;
pub mod lists;
pub mod passages;
pub mod rules;
pub mod similarity;
pub mod site;
mod state;

pub use contract::CONTRACT;

use crate::geometry::{Direction, contains};
use crate::lists::Lists;
use crate::passages::{Crossed, Passages};
use crate::rules::{CameraRules, Role, Rules};
use crate::similarity::plain;
use crate::site::{Event, Limits, Sighting, Site};
use crate::state::State;
use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_messages::{ReadingRow, TracksRow, VisitRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    #[serde(default)]
    pub rules: Option<PathBuf>,
    pub absent_s: f64,
    pub expire_h: f64,
    pub max_distance: f32,
    #[serde(default)]
    pub state: Option<PathBuf>,
}

impl Params {
    fn limits(&self) -> Limits {
        let ns = |seconds: f64| (seconds * 1e9) as i64;
        Limits { absent_ns: ns(self.absent_s), expire_ns: ns(self.expire_h * 3600.0), max_distance: self.max_distance }
    }
}

/// The node.
pub struct Visits {
    rules: Rules,
    lists: Lists,
    limits: Limits,
    site: Site,
    state: Option<State>,
    passages: BTreeMap<String, Passages>,
    /// Tracks whose vehicle has a visit: camera and track, visit.
    present: BTreeMap<(String, u64), String>,
    /// The wall clock goes on when no camera sends anything.
    is_live: bool,
}

impl Stage for Visits {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let rules = params.rules.as_deref().map(Rules::read).transpose()?.unwrap_or_default();
        if rules.have_lines() && !context.inputs().iter().any(|edge| edge.input == "tracks") {
            return Err(Fault::new("the rules have lines, and nothing says how vehicles move")
                .hint("connect `tracks: { source: track/tracks, ... }`"));
        }
        let lists = Lists::open(&rules.lists)?;
        let (state, site) = match params.state.as_deref().map(State::open).transpose()? {
            Some((state, site)) => (Some(state), site),
            None => (None, Site::default()),
        };
        let limits = params.limits();
        let is_live = context.mode == Mode::Live;
        Ok(Self { rules, lists, limits, site, state, passages: BTreeMap::new(), present: BTreeMap::new(), is_live })
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.limits = params.limits();
        Ok(())
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let mut events = Vec::new();
        if input.port == "tracks" {
            for row in input.rows::<TracksRow>()? {
                self.on_tracks(&row, &mut events, out);
            }
        } else {
            for row in input.rows::<ReadingRow>()?.into_iter().filter(|row| !row.end) {
                self.on_reading(row, &mut events, out);
            }
        }
        self.send(&events, out)
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        self.lists.refresh();
        let mut events = Vec::new();
        if self.is_live {
            let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0);
            for camera in self.site.cameras() {
                let past = self.site.pass_time(&camera, now_ns, &self.limits);
                events.extend(past.iter().map(|event| self.row_of_time(event)));
            }
        }
        out.gauge("open_visits", self.site.open() as f64);
        self.send(&events, out)?;
        if let Some(state) = &mut self.state {
            state.write_now_and_then(&self.site);
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Outputs) -> Result<(), Fault> {
        if let Some(state) = &mut self.state {
            state.write(&self.site);
        }
        Ok(())
    }
}

impl Visits {
    fn on_tracks(&mut self, row: &TracksRow, events: &mut Vec<VisitRow>, out: &mut Outputs) {
        for track in row.tracks.iter().filter(|track| track.matched) {
            if let Some(visit) = self.present.get(&(row.source.clone(), track.track_id)) {
                self.site.is_there(visit, row.captured_ns);
            }
        }
        for id in &row.ended {
            self.present.remove(&(row.source.clone(), *id));
        }
        let lines = self.rules.cameras.get(&row.source).map_or(&[][..], |camera| &camera.lines);
        if !lines.is_empty() {
            let settled = self.passages.entry(row.source.clone()).or_default().track(row, lines);
            for (reading, crossed) in settled {
                self.see(&reading, crossed.as_ref(), events, out);
            }
        }
        let past = self.site.pass_time(&row.source, row.captured_ns, &self.limits);
        events.extend(past.iter().map(|event| self.row_of_time(event)));
    }

    fn on_reading(&mut self, row: ReadingRow, events: &mut Vec<VisitRow>, out: &mut Outputs) {
        let has_lines = self.rules.cameras.get(&row.source).is_some_and(|camera| !camera.lines.is_empty());
        if !has_lines {
            self.see(&row, None, events, out);
            return;
        }
        let settled = self.passages.entry(row.source.clone()).or_default().read(row);
        for (reading, crossed) in settled {
            self.see(&reading, crossed.as_ref(), events, out);
        }
    }

    /// A reading of which all is known.
    fn see(&mut self, row: &ReadingRow, crossed: Option<&Crossed>, events: &mut Vec<VisitRow>, out: &mut Outputs) {
        static NONE: CameraRules = CameraRules { role: Role::Seen, zones: Vec::new(), lines: Vec::new() };
        let camera = self.rules.cameras.get(&row.source).unwrap_or(&NONE);
        let (x, y) = row.bbox_in_source.center();
        let zone = camera.zones.iter().find(|zone| contains(&zone.polygon, [x, y]));
        if zone.is_some_and(|zone| zone.ignore) {
            out.count("ignored", 1);
            return;
        }
        let role = match crossed.map(|c| c.direction) {
            Some(Direction::In) => Role::Entry,
            Some(Direction::Out) => Role::Exit,
            None if camera.lines.is_empty() => camera.role,
            None => Role::Seen,
        };
        let at_ns = crossed.map_or(row.captured_ns, |c| c.at_ns);
        let plate = plain(&row.plate);
        let id = format!("{}/{}/{}", row.source, row.track_id, row.first_frame);
        let seen = Sighting { camera: &row.source, plate: &plate, at_ns, role, id: &id };
        let happened = self.site.see(&seen, &self.limits);
        if let Some(visit) = self.site.visit_of(&plate, &self.limits) {
            // What ended long ago and what a camera never closes is small, and bounded all the same.
            if self.present.len() >= 100_000 {
                self.present.pop_first();
            }
            self.present.insert((row.source.clone(), row.track_id), visit.id.clone());
        }
        let own = happened.iter().filter(|event| event.name != "expired" && event.at_ns == at_ns).count();
        out.count("repeats", u64::from(own == 0));
        for event in &happened {
            let mut visit = self.row_of_time(event);
            if event.name != "expired" && event.at_ns == at_ns && event.visit.last_camera == row.source {
                visit.source.clone_from(&row.source);
                visit.frame = row.evidence_frame;
                visit.plate.clone_from(&plate);
                visit.confidence = row.confidence;
                visit.track_id = row.track_id;
                visit.first_frame = row.first_frame;
                visit.bbox_in_source = row.bbox_in_source;
                visit.zone = zone.map(|z| z.name.clone()).unwrap_or_default();
                if let Some(crossed) = crossed {
                    visit.line.clone_from(&crossed.line);
                    visit.direction = if crossed.direction == Direction::In { "in" } else { "out" }.to_owned();
                }
                self.listed(&mut visit);
            }
            events.push(visit);
        }
    }

    fn send(&mut self, events: &[VisitRow], out: &mut Outputs) -> Result<(), Fault> {
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            out.count(&event.event, 1);
            if !event.list.is_empty() {
                out.count(&event.list, 1);
            }
        }
        // First, so that a node that is killed in between says an event twice rather than never.
        out.send("visits", events)?;
        if let Some(state) = &mut self.state {
            state.write(&self.site);
        }
        Ok(())
    }

    /// An event without a reading of its own: time has passed.
    fn row_of_time(&self, event: &Event) -> VisitRow {
        let mut row = VisitRow {
            source: event.visit.last_camera.clone(),
            visit: event.visit.id.clone(),
            event: event.name.to_owned(),
            captured_ns: event.at_ns,
            entered_ns: event.visit.entered_ns,
            entered_by: event.visit.entered_by.clone(),
            plate: event.visit.plate.clone(),
            ..VisitRow::default()
        };
        self.listed(&mut row);
        row
    }

    fn listed(&self, row: &mut VisitRow) {
        if let Some(listed) = self.lists.find(&row.plate, self.limits.max_distance) {
            (row.list, row.list_plate, row.list_distance) = (listed.list.to_owned(), listed.plate, listed.distance);
        }
    }
}
