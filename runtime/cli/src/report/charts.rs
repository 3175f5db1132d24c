//! The charts of a page: each for one run, or for two beside each other.

use super::quality::{Judged, calibration, coverage};
use super::stages::Stage;
use super::svg::{Plot, Rows, SERIES, ticks};
use crate::read::Reading;
use crate::score::Score;

fn percent(value: f64) -> String {
    format!("{:.0} %", value * 100.0)
}

/// Vehicles and readings by what the truth says of them.
pub fn accuracy(runs: &[(&str, &Score)]) -> String {
    const VERDICTS: [&str; 5] = ["exact", "wrong", "missed", "duplicate", "false"];
    let counts: Vec<Vec<usize>> =
        runs.iter().map(|(_, score)| VERDICTS.iter().map(|v| score.rows.iter().filter(|r| r.verdict == *v).count()).collect()).collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    let mut plot = Plot::new((0.0, VERDICTS.len() as f64), (0.0, most * 1.12), "vehicles and readings by verdict");
    plot.y_axis(&ticks(most), "vehicles, readings", |t| format!("{t:.0}"));
    let centres: Vec<f64> = (0..VERDICTS.len()).map(|i| i as f64 + 0.5).collect();
    plot.x_axis(&centres, "", |t| VERDICTS.get(t as usize).map_or_else(String::new, |v| (*v).to_owned()));
    let width = 0.8 / runs.len().max(1) as f64;
    for (s, counts) in counts.iter().enumerate() {
        for (i, count) in counts.iter().enumerate() {
            let left = i as f64 + 0.1 + width * s as f64;
            plot.bar((left, left + width * 0.92), *count as f64, SERIES[s % 2], &count.to_string());
        }
    }
    let names: Vec<&str> = runs.iter().map(|(name, _)| *name).collect();
    plot.figure("Accuracy against the truth", &names)
}

/// Share of right readings by confidence, with 95 % intervals; on the dotted line confidence is what it says.
pub fn calibrated(runs: &[(&str, &[Judged])]) -> String {
    let bins: Vec<_> = runs.iter().map(|(_, judged)| calibration(judged)).collect();
    let from = if bins.iter().flatten().any(|b| b.confidence < 0.45) { 0.0 } else { 0.4 };
    let mut plot = Plot::new((from, 1.0), (0.0, 1.0), "share of right readings by confidence");
    plot.y_axis(&[0.0, 0.25, 0.5, 0.75, 1.0], "right", percent);
    let ticks: Vec<f64> = (0..=10).map(|i| f64::from(i) / 10.0).filter(|t| *t >= from - 1e-9).collect();
    plot.x_axis(&ticks, "confidence", percent);
    plot.line(&[(from, from), (1.0, 1.0)], "ideal");
    for (s, ((name, _), bins)) in runs.iter().zip(&bins).enumerate() {
        plot.line(&bins.iter().map(|b| (b.confidence, b.share())).collect::<Vec<_>>(), SERIES[s % 2]);
        for b in bins {
            let title = format!("{name}: {} of {} right at a mean confidence of {:.1} %", b.right, b.count, b.confidence * 100.0);
            let r = 2.5 + (b.count as f64).sqrt().min(8.0);
            plot.dot((b.confidence, b.share()), r, b.interval(), SERIES[s % 2], &title);
        }
    }
    let names: Vec<&str> = runs.iter().map(|(name, _)| *name).collect();
    plot.figure("Does confidence tell the truth?", &names)
}

/// Precision against coverage: what is gained by keeping only the surest readings. `vehicles`: of the truth.
pub fn precision(runs: &[(&str, &[Judged])], vehicles: usize) -> String {
    let curves: Vec<_> = runs.iter().map(|(_, judged)| coverage(judged, vehicles)).collect();
    let least = curves.iter().flatten().map(|k| k.precision).fold(1.0, f64::min);
    let from = ((least * 10.0 - 0.5).floor() / 10.0).clamp(0.0, 0.9);
    let mut plot = Plot::new((0.0, 1.0), (from, 1.0), "precision at coverage");
    let ticks: Vec<f64> = (0..=10).map(|i| f64::from(i) / 10.0).filter(|t| *t >= from - 1e-9).collect();
    plot.y_axis(&ticks, "of those right", percent);
    plot.x_axis(&[0.0, 0.25, 0.5, 0.75, 1.0], "vehicles with a reading", percent);
    for (s, ((name, _), curve)) in runs.iter().zip(&curves).enumerate() {
        plot.line(&curve.iter().map(|k| (k.coverage, k.precision)).collect::<Vec<_>>(), SERIES[s % 2]);
        for k in curve.iter().rev().take(1) {
            let title = format!("{name}: all readings, {} of the vehicles, {} right", percent(k.coverage), percent(k.precision));
            plot.dot((k.coverage, k.precision), 4.0, (k.precision, k.precision), SERIES[s % 2], &title);
        }
    }
    let names: Vec<&str> = runs.iter().map(|(name, _)| *name).collect();
    plot.figure("Precision at coverage", &names)
}

