//! What differs between two runs.

use super::align::{align, characters};
use crate::read::Reading;
use crate::report::quality::by_chance;
use crate::runs::Run;
use crate::score::{Score, Truth, score};
use serde::Serialize;

/// What became of a reading of A in B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both read the pass, with another text.
    Changed,
    /// Only A has it.
    Lost,
    /// Only B has it.
    Gained,
}

/// What the truth says of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// B is right where A is not.
    Better,
    /// A is right where B is not.
    Worse,
    /// Both are wrong.
    Neither,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What became of it.
    pub kind: Kind,
    /// Camera.
    pub camera: String,
    /// When it was seen, s of media time.
    pub seen_s: (f64, f64),
    /// Plate of A.
    pub a: Option<String>,
    /// Plate of B.
    pub b: Option<String>,
    /// What the truth says, where there is one.
    pub effect: Option<Effect>,
    /// The plate that was there, where the truth knows.
    pub truth: Option<String>,
    /// Places in the readings of A and of B.
    #[serde(skip)]
    pub places: (Option<usize>, Option<usize>),
}

/// Everything that two runs have and have not in common.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Readings of A.
    pub readings_a: usize,
    /// Readings of B.
    pub readings_b: usize,
    /// Passes that both read with the same text.
    pub agreed: usize,
    /// Of these, passes with another confidence, other times or other votes.
    pub agreed_otherwise: usize,
    /// Passes with another text.
    pub changed: usize,
    /// Characters in which those differ.
    pub changed_characters: usize,
    /// Passes that only A read.
    pub lost: usize,
    /// Passes that only B read.
    pub gained: usize,
    /// Each difference, by camera and time.
    pub differences: Vec<Difference>,
    /// What the truth says of both, where there is one.
    pub truth: Option<Verdict>,
    /// Passes with the same text, places in both.
    #[serde(skip)]
    pub same: Vec<(usize, usize)>,
    /// Scores of both.
    #[serde(skip)]
    pub scores: Option<(Score, Score)>,
}

/// Two runs before the truth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Vehicles of the truth that the runs can have seen.
    pub vehicles: usize,
    /// Read exactly by A.
    pub exact_a: usize,
    /// Read exactly by B.
    pub exact_b: usize,
    /// Read exactly by B and not by A.
    pub fixed: usize,
    /// Read exactly by A and not by B.
    pub spoiled: usize,
    /// Duplicate and false readings of A.
    pub stray_a: usize,
    /// Duplicate and false readings of B.
    pub stray_b: usize,
    /// How likely equal variants differ as much by chance (sign test over `fixed` and `spoiled`).
    pub by_chance: f64,
}

impl Findings {
    /// Compares two runs, before the truth where there is one.
    pub fn of(a: &Run, b: &Run, truth: &[Truth]) -> Self {
        let seen = b.seen_of(&a.seen_of(truth));
        let scores = (!seen.is_empty()).then(|| (score(&seen, &a.readings), score(&seen, &b.readings)));
        let pairs = align(&a.readings, &b.readings);
        let mut used = vec![false; b.readings.len()];
        let (mut same, mut differences, mut changed_characters, mut agreed_otherwise) = (Vec::new(), Vec::new(), 0, 0);
        let judge = |kind, i: Option<usize>, k: Option<usize>| difference(kind, (a, i), (b, k), scores.as_ref());
        for (i, pair) in pairs.iter().enumerate() {
            let Some(k) = *pair else {
                differences.extend(judge(Kind::Lost, Some(i), None));
                continue;
            };
            used[k] = true;
            let (left, right) = (&a.readings[i], &b.readings[k]);
            if left.plate == right.plate {
                agreed_otherwise += usize::from(!equal(left, right));
                same.push((i, k));
            } else {
                changed_characters += characters(&left.plate, &right.plate).iter().filter(|(x, y)| x != y).count();
                differences.extend(judge(Kind::Changed, Some(i), Some(k)));
            }
        }
        for k in (0..b.readings.len()).filter(|k| !used[*k]) {
            differences.extend(judge(Kind::Gained, None, Some(k)));
        }
        differences.sort_by(|x, y| x.camera.cmp(&y.camera).then(x.seen_s.0.total_cmp(&y.seen_s.0)).then(x.places.cmp(&y.places)));
        let count = |kind| differences.iter().filter(|d| d.kind == kind).count();
        Self {
            readings_a: a.readings.len(),
            readings_b: b.readings.len(),
            agreed: same.len(),
            agreed_otherwise,
            changed: count(Kind::Changed),
            changed_characters,
            lost: count(Kind::Lost),
            gained: count(Kind::Gained),
            truth: scores.as_ref().map(|(a, b)| verdict(a, b)),
            differences,
            same,
            scores,
        }
    }

    /// Whether every reading is the same in plate, confidence, times and votes.
    pub fn identical(&self) -> bool {
        self.differences.is_empty() && self.agreed_otherwise == 0
    }

    /// Share of all passes that both read with the same text; 1 where nothing was read.
    pub fn agreement(&self) -> f64 {
        let all = self.agreed + self.changed + self.lost + self.gained;
        if all == 0 { 1.0 } else { self.agreed as f64 / all as f64 }
    }
}

/// The same but for the name of the evidence's file.
fn equal(a: &Reading, b: &Reading) -> bool {
    *a == Reading { evidence: a.evidence.clone(), ..b.clone() }
}

