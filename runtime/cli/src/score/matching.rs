//! Which reading belongs to which vehicle, and the sums.

use super::{Truth, Vehicle};
use crate::read::Reading;
use gantry_contract::distance;
use serde::Serialize;
use std::collections::BTreeMap;

/// A reading may lie this far outside the frames in which the truth sees the plate.
const SLACK_S: f64 = 1.0;

/// The result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Score {
    /// Vehicles in the truth.
    pub vehicles: usize,
    /// Readings of those cameras.
    pub readings: usize,
    /// Vehicles whose plate was read without fault.
    pub exact: usize,
    /// `1 - edits / characters` over all vehicles; a vehicle that was not read counts with all its characters.
    pub character_accuracy: f64,
    /// Further readings of a vehicle that has one.
    pub duplicates: usize,
    /// Readings that belong to no vehicle.
    pub false_readings: usize,
    /// One row per vehicle and per reading without one.
    pub rows: Vec<Row>,
    /// How often each variant was right, over the frames of vehicles that were read.
    pub variants: Vec<VariantScore>,
}

/// A vehicle with its reading, or a reading without a vehicle.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Camera.
    pub camera: String,
    /// The plate.
    pub truth: Option<String>,
    /// What was read.
    pub read: Option<String>,
    /// `exact`, `wrong`, `missed`, `duplicate`, `false`.
    pub verdict: String,
    /// Times of the reading, or of the vehicle if it was missed.
    pub first_seen_s: f64,
    /// See `first_seen_s`.
    pub last_seen_s: f64,
    /// Which of the readings it is.
    #[serde(skip)]
    pub reading: Option<usize>,
}

/// One variant.
#[derive(Clone, Debug, Serialize)]
pub struct VariantScore {
    /// `original` or the operator.
    pub variant: String,
    /// Frames in which it read the true plate.
    pub right: usize,
    /// Frames in which it read.
    pub frames: usize,
}

impl Score {
    /// Share of vehicles read exactly.
    pub fn exact_rate(&self) -> f64 {
        self.exact as f64 / self.vehicles.max(1) as f64
    }

    /// Per vehicle of the truth whether it was read exactly, in the order of the truth.
    pub fn vehicles_exact(&self) -> Vec<bool> {
        let of_vehicle = self.rows.iter().filter(|r| matches!(r.verdict.as_str(), "exact" | "wrong" | "missed"));
        of_vehicle.map(|r| r.verdict == "exact").collect()
    }

    /// The row of reading number `index` of those that were scored.
    pub fn row_of(&self, index: usize) -> Option<&Row> {
        self.rows.iter().find(|r| r.reading == Some(index))
    }

    /// Share of readings that are duplicates or belong to no vehicle.
    pub fn wrong_rate(&self) -> f64 {
        (self.duplicates + self.false_readings) as f64 / self.readings.max(1) as f64
    }
}

/// Scores the readings of the cameras that have a truth.
pub fn score(truth: &[Truth], readings: &[Reading]) -> Score {
    let mut all = Score::default();
    let (mut edits, mut characters) = (0, 0);
    let mut variants: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for clip in truth {
        let places: Vec<usize> = (0..readings.len()).filter(|i| readings[*i].camera == clip.camera).collect();
        let of_camera: Vec<&Reading> = places.iter().map(|i| &readings[*i]).collect();
        all.vehicles += clip.vehicles.len();
        all.readings += of_camera.len();
        let pairs = assign(clip, &of_camera);
        let mut used = vec![false; of_camera.len()];
        for (vehicle, reading) in clip.vehicles.iter().zip(&pairs) {
            characters += vehicle.plate.len();
            let Some(index) = *reading else {
                edits += vehicle.plate.len();
                let times = (vehicle.first_frame as f64 / clip.fps, vehicle.last_frame as f64 / clip.fps);
                all.rows.push(row(clip, Some(&vehicle.plate), None, "missed", times, None));
                continue;
            };
            used[index] = true;
            let found = of_camera[index];
            let d = distance(&vehicle.plate, &found.plate);
            edits += d.min(vehicle.plate.len());
            all.exact += usize::from(d == 0);
            let verdict = if d == 0 { "exact" } else { "wrong" };
            all.rows.push(row(clip, Some(&vehicle.plate), Some(&found.plate), verdict, times_of(found), Some(places[index])));
            for vote in &found.votes {
                let entry = variants.entry(vote.variant.clone()).or_default();
                entry.1 += vote.frames.len();
                if vote.text == vehicle.plate {
                    entry.0 += vote.frames.len();
                }
            }
        }
        for (index, extra) in of_camera.iter().enumerate().filter(|(index, _)| !used[*index]) {
            let twin = clip.vehicles.iter().find(|v| overlaps(clip, v, extra) && related(&v.plate, &extra.plate));
            let verdict = if twin.is_some() { "duplicate" } else { "false" };
            all.duplicates += usize::from(twin.is_some());
            all.false_readings += usize::from(twin.is_none());
            all.rows.push(row(clip, twin.map(|v| v.plate.as_str()), Some(&extra.plate), verdict, times_of(extra), Some(places[index])));
        }
    }
    all.character_accuracy = 1.0 - edits as f64 / (characters.max(1)) as f64;
    all.variants = variants.into_iter().map(|(variant, (right, frames))| VariantScore { variant, right, frames }).collect();
    all
}

