//! `gantry score`: readings against the truth.

mod matching;
mod truth;

pub use matching::{Row, Score, VariantScore, score};
pub use truth::{Truth, Vehicle, load};

use crate::failure::Failure;
use crate::read;
use clap::Args;
use comfy_table::{Table, presets};
use std::path::PathBuf;

/// Arguments of `gantry score`.
#[derive(Args)]
pub struct ScoreArgs {
    /// Truth files (`NAME.truth.json`, the camera is `NAME`) or folders of them.
    #[arg(required = true)]
    truth: Vec<PathBuf>,
    /// The readings to score.
    #[arg(long, short, default_value = "readings.jsonl")]
    readings: PathBuf,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// Scores and prints.
pub fn run(args: &ScoreArgs) -> Result<(), Failure> {
    if !args.readings.is_file() {
        return Err(
            Failure::refused(format!("{}: does not exist", args.readings.display())).hint("name the readings with `--readings FILE`")
        );
    }
    let truth = load(&args.truth)?;
    let readings = read::load(&args.readings)?;
    let score = score(&truth, &readings);
    if args.json {
        let text = serde_json::to_string_pretty(&score).map_err(|e| Failure::failed(e.to_string()))?;
        outln!("{text}");
    } else {
        print(&score);
    }
    Ok(())
}

fn print(score: &Score) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["camera", "truth", "read", "", "from s", "to s"]);
    for row in &score.rows {
        let (from, to) = (format!("{:.2}", row.first_seen_s), format!("{:.2}", row.last_seen_s));
        table.add_row([
            row.camera.as_str(),
            row.truth.as_deref().unwrap_or("-"),
            row.read.as_deref().unwrap_or("-"),
            row.verdict.as_str(),
            &from,
            &to,
        ]);
    }
    outln!("{table}");
    outln!(
        "exact {} of {} vehicles ({:.1} %), characters {:.1} %, duplicates {}, false readings {} ({:.1} % of {} readings)",
        score.exact,
        score.vehicles,
        score.exact_rate() * 100.0,
        score.character_accuracy * 100.0,
        score.duplicates,
        score.false_readings,
        score.wrong_rate() * 100.0,
        score.readings
    );
    if !score.variants.is_empty() {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["variant", "frames right", "frames read", "right"]);
        for v in &score.variants {
            table.add_row([
                v.variant.clone(),
                v.right.to_string(),
                v.frames.to_string(),
                format!("{:.1} %", 100.0 * v.right as f64 / v.frames.max(1) as f64),
            ]);
        }
        outln!("{table}");
    }
}