fn difference(
    kind: Kind,
    (a, i): (&Run, Option<usize>),
    (b, k): (&Run, Option<usize>),
    scores: Option<&(Score, Score)>,
) -> Option<Difference> {
    let (left, right) = (i.and_then(|i| a.readings.get(i)), k.and_then(|k| b.readings.get(k)));
    let any = left.or(right)?;
    let rows = scores.map(|(a, b)| (i.and_then(|i| a.row_of(i)), k.and_then(|k| b.row_of(k))));
    // A camera without a truth has no row.
    let effect = rows.filter(|rows| rows.0.is_some() || rows.1.is_some()).map(|(x, y)| {
        let rank = |row: Option<&crate::score::Row>| match row.map(|r| r.verdict.as_str()) {
            Some("exact") => 2,
            Some("wrong") | None => 1,
            Some(_) => 0,
        };
        match rank(y).cmp(&rank(x)) {
            std::cmp::Ordering::Greater => Effect::Better,
            std::cmp::Ordering::Less => Effect::Worse,
            std::cmp::Ordering::Equal => Effect::Neither,
        }
    });
    let known = rows.and_then(|(x, y)| x.and_then(|r| r.truth.clone()).or_else(|| y.and_then(|r| r.truth.clone())));
    Some(Difference {
        kind,
        camera: any.camera.clone(),
        seen_s: (any.first_seen_s, any.last_seen_s),
        a: left.map(|r| r.plate.clone()),
        b: right.map(|r| r.plate.clone()),
        effect,
        truth: known,
        places: (i, k),
    })
}

fn verdict(a: &Score, b: &Score) -> Verdict {
    let (in_a, in_b) = (a.vehicles_exact(), b.vehicles_exact());
    let count = |wanted: (bool, bool)| in_a.iter().zip(&in_b).filter(|(x, y)| (**x, **y) == wanted).count();
    let (fixed, spoiled) = (count((false, true)), count((true, false)));
    Verdict {
        vehicles: a.vehicles,
        exact_a: a.exact,
        exact_b: b.exact,
        fixed,
        spoiled,
        stray_a: a.duplicates + a.false_readings,
        stray_b: b.duplicates + b.false_readings,
        by_chance: by_chance(fixed, spoiled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Vehicle;
    use std::path::PathBuf;

    fn run(plates: &[(&str, f64)]) -> Run {
        let reading = |(plate, at): &(&str, f64)| {
            let text = format!(
                r#"{{"camera":"gate","track_id":1,"plate":"{plate}","confidence":0.9,"first_seen_s":{at},"last_seen_s":{}}}"#,
                at + 2.0
            );
            serde_json::from_str(&text).unwrap()
        };
        Run {
            folder: PathBuf::new(),
            readings: plates.iter().map(reading).collect(),
            evidence_root: PathBuf::new(),
            stats: Default::default(),
            about: None,
        }
    }

    fn truth(plates: &[(&str, u64)]) -> Vec<Truth> {
        let vehicle = |(plate, first_frame): &(&str, u64)| Vehicle {
            plate: (*plate).into(),
            first_frame: *first_frame,
            last_frame: first_frame + 20,
            best_plate_width_px: 0.0,
        };
        vec![Truth { camera: "gate".into(), fps: 10.0, condition: String::new(), vehicles: plates.iter().map(vehicle).collect() }]
    }

    #[test]
    fn a_run_and_itself_are_identical() {
        let a = run(&[("AB12CD", 1.0), ("XY99ZZ", 10.0)]);
        let found = Findings::of(&a, &a, &[]);
        assert!(found.identical());
        assert_eq!((found.agreed, found.agreement(), found.truth.is_none()), (2, 1.0, true));
        let mut b = a.clone();
        b.readings[0].confidence = 0.8;
        b.readings[1].evidence = Some("elsewhere.jpg".into());
        let found = Findings::of(&a, &b, &[]);
        assert!(!found.identical());
        assert_eq!((found.agreed, found.agreed_otherwise, found.differences.len()), (2, 1, 0));
        assert!(Findings::of(&run(&[]), &run(&[]), &[]).identical());
    }

    #[test]
    fn each_difference_is_told_with_what_the_truth_says() {
        let a = run(&[("AB12CD", 1.0), ("XY99ZZ", 10.0), ("SIGN12", 20.0), ("KLM776", 30.0)]);
        let b = run(&[("AB12CO", 1.0), ("XY99ZZ", 10.0), ("KLM777", 30.0), ("QQ11QQ", 40.0)]);
        let found = Findings::of(&a, &b, &truth(&[("AB12CD", 10), ("XY99ZZ", 100), ("KLM777", 300), ("QQ11QQ", 400)]));
        let told: Vec<(Kind, Option<Effect>, Option<&str>)> =
            found.differences.iter().map(|d| (d.kind, d.effect, d.truth.as_deref())).collect();
        assert_eq!(
            told,
            [
                (Kind::Changed, Some(Effect::Worse), Some("AB12CD")),
                (Kind::Lost, Some(Effect::Better), None),
                (Kind::Changed, Some(Effect::Better), Some("KLM777")),
                (Kind::Gained, Some(Effect::Better), Some("QQ11QQ")),
            ]
        );
        assert_eq!((found.agreed, found.changed, found.changed_characters, found.lost, found.gained), (1, 2, 2, 1, 1));
        let v = found.truth.unwrap();
        assert_eq!((v.exact_a, v.exact_b, v.fixed, v.spoiled, v.stray_a, v.stray_b), (2, 3, 2, 1, 1, 0));
        assert_eq!(v.by_chance, 1.0);
    }

    #[test]
    fn a_camera_without_a_truth_has_differences_without_a_verdict() {
        let found = Findings::of(&run(&[("AB12CD", 1.0)]), &run(&[]), &[Truth { camera: "other".into(), ..truth(&[])[0].clone() }]);
        assert_eq!((found.differences[0].effect, found.differences[0].kind), (None, Kind::Lost));
    }
}
