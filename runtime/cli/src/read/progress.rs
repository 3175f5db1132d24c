//! The progress bar of `gantry read`.

use super::plan::Plan;
use gantry_node::NodeStats;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Frames done and frames per second, on stderr; hidden when that is no terminal.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over the frames of all sources; a spinner if one of them does not tell its length.
    pub fn new(plan: &Plan, quiet: bool) -> Self {
        if quiet {
            return Self { bar: ProgressBar::hidden() };
        }
        let total: Option<u64> = plan.sources.iter().map(|s| s.frames).sum();
        let bar = match total.filter(|t| *t > 0) {
            Some(total) => ProgressBar::new(total).with_style(style("{bar:32} {pos}/{len} frames  {per_sec}  {eta} left  {msg}")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {pos} frames  {per_sec}  {msg}")),
        };
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    /// Takes the newest statistics: a frame counts when its texts are out.
    pub fn update(&self, stats: &BTreeMap<String, NodeStats>) {
        let done: u64 = stats.values().filter(|s| s.kind == "recognize").map(|s| s.rows_out.get("texts").copied().unwrap_or(0)).sum();
        if done == 0 {
            self.bar.set_message(if stats.is_empty() { "starting" } else { "first frames" });
        } else {
            self.bar.set_position(done);
            self.bar.set_message("");
        }
    }

    /// Shows a word beside the bar.
    pub fn say(&self, text: &'static str) {
        self.bar.set_message(text);
    }

    /// Ends the bar.
    pub fn finish(&self, frames: u64) {
        self.bar.set_position(frames);
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
