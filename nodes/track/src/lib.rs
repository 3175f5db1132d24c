//! Follows vehicles and plates through the frames of each camera. A track is one pass of one vehicle: its plate is tied to
//! it, and the two share one `track_id`.
//!
//! **Method.** ByteTrack (Zhang et al., ECCV 2022): a constant-velocity Kalman filter per box; detections of high score are
//! matched first, those of low score only continue what was seen just before; the assignment is optimal (Hungarian).
//! Vehicles are compared by IoU. Plates are too small for that (30 x 8 px that move by 10 px have no overlap), so they are
//! compared by the distance of their centres in plate lengths, and a plate that sits on a vehicle is also looked for where
//! the vehicle's motion puts it: it keeps its id through frames in which the detector missed it.
//!
//! `TRACKER: iou` is the simplest method there is, for comparison: no motion, each box goes on with the nearest one of the next
//! frame (vehicles by IoU, plates by distance), the oldest first.
//!
//! **Ties.** A plate belongs to the vehicle whose box it fits best: inside, below the upper quarter, near the middle, about a
//! quarter as wide. A vehicle has at most one plate. A vehicle that is found later joins the track of its plate, a plate
//! that is found later joins the track of its vehicle; in both cases the id that has had a plate stays. When another vehicle
//! fits clearly better for three frames in a row (a car in front of the truck that was found first), the plate moves to it
//! with its id. Plates without a vehicle and vehicles without a plate are tracks too.
//!
//! **Not done here.** `track` sees no texts: when the text of a track changes to another plate for good, `vote` makes two
//! readings of it, and joins tracks of one pass that were broken apart.
//!
//! ```yaml
//! - id: track
//!   path: bin/track
//!   inputs:
//!     tick: dora/timer/millis/500
//!     detections: { source: detect/detections, queue_size: 256, queue_policy: backpressure }
//!   outputs: [tracks]
//!   env: { MAX_LOST_FRAMES: 30 }
//! ```

pub mod assignment;
mod contract;
pub mod kalman;
pub mod ties;
pub mod tracker;
pub mod tracklets;

pub use contract::CONTRACT;
pub use tracker::{PassTracker, Thresholds, Tracker};
pub use tracklets::Method;

use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_messages::{DetectionsRow, TracksRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The method.
    pub tracker: TrackerKind,
    /// See [`Thresholds`].
    pub high_confidence: f32,
    /// See [`Thresholds`].
    pub low_confidence: f32,
    /// See [`Thresholds`].
    pub match_iou: f32,
    /// See [`Thresholds`].
    pub match_distance: f32,
    /// See [`Thresholds`].
    pub max_lost_frames: u64,
    /// See [`Thresholds`].
    pub min_hits: u32,
}

/// The methods there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackerKind {
    /// [`Method::ByteTrack`].
    Bytetrack,
    /// [`Method::Iou`].
    Iou,
}

impl Params {
    fn thresholds(&self) -> Thresholds {
        Thresholds {
            high_confidence: self.high_confidence,
            low_confidence: self.low_confidence,
            match_iou: self.match_iou,
            match_distance: self.match_distance,
            max_lost_frames: self.max_lost_frames,
            min_hits: self.min_hits,
        }
    }

    /// A tracker for one camera.
    #[must_use]
    pub fn tracker(&self) -> Box<dyn Tracker> {
        let method = match self.tracker {
            TrackerKind::Bytetrack => Method::ByteTrack,
            TrackerKind::Iou => Method::Iou,
        };
        Box::new(PassTracker::new(method, self.thresholds()))
    }
}

/// The node.
pub struct Tracking {
    params: Params,
    mode: Mode,
    cameras: BTreeMap<String, Box<dyn Tracker>>,
}

impl Stage for Tracking {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        Ok(Self { params, mode: context.mode, cameras: BTreeMap::new() })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let mut rows: Vec<TracksRow> = Vec::with_capacity(input.len());
        for row in input.rows::<DetectionsRow>()? {
            let tracker = self.cameras.entry(row.source.clone()).or_insert_with(|| {
                let mut tracker = self.params.tracker();
                if self.mode == Mode::Live {
                    // Frame numbers rise over restarts, so that ids do: no pass is taken for one of a process before this one.
                    tracker.number_from(row.frame);
                }
                tracker
            });
            let tracks = if row.end { tracker.finish(&row) } else { tracker.step(&row) };
            out.count("tracks_ended", tracks.ended.len() as u64);
            rows.push(tracks);
        }
        out.send("tracks", &rows)
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        for tracker in self.cameras.values_mut() {
            tracker.set(params.thresholds());
        }
        self.params = params;
        Ok(())
    }
}
