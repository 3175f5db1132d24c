//! `gantry report` and the page of `gantry read --report`: the readings of a run with their evidence and votes, and charts of how
//! good and how fast it was.

pub mod charts;
pub mod page;
pub mod quality;
pub mod stages;
pub mod svg;

use crate::compare;
use crate::failure::Failure;
use crate::runs::Run;
use crate::score::{self, Score, Truth, score};
use clap::Args;
use page::{confidence, picture, plate, seen, verdict, votes};
use quality::judged;
use stages::{Load, stages};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use svg::escaped;

/// Arguments of `gantry report`.
#[derive(Args)]
pub struct ReportArgs {
    /// A file of readings, the folder of a run or of a site, or the folder of a comparison.
    run: PathBuf,
    /// Truth files (`NAME.truth.json`) or folders of them: adds accuracy, calibration and precision.
    #[arg(long, value_name = "FILE|FOLDER")]
    truth: Vec<PathBuf>,
    /// The page. Default: `report.html` beside the readings; for a comparison its own page.
    #[arg(long, value_name = "HTML")]
    out: Option<PathBuf>,
}

/// Makes the page and says where it is.
pub fn run(args: &ReportArgs) -> Result<(), Failure> {
    let truth = if args.truth.is_empty() { Vec::new() } else { score::load(&args.truth)? };
    let path = if compare::is_comparison(&args.run) {
        compare::report_again(&args.run, &truth, args.out.as_deref())?
    } else {
        let run = Run::open(&args.run)?;
        let path = args.out.clone().unwrap_or_else(|| run.folder.join("report.html"));
        write(&run, &truth, &path)?;
        path
    };
    outln!("report: {}", path.display());
    Ok(())
}

/// Writes the page of one run.
pub fn write(run: &Run, truth: &[Truth], path: &Path) -> Result<(), Failure> {
    let truth = run.seen_of(truth);
    let found = (!truth.is_empty()).then(|| score(&truth, &run.readings));
    std::fs::write(path, text(run, found.as_ref())).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))
}

fn text(run: &Run, score: Option<&Score>) -> String {
    let count = run.readings.len();
    let cameras: BTreeSet<&str> = run.readings.iter().map(|r| r.camera.as_str()).collect();
    let mut body = format!(
        "<h1>{count} reading{}</h1><p>{} camera{}; {}</p>\n",
        if count == 1 { "" } else { "s" },
        cameras.len(),
        if cameras.len() == 1 { "" } else { "s" },
        escaped(&run.name())
    );
    if let Some(about) = run.about.as_ref().filter(|a| !a.complete) {
        let _ = writeln!(
            body,
            "<p><span class=\"verdict wrong\">incomplete</span> the run ended before its end, after {:.1} s</p>",
            about.seconds
        );
    }
    let rows = figures(&[run], &[score]);
    if !rows.is_empty() {
        body += &page::table(&["", "this run"], &rows);
    }
    body += &charts(&[("this run", run)], &[score]);
    if let Some(score) = score.filter(|s| !s.variants.is_empty()) {
        body += "<h2>Variants</h2>\n";
        body += &page::table(&["variant", "frames right", "frames read", "right"], &variant_rows(score));
    }
    body += "<h2>Readings</h2>\n";
    body += &readings(run, score);
    page::page("readings", &body)
}

fn variant_rows(score: &Score) -> Vec<Vec<String>> {
    let row = |v: &score::VariantScore| {
        let share = 100.0 * v.right as f64 / v.frames.max(1) as f64;
        vec![escaped(&v.variant), v.right.to_string(), v.frames.to_string(), format!("{share:.1} %")]
    };
    score.variants.iter().map(row).collect()
}