/// Readings by confidence.
pub fn confidences(runs: &[(&str, &[Reading])]) -> String {
    const BINS: usize = 20;
    let counts: Vec<Vec<usize>> = runs
        .iter()
        .map(|(_, readings)| {
            let mut counts = vec![0; BINS];
            readings.iter().for_each(|r| counts[((r.confidence * BINS as f64) as usize).min(BINS - 1)] += 1);
            counts
        })
        .collect();
    let first = (0..BINS).find(|i| counts.iter().any(|c| c[*i] > 0)).unwrap_or(0).min(BINS / 2);
    let from = first as f64 / BINS as f64;
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    let mut plot = Plot::new((from, 1.0), (0.0, most * 1.12), "readings by confidence");
    plot.y_axis(&ticks(most), "readings", |t| format!("{t:.0}"));
    plot.x_axis(&(0..=10).map(|i| f64::from(i) / 10.0).filter(|t| *t >= from - 1e-9).collect::<Vec<_>>(), "confidence", percent);
    let (bin, width) = (1.0 / BINS as f64, 0.9 / BINS as f64 / runs.len().max(1) as f64);
    for (s, counts) in counts.iter().enumerate() {
        for (i, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let left = i as f64 * bin + 0.05 * bin + width * s as f64;
            plot.bar((left, left + width * 0.95), *count as f64, SERIES[s % 2], &count.to_string());
        }
    }
    let names: Vec<&str> = runs.iter().map(|(name, _)| *name).collect();
    plot.figure("Readings by confidence", &names)
}

/// Time that a frame takes in each stage, and its CPU. Empty without statistics.
pub fn latencies(runs: &[(&str, &[Stage])]) -> String {
    let names: Vec<&str> = runs.iter().map(|(name, _)| *name).collect();
    let measured = runs.iter().any(|(_, stages)| stages.iter().any(|s| s.busy_ms > 0.0));
    let mut all = String::new();
    if measured {
        all += &rows(
            runs,
            |s| Some(s.busy_ms),
            |s| {
                let p95 = s.busy_p95_ms.map_or_else(String::new, |ms| format!(" (95 %: {})", ms_text(ms)));
                format!("{}{p95}", ms_text(s.busy_ms))
            },
        )
        .figure("Latency per stage: mean (95 % of rows below)", &names, "time per stage");
    }
    if runs.iter().any(|(_, stages)| stages.iter().any(|s| s.cpu_ms > 0.0)) {
        all += &rows(runs, |s| Some(s.cpu_ms), |s| ms_text(s.cpu_ms)).figure("CPU per frame and stage", &names, "CPU per stage");
    }
    if runs.iter().any(|(_, stages)| stages.iter().any(|s| s.age_ms.is_some())) {
        all += &rows(
            runs,
            |s| s.age_ms.map(|a| a.1),
            |s| s.age_ms.map_or_else(String::new, |(half, most)| format!("{most:.0} ms (half: {half:.0} ms)")),
        )
        .figure("Age of 95 % of the frames when a stage was done", &names, "ages per stage");
    }
    all
}

fn ms_text(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.1} ms") }
}

/// Stages of all runs by name, in the order of the run that has more of them.
fn rows<'a>(runs: &[(&str, &'a [Stage])], value: impl Fn(&Stage) -> Option<f64>, label: impl Fn(&Stage) -> String) -> Rows<'a> {
    let mut names: Vec<&str> = Vec::new();
    let mut by_length: Vec<&[Stage]> = runs.iter().map(|(_, stages)| *stages).collect();
    by_length.sort_by_key(|stages| std::cmp::Reverse(stages.len()));
    for stage in by_length.into_iter().flatten() {
        if !names.contains(&stage.name.as_str()) {
            names.push(&stage.name);
        }
    }
    let find = |stages: &'a [Stage], name: &str| stages.iter().find(|s| s.name == name);
    Rows {
        series: runs.iter().map(|(_, stages)| names.iter().map(|n| find(stages, n).and_then(&value)).collect()).collect(),
        labels: runs.iter().map(|(_, stages)| names.iter().map(|n| find(stages, n).map_or_else(String::new, &label)).collect()).collect(),
        names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, busy_ms: f64) -> Stage {
        Stage { name: name.into(), busy_ms, busy_p95_ms: Some(2.0 * busy_ms), cpu_ms: busy_ms, age_ms: None }
    }

    #[test]
    fn a_stage_that_only_one_run_has_leaves_the_other_without_a_bar() {
        let (a, b) = ([stage("detect", 4.0)], [stage("detect", 3.0), stage("recognize_b", 1.0)]);
        let text = latencies(&[("A", &a), ("B", &b)]);
        assert_eq!((text.matches("<rect").count(), text.matches("<figure>").count()), (6, 2));
        assert!(text.contains("recognize_b") && text.contains("4.00 ms (95 %: 8.00 ms)"), "{text}");
        assert_eq!(latencies(&[("A", &[])]), "");
    }

    #[test]
    fn charts_of_nothing_are_charts() {
        let none: &[Judged] = &[];
        for text in
            [calibrated(&[("A", none)]), precision(&[("A", none)], 0), confidences(&[("A", &[])]), accuracy(&[("A", &Score::default())])]
        {
            assert!(
                text.starts_with("<figure>") && text.ends_with("</figure>\n") && !text.contains("NaN") && !text.contains("inf"),
                "{text}"
            );
        }
    }
}
