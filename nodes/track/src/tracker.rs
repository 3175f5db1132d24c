//! One camera's tracker: from the detections of a frame to passes of vehicles.

use crate::kalman::Noise;
use crate::ties::{Seat, fit};
use crate::tracklets::{Measure, Method, Observation, Settings, Tracklets};
use gantry_messages::{BoxXyxy, DetectionsRow, Kind, Track, TracksRow};

/// The seam for other trackers: one value per camera, fed with every frame in order.
pub trait Tracker: Send {
    /// The tracks of the next frame. `row.end` is false.
    fn step(&mut self, row: &DetectionsRow) -> TracksRow;
    /// Ends all tracks; `row.end` is true.
    fn finish(&mut self, row: &DetectionsRow) -> TracksRow;
    /// New thresholds.
    fn set(&mut self, thresholds: Thresholds);
    /// Ids of tracks from here on are `first` and above.
    fn number_from(&mut self, first: u64);
}

/// Thresholds of [`PassTracker`].
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Detections from here on are matched first and may start a track.
    pub high_confidence: f32,
    /// Detections from here on may continue one.
    pub low_confidence: f32,
    /// Smallest IoU of a vehicle's boxes from frame to frame.
    pub match_iou: f32,
    /// Largest distance of a plate's centres from frame to frame, in plate lengths.
    pub match_distance: f32,
    /// Frames without a match after which a track ends.
    pub max_lost_frames: u64,
    /// Matches before a track is shown.
    pub min_hits: u32,
}

impl Thresholds {
    fn vehicles(&self, method: Method) -> Settings {
        Settings {
            method,
            high_confidence: self.high_confidence,
            low_confidence: self.low_confidence,
            max_lost_frames: self.max_lost_frames,
            min_hits: self.min_hits,
            measure: Measure::Overlap { match_iou: f64::from(self.match_iou) },
            noise: Noise { position: 0.05, velocity: 0.012 },
        }
    }

    fn plates(&self, method: Method) -> Settings {
        let known = f64::from(self.match_distance);
        Settings {
            measure: Measure::Centres { known, unknown: 2.0 * known },
            noise: Noise { position: 0.08, velocity: 0.05 },
            ..self.vehicles(method)
        }
    }
}

/// A vehicle, or a plate, or both tied: one pass.
#[derive(Clone, Debug, Default)]
struct Pass {
    /// Given once it is confirmed.
    id: Option<u64>,
    vehicle: Option<u64>,
    plate: Option<u64>,
    seat: Option<Seat>,
    age_frames: u32,
    plate_frames: u32,
    /// Frames in a row in which another vehicle suited the plate better, or none did.
    doubts: u32,
}

/// One [`Method`] for vehicles and for plates, and the ties between them. Deterministic: equal costs are decided by age.
pub struct PassTracker {
    method: Method,
    vehicles: Tracklets,
    plates: Tracklets,
    passes: Vec<Pass>,
    next_id: u64,
    last_frame: Option<u64>,
}

/// Frames in a row after which a better vehicle takes over a plate.
const DOUBTS: u32 = 3;
/// Frames for which the predicted place of an unseen plate is good enough to tie it.
const SHORT: u64 = 5;
/// How much better its fit must be.
const BETTER: f32 = 0.25;
/// Worst fit of a tie.
const WORST_FIT: f32 = -1.5;

impl PassTracker {
    /// Without tracks.
    pub fn new(method: Method, thresholds: Thresholds) -> Self {
        Self {
            method,
            vehicles: Tracklets::new(thresholds.vehicles(method)),
            plates: Tracklets::new(thresholds.plates(method)),
            passes: Vec::new(),
            next_id: 1,
            last_frame: None,
        }
    }

    /// Removes tracklets that are over; returns the ids of passes that ended with them.
    fn bury(&mut self) -> Vec<u64> {
        for pass in &mut self.passes {
            pass.vehicle = pass.vehicle.filter(|&k| self.vehicles.get(k).is_some());
            pass.plate = pass.plate.filter(|&k| self.plates.get(k).is_some());
        }
        let mut ended = Vec::new();
        self.passes.retain(|p| {
            let over = p.vehicle.is_none() && p.plate.is_none();
            if over {
                ended.extend(p.id);
            }
            !over
        });
        ended
    }

    /// A pass for each tracklet that has none.
    fn adopt(&mut self) {
        for t in self.vehicles.living() {
            if !self.passes.iter().any(|p| p.vehicle == Some(t.key)) {
                self.passes.push(Pass { vehicle: Some(t.key), ..Pass::default() });
            }
        }
        for t in self.plates.living() {
            if !self.passes.iter().any(|p| p.plate == Some(t.key)) {
                self.passes.push(Pass { plate: Some(t.key), ..Pass::default() });
            }
        }
    }

    fn seen_vehicle(&self, pass: &Pass) -> Option<BoxXyxy> {
        self.vehicles.get(pass.vehicle?).filter(|t| t.matched()).map(|t| t.bbox)
    }

