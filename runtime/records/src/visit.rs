use crate::{rounded, wall_clock};
use gantry_messages::VisitRow;
use serde::{Deserialize, Serialize};

/// An event of a visit. Times are `None` for files, whose frames carry media time only; `*_s` are there for both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VisitRecord {
    /// Camera that saw it.
    pub camera: String,
    /// The visit it belongs to.
    pub visit: String,
    /// `entered`, `left`, `seen` or `expired`.
    pub event: String,
    /// Wall clock (RFC 3339, UTC, ms).
    pub at: Option<String>,
    /// The same as a number: seconds since 1970, or of media time.
    pub at_s: f64,
    /// When the visit began (RFC 3339, UTC, ms).
    pub entered_at: Option<String>,
    /// How long the visit has lasted, in s; `None` if nobody saw it begin.
    pub duration_s: Option<f64>,
    /// Camera that saw it begin, empty if none did.
    pub entered_by: String,
    /// The plate as it was read for this event.
    pub plate: String,
    /// Confidence of that reading.
    pub confidence: f64,
    /// `allow`, `deny` or empty.
    pub list: String,
    /// Plate on that list, empty if on none.
    pub list_plate: String,
    /// How much the plate read differs from it.
    pub list_distance: f64,
    /// Zone in which the plate was, empty if in none.
    pub zone: String,
    /// Line that the vehicle crossed, empty if none.
    pub line: String,
    /// `in` or `out` over that line, else empty.
    pub direction: String,
    /// Track of the reading.
    pub track_id: u64,
    /// Plate box `[x0, y0, x1, y1]` in source px.
    pub bbox_xyxy: [f64; 4],
    /// Number of the frame of that box.
    pub evidence_frame: u64,
}

impl VisitRecord {
    /// From the message.
    #[must_use]
    pub fn of(row: &VisitRow) -> Self {
        let b = row.bbox_in_source;
        let seconds = |ns: i64| (ns as f64 / 1e6).round() / 1e3 + 0.0;
        let began = (row.entered_ns >= 0).then_some(row.entered_ns);
        Self {
            camera: row.source.clone(),
            visit: row.visit.clone(),
            event: row.event.clone(),
            at: wall_clock(row.captured_ns),
            at_s: seconds(row.captured_ns),
            entered_at: began.and_then(wall_clock),
            duration_s: began.map(|began| seconds(row.captured_ns - began)),
            entered_by: row.entered_by.clone(),
            plate: row.plate.clone(),
            confidence: rounded(row.confidence, 4),
            list: row.list.clone(),
            list_plate: row.list_plate.clone(),
            list_distance: rounded(row.list_distance, 2),
            zone: row.zone.clone(),
            line: row.line.clone(),
            direction: row.direction.clone(),
            track_id: row.track_id,
            bbox_xyxy: [b.x0, b.y0, b.x1, b.y1].map(|v| rounded(v, 1)),
            evidence_frame: row.frame,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_says_how_long_it_lasted_where_its_beginning_is_known() {
        let row = VisitRow { captured_ns: 1_700_000_090_500_000_000, entered_ns: 1_700_000_000_000_000_000, ..VisitRow::default() };
        let record = VisitRecord::of(&row);
        assert_eq!((record.duration_s, record.at.as_deref()), (Some(90.5), Some("2023-11-14T22:14:50.500Z")));
        assert_eq!(record.entered_at.as_deref(), Some("2023-11-14T22:13:20.000Z"));
        let unseen = VisitRecord::of(&VisitRow { entered_ns: -1, ..row });
        assert_eq!((unseen.duration_s, unseen.entered_at), (None, None));
    }
}
