//! What `witness` wrote: every frame of every camera, with the moment at which it was there.

use crate::Sandbox;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// A frame that `decode` gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub frame: u64,
    /// Its media time, ns.
    pub pts_ns: i64,
    /// When its packet came, ns since 1970.
    pub captured_ns: i64,
    /// When the frame was there, ns since 1970.
    pub seen_ns: i64,
    /// Its size in px.
    pub size: (u64, u64),
}

/// Now, ns since 1970.
#[must_use]
pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

impl Sandbox {
    /// Frames of `camera` until now, in the order in which they came.
    ///
    /// # Panics
    /// If `witness` wrote a line that is no JSON.
    #[must_use]
    pub fn seen(&self, camera: &str) -> Vec<Seen> {
        let number = |line: &Value, name: &str| line[name].as_i64().unwrap_or_default();
        let seen = |line: Value| Seen {
            frame: number(&line, "frame").cast_unsigned(),
            pts_ns: number(&line, "pts_ns"),
            captured_ns: number(&line, "captured_ns"),
            seen_ns: number(&line, "seen_ns"),
            size: (number(&line, "width").cast_unsigned(), number(&line, "height").cast_unsigned()),
        };
        let text = std::fs::read_to_string(self.path("seen.jsonl")).unwrap_or_default();
        // The last line may be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parsed = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("`{line}`: {e}")));
        parsed.filter(|line| line["camera"] == camera).map(seen).collect()
    }

    /// No frame of `camera`, which sends `fps` a second, is missing: numbers without holes, media times without gaps.
    ///
    /// # Panics
    /// If one is, or there are fewer than `least`.
    #[track_caller]
    pub fn assert_no_frame_is_missing(&self, camera: &str, fps: i64, least: usize) {
        let seen = self.seen(camera);
        assert!(seen.len() >= least, "`{camera}` gave {} frames only", seen.len());
        for pair in seen.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            assert_eq!(b.frame, a.frame + 1, "`{camera}`: {a:?} {b:?}");
            let gap_ns = b.pts_ns - a.pts_ns;
            assert!(gap_ns > 0 && gap_ns < 1_500_000_000 / fps, "`{camera}`: {} ms from {a:?} to {b:?}", gap_ns / 1_000_000);
        }
    }
}