    fn seen_plate(&self, pass: &Pass) -> Option<BoxXyxy> {
        self.plates.get(pass.plate?).filter(|t| t.matched()).map(|t| t.bbox)
    }

    /// Whether a plate seen at `plate` may take the place of the one that this pass had: it has none alive, or lost sight
    /// of it and the newcomer is where it should be.
    fn has_room(&self, pass: &Pass, vehicle: &BoxXyxy, plate: &BoxXyxy) -> bool {
        let Some(key) = pass.plate else { return true };
        let lost = self.plates.get(key).is_none_or(|t| !t.matched());
        lost && pass.seat.is_some_and(|s| {
            let ((ax, ay), (bx, by)) = (s.on(vehicle).center(), plate.center());
            (ax - bx).hypot(ay - by) < 1.5 * plate.width()
        })
    }

    /// Ties plates without a vehicle to vehicles, best fit first. Returns ids that ended because two passes became one.
    fn tie(&mut self) -> Vec<u64> {
        let mut pairs = Vec::new();
        for (p, plate_pass) in self.passes.iter().enumerate().filter(|(_, p)| p.vehicle.is_none()) {
            // A vehicle may be found in the very frames in which its plate is not.
            let Some(tracklet) = plate_pass.plate.and_then(|k| self.plates.get(k)).filter(|t| t.lost_frames <= SHORT) else { continue };
            let plate = tracklet.position();
            for (v, vehicle_pass) in self.passes.iter().enumerate() {
                let Some(vehicle) = self.seen_vehicle(vehicle_pass) else { continue };
                if let Some(score) = fit(&plate, &vehicle).filter(|&s| s >= WORST_FIT)
                    && (vehicle_pass.plate.is_none() || tracklet.matched() && self.has_room(vehicle_pass, &vehicle, &plate))
                {
                    pairs.push((score, p, v));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut used = vec![false; self.passes.len()];
        let mut merged = Vec::new();
        for (_, p, v) in pairs {
            if used[p] || used[v] {
                continue;
            }
            used[p] = true;
            used[v] = true;
            merged.push((p, v));
        }
        let mut ended = Vec::new();
        for &(p, v) in &merged {
            ended.extend(self.merge(p, v));
        }
        self.passes.retain(|p| p.vehicle.is_some() || p.plate.is_some());
        ended
    }

    /// Makes the plate of pass `p` the plate of pass `v` and empties `p`. The id that has had a plate stays, since texts may
    /// already be on their way under it; with two of those the vehicle's stays. Returns the id that ended.
    fn merge(&mut self, p: usize, v: usize) -> Option<u64> {
        let from = std::mem::take(&mut self.passes[p]);
        let to = &mut self.passes[v];
        to.plate = from.plate;
        to.doubts = 0;
        let keeps_own = to.plate_frames > 0 || from.id.is_none();
        to.age_frames = to.age_frames.max(from.age_frames);
        to.plate_frames = to.plate_frames.max(from.plate_frames);
        if keeps_own && to.id.is_some() { from.id } else { std::mem::replace(&mut to.id, from.id) }
    }

    /// Moves plates whose vehicle no longer fits: to a better one, or out on their own. Returns ids that ended.
    fn reconsider(&mut self) -> Vec<u64> {
        let mut ended = Vec::new();
        let mut i = 0;
        while i < self.passes.len() {
            let pass = &self.passes[i];
            let (Some(vehicle), Some(plate)) = (self.seen_vehicle(pass), self.seen_plate(pass)) else {
                i += 1;
                continue;
            };
            let now = fit(&plate, &vehicle);
            let better = self
                .passes
                .iter()
                .enumerate()
                .filter(|(j, other)| *j != i && other.plate.is_none())
                .filter_map(|(j, other)| Some((j, fit(&plate, &self.seen_vehicle(other)?)?)))
                .filter(|(_, score)| *score >= WORST_FIT && now.is_none_or(|n| *score > n + BETTER))
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
            let pass = &mut self.passes[i];
            if better.is_none() && now.is_some() {
                pass.doubts = 0;
                i += 1;
                continue;
            }
            pass.doubts += 1;
            if pass.doubts >= DOUBTS {
                // The id goes with the plate; the vehicle starts a pass of its own.
                let old = pass.vehicle.take();
                pass.seat = None;
                pass.doubts = 0;
                if let Some((j, _)) = better {
                    let other = &mut self.passes[j];
                    let vehicle = other.vehicle.take();
                    ended.extend(other.id.take());
                    self.passes[i].vehicle = vehicle;
                }
                self.passes.push(Pass { vehicle: old, ..Pass::default() });
            }
            i += 1;
        }
        self.passes.retain(|p| p.vehicle.is_some() || p.plate.is_some());
        ended
    }

    fn row(&self, row: &DetectionsRow, ended: Vec<u64>) -> TracksRow {
        let mut tracks: Vec<Track> = self
            .passes
            .iter()
            .filter_map(|p| {
                let vehicle = p.vehicle.and_then(|k| self.vehicles.get(k));
                let plate = p.plate.and_then(|k| self.plates.get(k)).filter(|t| t.matched());
                Some(Track {
                    track_id: p.id?,
                    age_frames: p.age_frames,
                    matched: plate.is_some() || vehicle.is_some_and(|t| t.matched()),
                    vehicle_in_source: vehicle.map(|t| t.position()),
                    vehicle_confidence: vehicle.map_or(0.0, |t| t.confidence),
                    plate_in_source: plate.map(|t| t.bbox),
                    plate_confidence: plate.map_or(0.0, |t| t.confidence),
                    plate_frames: p.plate_frames,
                })
            })
            .collect();
        tracks.sort_by_key(|t| t.track_id);
        let mut ended = ended;
        ended.sort_unstable();
        TracksRow {
            source: row.source.clone(),
            frame: row.frame,
            end: row.end,
            pts_ns: row.pts_ns,
            captured_ns: row.captured_ns,
            source_width: row.source_width,
            source_height: row.source_height,
            tracks,
            ended,
        }
    }

    fn end_all(&mut self) -> Vec<u64> {
        self.vehicles.clear();
        self.plates.clear();
        self.bury()
    }
}

impl Tracker for PassTracker {
    fn step(&mut self, row: &DetectionsRow) -> TracksRow {
        let mut ended = Vec::new();
        // A camera that starts again counts from 0: nothing of before is still in the picture.
        if self.last_frame.is_some_and(|last| row.frame <= last) {
            ended.extend(self.end_all());
            self.last_frame = None;
        }
        let frames = self.last_frame.map_or(1, |last| row.frame - last);
        self.last_frame = Some(row.frame);
        let picture = if row.source_width > 0 { (row.source_width as f32, row.source_height as f32) } else { (f32::MAX, f32::MAX) };

        self.vehicles.step(&observations(row, Kind::Vehicle, 0.75, 2.0), frames, picture, |_| None);
        let seats: Vec<(u64, BoxXyxy)> = self.passes.iter().filter_map(|p| Some((p.plate?, p.seat?.on(&self.seen_vehicle(p)?)))).collect();
        let hint = |key| seats.iter().find(|(k, _)| *k == key).map(|(_, b)| *b);
        self.plates.step(&observations(row, Kind::Plate, 0.45, 0.8), frames, picture, hint);

        ended.extend(self.bury());
        self.adopt();
        ended.extend(self.tie());
        ended.extend(self.reconsider());
        for i in 0..self.passes.len() {
            let (vehicle, plate) = (self.seen_vehicle(&self.passes[i]), self.seen_plate(&self.passes[i]));
            let sure = self.passes[i].vehicle.and_then(|k| self.vehicles.get(k)).is_some_and(|t| t.confirmed())
                || self.passes[i].plate.and_then(|k| self.plates.get(k)).is_some_and(|t| t.confirmed());
            let pass = &mut self.passes[i];
            pass.age_frames += u32::from(vehicle.is_some() || plate.is_some());
            pass.plate_frames += u32::from(plate.is_some());
            if let (Some(v), Some(p)) = (vehicle, plate) {
                pass.seat = Some(Seat::of(&p, &v));
            }
            if pass.id.is_none() && sure {
                pass.id = Some(self.next_id);
                self.next_id += 1;
            }
        }
        self.row(row, ended)
    }

    fn finish(&mut self, row: &DetectionsRow) -> TracksRow {
        let ended = self.end_all();
        self.last_frame = None;
        self.row(row, ended)
    }

    fn set(&mut self, thresholds: Thresholds) {
        self.vehicles.set(thresholds.vehicles(self.method));
        self.plates.set(thresholds.plates(self.method));
    }

    fn number_from(&mut self, first: u64) {
        self.next_id = self.next_id.max(first);
    }
}

/// The detections of one kind, highest score first, without those that lie on a better one: IoU above `iou`, or more than
/// `inside` of the smaller box within the larger (2.0: never).
fn observations(row: &DetectionsRow, kind: Kind, iou: f32, inside: f32) -> Vec<Observation> {
    let mut all: Vec<Observation> = row
        .detections
        .iter()
        .filter(|d| d.kind == kind as u8 && d.bbox_in_source.area() > 0.0 && d.confidence.is_finite())
        .map(|d| Observation { bbox: d.bbox_in_source, confidence: d.confidence })
        .collect();
    all.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut kept: Vec<Observation> = Vec::with_capacity(all.len());
    for o in all {
        let double = kept.iter().any(|k| {
            let common = k.bbox.intersection(&o.bbox);
            k.bbox.iou(&o.bbox) > iou || common / k.bbox.area().min(o.bbox.area()) > inside
        });
        if !double {
            kept.push(o);
        }
    }
    kept
}
