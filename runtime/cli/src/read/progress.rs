//! The progress bar of a run, or of several runs one after the other.

use super::engine::decoded;
use super::plan::Plan;
use gantry_node::NodeStats;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Frames done and frames per second, on stderr; hidden when that is no terminal.
pub struct Progress {
    bar: ProgressBar,
    /// Frames of the runs before this one.
    before: u64,
    /// What stands beside the bar while all goes well.
    label: String,
    /// Whether the bar ends with this run.
    is_last: bool,
}

impl Progress {
    /// A bar over the frames of all sources; a spinner if one of them does not tell its length.
    pub fn new(plan: &Plan, quiet: bool) -> Self {
        Self { bar: bar(frames(plan), quiet), before: 0, label: String::new(), is_last: true }
    }

    /// One bar over the frames of several runs; each run has its part of it, with its label.
    pub fn over(runs: &[(&Plan, &str)], quiet: bool) -> Vec<Self> {
        let bar = bar(runs.iter().map(|(plan, _)| frames(plan)).sum(), quiet);
        let mut before = 0;
        let mut parts = Vec::new();
        for (i, (plan, label)) in runs.iter().enumerate() {
            parts.push(Self { bar: bar.clone(), before, label: (*label).to_owned(), is_last: i + 1 == runs.len() });
            before += frames(plan).unwrap_or(0);
        }
        parts
    }

    /// Takes the newest statistics: a frame counts when its texts are out; where several nodes read each frame, of all of them.
    pub fn update(&self, stats: &BTreeMap<String, NodeStats>) {
        let readers: Vec<u64> =
            stats.values().filter(|s| s.kind == "recognize").map(|s| s.rows_out.get("texts").copied().unwrap_or(0)).collect();
        // A graph whose reader is no node of ours says how much was decoded.
        let done = if readers.is_empty() { decoded(stats) } else { readers.iter().sum::<u64>() / readers.len() as u64 };
        if done == 0 {
            self.bar.set_message(format!("{} {}", self.label, if stats.is_empty() { "starting" } else { "first frames" }));
        } else {
            self.bar.set_position(self.before + done);
            self.bar.set_message(self.label.clone());
        }
    }

    /// Shows a word beside the bar.
    pub fn say(&self, text: &'static str) {
        self.bar.set_message(text);
    }

    /// Ends the part of this run, and with the last one the bar.
    pub fn finish(&self, frames: u64) {
        self.bar.set_position(self.before + frames);
        if self.is_last {
            self.bar.finish_and_clear();
        }
    }
}

/// Frames that the run will read, if all its sources tell.
fn frames(plan: &Plan) -> Option<u64> {
    plan.sources.iter().map(|s| s.frames).sum()
}

fn bar(total: Option<u64>, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = match total.filter(|t| *t > 0) {
        Some(total) => ProgressBar::new(total).with_style(style("{bar:32} {pos}/{len} frames  {per_sec}  {eta} left  {msg}")),
        None => ProgressBar::new_spinner().with_style(style("{spinner} {pos} frames  {per_sec}  {msg}")),
    };
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
