//! How good the readings of a run are and how well their confidence tells it: pure sums over readings that a truth has judged.

use crate::read::Reading;
use crate::score::Score;

/// A reading that a truth has judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// `0.0..=1.0`.
    pub confidence: f64,
    /// Whether the text is that of a vehicle that was there.
    pub right: bool,
    /// Whether it is the reading of a vehicle, and neither a further one nor one of nothing.
    pub of_vehicle: bool,
}

/// The readings of the cameras that have a truth, the most confident first.
pub fn judged(score: &Score, readings: &[Reading]) -> Vec<Judged> {
    let mut all: Vec<Judged> = score
        .rows
        .iter()
        .filter_map(|row| {
            let reading = readings.get(row.reading?)?;
            let right = row.truth.as_deref() == Some(reading.plate.as_str());
            Some(Judged { confidence: reading.confidence, right, of_vehicle: matches!(row.verdict.as_str(), "exact" | "wrong") })
        })
        .collect();
    all.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    all
}

/// Readings of about the same confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Mean confidence.
    pub confidence: f64,
    /// Readings.
    pub count: usize,
    /// Of them right.
    pub right: usize,
}

impl Bin {
    /// Share that is right.
    pub fn share(&self) -> f64 {
        self.right as f64 / self.count.max(1) as f64
    }

    /// Wilson's interval of that share at 95 %: where the true share lies if these readings are a sample.
    pub fn interval(&self) -> (f64, f64) {
        let (n, p, z) = (self.count.max(1) as f64, self.share(), 1.96_f64);
        let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

/// Bins of a tenth of confidence each, those without readings left out.
pub fn calibration(judged: &[Judged]) -> Vec<Bin> {
    let bin_of = |confidence: f64| ((confidence * 10.0) as usize).min(9);
    (0..10)
        .filter_map(|bin| {
            let of: Vec<&Judged> = judged.iter().filter(|j| bin_of(j.confidence) == bin).collect();
            let count = of.len();
            let confidence = of.iter().map(|j| j.confidence).sum::<f64>() / count as f64;
            (count > 0).then(|| Bin { confidence, count, right: of.iter().filter(|j| j.right).count() })
        })
        .collect()
}

/// What is kept when only readings from a confidence on count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Least confidence kept.
    pub confidence: f64,
    /// Share of the vehicles that still have a reading.
    pub coverage: f64,
    /// Share of the kept readings that are right.
    pub precision: f64,
}

/// One point per confidence that occurs, the strictest first. `judged` as [`judged`] gives it.
pub fn coverage(judged: &[Judged], vehicles: usize) -> Vec<Kept> {
    let mut points: Vec<Kept> = Vec::new();
    let (mut kept, mut right, mut of_vehicles) = (0_usize, 0_usize, 0_usize);
    for (i, j) in judged.iter().enumerate() {
        kept += 1;
        right += usize::from(j.right);
        of_vehicles += usize::from(j.of_vehicle);
        // Readings of one confidence stay or go together.
        if judged.get(i + 1).is_none_or(|next| next.confidence < j.confidence) {
            points.push(Kept {
                confidence: j.confidence,
                coverage: of_vehicles as f64 / vehicles.max(1) as f64,
                precision: right as f64 / kept as f64,
            });
        }
    }
    points
}

/// Chance that a fair coin falls at least as unevenly as `fixed` to `spoiled` (two-sided sign test): how easily chance alone makes
/// such a difference between two variants that are equally good.
pub fn by_chance(fixed: usize, spoiled: usize) -> f64 {
    let (n, k) = ((fixed + spoiled) as u32, fixed.min(spoiled) as u32);
    // Sum of C(n, i) / 2^n for i to k, each from the one before.
    let mut term = 0.5_f64.powf(f64::from(n));
    let mut sum = 0.0;
    for i in 0..=k {
        sum += term;
        term *= f64::from(n - i) / f64::from(i + 1);
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged_at(confidence: f64, right: bool) -> Judged {
        Judged { confidence, right, of_vehicle: true }
    }

    #[test]
    fn bins_hold_the_readings_of_their_tenth() {
        let bins = calibration(&[judged_at(1.0, true), judged_at(0.95, true), judged_at(0.94, false), judged_at(0.55, false)]);
        assert_eq!(bins.iter().map(|b| (b.count, b.right)).collect::<Vec<_>>(), [(1, 0), (3, 2)]);
        assert!((bins[1].confidence - 0.963).abs() < 0.001);
        let (low, high) = bins[1].interval();
        assert!(low > 0.2 && low < 0.25 && high > 0.92 && high < 0.95, "{low} {high}");
        assert_eq!(calibration(&[]), []);
    }

    #[test]
    fn coverage_grows_as_the_bar_is_lowered() {
        let all =
            [judged_at(0.9, true), judged_at(0.8, true), judged_at(0.8, false), Judged { of_vehicle: false, ..judged_at(0.6, false) }];
        let points = coverage(&all, 4);
        let seen: Vec<(f64, f64)> = points.iter().map(|p| (p.coverage, p.precision)).collect();
        assert_eq!(seen, [(0.25, 1.0), (0.75, 2.0 / 3.0), (0.75, 0.5)]);
    }

    #[test]
    fn few_changes_are_easily_chance() {
        assert_eq!(by_chance(0, 0), 1.0);
        assert_eq!(by_chance(3, 3), 1.0);
        assert!((by_chance(0, 5) - 0.0625).abs() < 1e-12);
        assert!((by_chance(10, 1) - 0.011_718_75).abs() < 1e-12);
    }
}
