//! Readings and visits as they are written down: one spelling for files, databases and other machines.

mod visit;

pub use visit::VisitRecord;

use gantry_messages::ReadingRow;
use serde::{Deserialize, Serialize};

/// A line of `readings.jsonl`. Numbers are rounded, so that a reading has one spelling: confidence and weights to 4
/// decimals, seconds to 3, boxes to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Camera.
    pub camera: String,
    /// Track.
    pub track_id: u64,
    /// The plate.
    pub plate: String,
    /// `0.0..=1.0`.
    pub confidence: f64,
    /// Media time in s of the first frame of the pass.
    pub first_seen_s: f64,
    /// Media time in s of its last frame so far.
    pub last_seen_s: f64,
    /// Wall clock of the evidence (RFC 3339, UTC, ms); `None` for files, whose frames carry media time only.
    pub captured_at: Option<String>,
    /// Name of the plate layout, empty if none fits.
    pub syntax: String,
    /// What was voted for, heaviest first.
    pub votes: Vec<VoteRecord>,
    /// Frames that were read.
    pub frames_read: u32,
    /// Reads that took part.
    pub reads: u32,
    /// Plate box `[x0, y0, x1, y1]` in source px in the frame of the evidence.
    pub bbox_xyxy: [f64; 4],
    /// Number of that frame.
    pub evidence_frame: u64,
    /// JPEG of the plate, relative to the folder of the JSON Lines file.
    pub evidence: Option<String>,
    /// JPEG of the whole frame of the evidence, scaled down; not written where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overview: Option<String>,
}

/// Votes for one text by one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoteRecord {
    /// The text as read.
    pub text: String,
    /// Which variant read it.
    pub variant: String,
    /// Sum of weights.
    pub weight: f64,
    /// Frames in which it did.
    pub frames: Vec<u64>,
}

impl Record {
    /// From the message; `evidence`: where its picture was put. There is no overview: [`Record::with_overview`].
    pub fn of(row: &ReadingRow, evidence: Option<String>) -> Self {
        let b = row.bbox_in_source;
        Self {
            camera: row.source.clone(),
            track_id: row.track_id,
            plate: row.plate.clone(),
            confidence: rounded(row.confidence, 4),
            first_seen_s: seconds(row.first_pts_ns),
            last_seen_s: seconds(row.last_pts_ns),
            captured_at: wall_clock(row.captured_ns),
            syntax: row.syntax.clone(),
            votes: row
                .votes
                .iter()
                .map(|v| VoteRecord {
                    text: v.text.clone(),
                    variant: v.variant.clone(),
                    weight: rounded(v.weight, 4),
                    frames: v.frames.clone(),
                })
                .collect(),
            frames_read: row.frames_read,
            reads: row.reads,
            bbox_xyxy: [b.x0, b.y0, b.x1, b.y1].map(|v| rounded(v, 1)),
            evidence_frame: row.evidence_frame,
            evidence,
            overview: None,
        }
    }

    /// Says where the picture of the whole frame was put.
    #[must_use]
    pub fn with_overview(self, overview: Option<String>) -> Self {
        Self { overview, ..self }
    }
}

fn rounded(value: f32, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    let v = (f64::from(value) * scale).round() / scale;
    // -0.0 would be a second spelling of 0.
    if v.is_finite() { v + 0.0 } else { 0.0 }
}

fn seconds(ns: i64) -> f64 {
    (ns as f64 / 1e6).round() / 1e3 + 0.0
}

/// Wall clocks start here: 1973-03-03. What is smaller is media time (files run for less than three years).
const FIRST_WALL_CLOCK_NS: i64 = 100_000_000_000_000_000;

/// RFC 3339 in UTC with milliseconds; `None` for media time.
pub fn wall_clock(ns: i64) -> Option<String> {
    if ns < FIRST_WALL_CLOCK_NS {
        return None;
    }
    let ms = ns / 1_000_000;
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (h, m, s, ms) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
    Some(format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z"))
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar. Years begin in March here, so that
/// the leap day is the last of the year; 400 years have 146097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::{BoxXyxy, Vote};

    #[test]
    fn wall_clocks_are_rfc_3339_and_media_time_has_none() {
        assert_eq!(wall_clock(1_700_000_000_123_456_789).as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(wall_clock(1_709_210_096_000_000_000).as_deref(), Some("2024-02-29T12:34:56.000Z"));
        assert_eq!(wall_clock(4_102_444_800_000_000_000).as_deref(), Some("2100-01-01T00:00:00.000Z"));
        assert_eq!(wall_clock(3_600_000_000_000), None);
    }

    #[test]
    fn numbers_are_rounded_to_one_spelling() {
        let row = ReadingRow {
            source: "gate".into(),
            track_id: 3,
            plate: "AB123CD".into(),
            confidence: 0.987_654_3,
            first_pts_ns: 1_033_333_333,
            last_pts_ns: 2_066_666_667,
            captured_ns: 2_000_000_000,
            frames_read: 2,
            reads: 4,
            votes: vec![Vote { text: "AB123CD".into(), variant: "original".into(), frames: vec![31, 62], weight: 1.200_01 }],
            evidence_frame: 62,
            bbox_in_source: BoxXyxy::new(-0.01, 20.26, 100.04, 41.0),
            ..ReadingRow::default()
        };
        let line = serde_json::to_string(&Record::of(&row, Some("evidence/gate_3.jpg".into()))).unwrap();
        assert_eq!(
            line,
            r#"{"camera":"gate","track_id":3,"plate":"AB123CD","confidence":0.9877,"first_seen_s":1.033,"last_seen_s":2.067,"captured_at":null,"syntax":"","votes":[{"text":"AB123CD","variant":"original","weight":1.2,"frames":[31,62]}],"frames_read":2,"reads":4,"bbox_xyxy":[0.0,20.3,100.0,41.0],"evidence_frame":62,"evidence":"evidence/gate_3.jpg"}"#
        );
    }
}
