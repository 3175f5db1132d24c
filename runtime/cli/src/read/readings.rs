//! The readings of a run: reading the file back, the table.

use crate::failure::Failure;
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;
use std::path::Path;

/// One line of `readings.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Reading {
    /// Camera.
    pub camera: String,
    /// Track in that camera.
    pub track_id: u64,
    /// The plate.
    pub plate: String,
    /// `0.0..=1.0`.
    pub confidence: f64,
    /// Media time in seconds of the first frame of the track.
    pub first_seen_s: f64,
    /// Media time in seconds of its last frame.
    pub last_seen_s: f64,
    /// Name of the plate syntax, if one fits.
    #[serde(default)]
    pub syntax: Option<String>,
    /// What was voted for.
    #[serde(default)]
    pub votes: Vec<Votes>,
    /// Frames that were read.
    #[serde(default)]
    pub frames_read: u64,
    /// File of the evidence crop, from the folder of the readings.
    #[serde(default)]
    pub evidence: Option<String>,
    /// Frame of the evidence.
    #[serde(default)]
    pub evidence_frame: u64,
    /// Plate in that frame, in px of the camera's picture.
    #[serde(default)]
    pub bbox_xyxy: Option<[f64; 4]>,
}

/// Votes of one variant for one text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Votes {
    /// The text as read.
    pub text: String,
    /// Variant that read it.
    pub variant: String,
    /// Sum of weights.
    pub weight: f64,
    /// Frames in which it did.
    pub frames: Vec<u64>,
}

/// Reads a `readings.jsonl`; a missing file has no readings.
pub fn load(path: &Path) -> Result<Vec<Reading>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Failure::failed(format!("{}: {e}", path.display()))),
    };
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let reading = serde_json::from_str(line).map_err(|e| Failure::failed(format!("{} line {}: {e}", path.display(), index + 1)))?;
        all.push(reading);
    }
    Ok(all)
}

/// One line per reading.
pub fn print_table(readings: &[Reading]) {
    if readings.is_empty() {
        outln!("no plates were read");
        return;
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["camera", "plate", "confidence", "first seen", "last seen", "frames", "syntax"]);
    for column in [2, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for r in readings {
        table.add_row([
            r.camera.clone(),
            r.plate.clone(),
            format!("{:.1} %", r.confidence * 100.0),
            format!("{:.2} s", r.first_seen_s),
            format!("{:.2} s", r.last_seen_s),
            r.frames_read.to_string(),
            r.syntax.clone().unwrap_or_default(),
        ]);
    }
    outln!("{table}");
}