/// The readings of a run as a table; what the truth misses in them at the end.
fn readings(run: &Run, score: Option<&Score>) -> String {
    let judged = if score.is_some() { "<th>truth" } else { "" };
    let mut text = format!("<table><tr><th>evidence<th>plate{judged}<th>confidence<th>camera<th>seen<th>votes</tr>\n");
    for (i, r) in run.readings.iter().enumerate() {
        let truth = score.map_or_else(String::new, |s| {
            format!("<td>{}", s.row_of(i).map_or_else(String::new, |row| verdict(&row.verdict, row.truth.as_deref())))
        });
        let _ = writeln!(
            text,
            "<tr><td>{}<td>{}{truth}<td>{}<td>{}<td>{}<td>{}</tr>",
            picture(run, r),
            plate(r),
            confidence(r.confidence),
            escaped(&r.camera),
            seen(r),
            votes(r, 0)
        );
    }
    for row in score.into_iter().flat_map(|s| &s.rows).filter(|row| row.verdict == "missed") {
        let times = format!("{:.2} to {:.2} s", row.first_seen_s, row.last_seen_s);
        let _ = writeln!(
            text,
            "<tr><td><td class=\"none\">no reading<td>{}<td><td>{}<td>{times}<td></tr>",
            verdict("missed", row.truth.as_deref()),
            escaped(&row.camera)
        );
    }
    text + "</table>\n"
}

/// The figures of runs, a column each: what the truth says, speed and load.
pub fn figures(runs: &[&Run], scores: &[Option<&Score>]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if let Some(scores) = scores.iter().copied().collect::<Option<Vec<&Score>>>() {
        let mut row = |name: &str, cell: &dyn Fn(&Score) -> String| {
            rows.push(std::iter::once(name.to_owned()).chain(scores.iter().map(|s| cell(s))).collect::<Vec<_>>());
        };
        row("vehicles read exactly", &|s| format!("{} of {} ({:.1} %)", s.exact, s.vehicles, s.exact_rate() * 100.0));
        row("characters right", &|s| format!("{:.1} %", s.character_accuracy * 100.0));
        row("duplicate readings", &|s| s.duplicates.to_string());
        row("false readings", &|s| s.false_readings.to_string());
    }
    let loads: Vec<Option<Load>> = runs.iter().map(|run| load(run)).collect();
    if loads.iter().any(Option::is_some) {
        let mut row = |name: &str, cell: &dyn Fn(&Load) -> String| {
            rows.push(std::iter::once(name.to_owned()).chain(loads.iter().map(|l| l.as_ref().map_or_else(String::new, cell))).collect());
        };
        row("frames", &|l| l.frames.to_string());
        row("frames a second", &|l| format!("{:.0}", l.fps()));
        row("CPU per frame", &|l| format!("{:.1} ms", l.cpu_ms()));
        row("memory of all nodes at most", &|l| format!("{:.0} MB", l.peak_rss_bytes as f64 / 1e6));
    }
    rows
}

/// Speed and load of a run, where it has statistics and says how long it took.
pub fn load(run: &Run) -> Option<Load> {
    let seconds = run.about.as_ref()?.seconds;
    (!run.stats.is_empty()).then(|| Load::of(&run.stats, seconds))
}

/// All charts that these runs give.
pub fn charts(runs: &[(&str, &Run)], scores: &[Option<&Score>]) -> String {
    let mut text = String::from("<div class=\"charts\">\n");
    if let Some(scores) = scores.iter().copied().collect::<Option<Vec<&Score>>>() {
        let named: Vec<(&str, &Score)> = runs.iter().zip(&scores).map(|((name, _), score)| (*name, *score)).collect();
        text += &charts::accuracy(&named);
        let judged: Vec<_> = runs.iter().zip(&scores).map(|((name, run), score)| (*name, judged(score, &run.readings))).collect();
        let judged: Vec<_> = judged.iter().map(|(name, j)| (*name, j.as_slice())).collect();
        text += &charts::calibrated(&judged);
        text += &charts::precision(&judged, scores.first().map_or(0, |s| s.vehicles));
    }
    let readings: Vec<_> = runs.iter().map(|(name, run)| (*name, run.readings.as_slice())).collect();
    text += &charts::confidences(&readings);
    // In a replay the frames are as old as the recording: their ages say nothing of this run.
    let stages: Vec<_> = runs
        .iter()
        .map(|(name, run)| {
            let mut stages = stages(&run.stats);
            stages.iter_mut().filter(|_| run.about.is_some()).for_each(|s| s.age_ms = None);
            (*name, stages)
        })
        .collect();
    let stages: Vec<_> = stages.iter().map(|(name, s)| (*name, s.as_slice())).collect();
    text += &charts::latencies(&stages);
    text + "</div>\n"
}