/// For each vehicle the reading that belongs to it: pairs that overlap in time, nearest texts first.
fn assign(clip: &Truth, readings: &[&Reading]) -> Vec<Option<usize>> {
    let mut candidates = Vec::new();
    for (v, vehicle) in clip.vehicles.iter().enumerate() {
        for (r, reading) in readings.iter().enumerate() {
            if overlaps(clip, vehicle, reading) && related(&vehicle.plate, &reading.plate) {
                let apart = (reading.first_seen_s - vehicle.first_frame as f64 / clip.fps).abs();
                candidates.push((distance(&vehicle.plate, &reading.plate), (apart * 1000.0) as u64, v, r));
            }
        }
    }
    candidates.sort_unstable();
    let mut found = vec![None; clip.vehicles.len()];
    let mut taken = vec![false; readings.len()];
    for (_, _, v, r) in candidates {
        if found[v].is_none() && !taken[r] {
            found[v] = Some(r);
            taken[r] = true;
        }
    }
    found
}

fn overlaps(clip: &Truth, vehicle: &Vehicle, reading: &Reading) -> bool {
    let from = vehicle.first_frame as f64 / clip.fps - SLACK_S;
    let to = vehicle.last_frame as f64 / clip.fps + SLACK_S;
    reading.first_seen_s <= to && reading.last_seen_s >= from
}

/// Near enough to be a reading of that plate at all: at most half of its characters are edits.
fn related(plate: &str, read: &str) -> bool {
    distance(plate, read) * 2 <= plate.len()
}

fn times_of(reading: &Reading) -> (f64, f64) {
    (reading.first_seen_s, reading.last_seen_s)
}

fn row(
    clip: &Truth,
    truth: Option<&str>,
    read: Option<&str>,
    verdict: &str,
    (first_seen_s, last_seen_s): (f64, f64),
    reading: Option<usize>,
) -> Row {
    Row {
        camera: clip.camera.clone(),
        truth: truth.map(str::to_owned),
        read: read.map(str::to_owned),
        verdict: verdict.to_owned(),
        first_seen_s,
        last_seen_s,
        reading,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Votes;

    fn vehicle(plate: &str, first_frame: u64, last_frame: u64) -> Vehicle {
        Vehicle { plate: plate.into(), first_frame, last_frame, best_plate_width_px: 0.0 }
    }

    fn reading(plate: &str, first: f64, last: f64) -> Reading {
        Reading {
            camera: "gate".into(),
            track_id: 1,
            plate: plate.into(),
            confidence: 0.9,
            first_seen_s: first,
            last_seen_s: last,
            syntax: None,
            votes: vec![Votes { text: plate.into(), variant: "original".into(), weight: 1.0, frames: vec![1, 2] }],
            frames_read: 2,
            evidence: None,
            evidence_frame: 0,
            bbox_xyxy: None,
        }
    }

    fn clip(vehicles: Vec<Vehicle>) -> Vec<Truth> {
        vec![Truth { camera: "gate".into(), fps: 30.0, condition: String::new(), vehicles }]
    }

    #[test]
    fn counts_exact_wrong_missed_duplicate_and_false() {
        let truth =
            clip(vec![vehicle("AB12CD", 0, 60), vehicle("XY99ZZ", 90, 150), vehicle("KLM777", 200, 260), vehicle("QQ11QQ", 300, 330)]);
        let readings = [
            reading("AB12CD", 0.1, 1.9),
            reading("AB12CO", 0.2, 1.0),
            reading("XY98ZZ", 3.0, 4.9),
            reading("KLM777", 30.0, 31.0),
            reading("HELLO", 1.0, 2.0),
        ];
        let s = score(&truth, &readings);
        assert_eq!((s.vehicles, s.readings, s.exact, s.duplicates, s.false_readings), (4, 5, 1, 1, 2));
        let verdicts: Vec<&str> = s.rows.iter().map(|r| r.verdict.as_str()).collect();
        assert_eq!(verdicts, ["exact", "wrong", "missed", "missed", "duplicate", "false", "false"]);
        assert!((s.character_accuracy - (1.0 - 13.0 / 24.0)).abs() < 1e-9);
        assert_eq!((s.variants[0].right, s.variants[0].frames), (2, 4));
        assert_eq!(s.vehicles_exact(), [true, false, false, false]);
        assert_eq!((s.row_of(1).map(|r| r.verdict.as_str()), s.row_of(9).is_none()), (Some("duplicate"), true));
    }

    #[test]
    fn the_same_plate_twice_is_two_vehicles() {
        let truth = clip(vec![vehicle("AB12CD", 0, 30), vehicle("AB12CD", 300, 330)]);
        let s = score(&truth, &[reading("AB12CD", 0.0, 1.0), reading("AB12CD", 10.0, 11.0)]);
        assert_eq!((s.exact, s.duplicates, s.false_readings), (2, 0, 0));
    }
}
