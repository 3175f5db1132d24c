//! Which plates a camera that plays a clip again and again read, and which it missed.

use serde_json::Value;
use std::collections::BTreeMap;

/// How often vehicles came by and what became of their plates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// Plates that were read.
    pub read: u64,
    /// Plates that came by and were not.
    pub missed: u64,
}

/// Moments in s at which a camera's plates were seen last, by text.
#[must_use]
pub fn moments<'a>(readings: impl IntoIterator<Item = &'a Value>, camera: &str) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for reading in readings.into_iter().filter(|reading| reading["camera"] == *camera) {
        if let (Some(plate), Some(at)) = (reading["plate"].as_str(), reading["last_seen_s"].as_f64()) {
            all.entry(plate.to_owned()).or_default().push(at);
        }
    }
    all.values_mut().for_each(|moments| moments.sort_by(f64::total_cmp));
    all
}

/// Clips that are left out at both ends of the window: a pass close to them may have been told just outside.
const EDGE: f64 = 0.25;

/// Counts within `[from_s, to_s]` of a plate that was read at these `moments`. It comes by once in `clip_s`, so that a gap of two clips is one that was
/// missed; so are the clips before its first reading and after its last.
#[must_use]
pub fn count(moments: &[f64], clip_s: f64, (from_s, to_s): (f64, f64)) -> Passes {
    let mut passes = Passes::default();
    let at_edge = |gap_s: f64| (gap_s / clip_s - EDGE).max(0.0) as u64;
    let mut last: Option<f64> = None;
    for at in moments.iter().copied().filter(|at| (from_s..=to_s).contains(at)) {
        // 0: twice in one clip, which is one pass that was told twice.
        let clips = last.map(|last| ((at - last) / clip_s).round() as u64);
        passes.read += u64::from(clips != Some(0));
        passes.missed += clips.map_or(at_edge(at - from_s), |clips| clips.saturating_sub(1));
        last = Some(at);
    }
    passes.missed += at_edge(to_s - last.unwrap_or(from_s));
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(moments: &[f64]) -> (u64, u64) {
        let passes = count(moments, 8.0, (100.0, 140.0));
        (passes.read, passes.missed)
    }

    #[test]
    fn a_clip_without_a_plate_that_it_shows_is_a_miss() {
        assert_eq!(counted(&[103.0, 111.1, 119.0, 127.2, 135.0]), (5, 0));
        assert_eq!(counted(&[103.0, 119.0, 127.2, 135.0]), (4, 1));
        assert_eq!(counted(&[119.0, 127.2, 135.0]), (3, 2));
        assert_eq!(counted(&[103.0, 111.0, 119.0]), (3, 2));
        assert_eq!(counted(&[]), (0, 4));
    }

    #[test]
    fn a_pass_that_was_told_twice_and_one_outside_of_the_window_count_for_nothing() {
        assert_eq!(counted(&[95.0, 103.0, 104.0, 111.0, 119.0, 127.0, 135.0, 141.5]), (5, 0));
        // The next one would have come just behind the window, or came just before it.
        assert_eq!(counted(&[108.1, 116.0, 124.0, 131.9]), (4, 0));
    }

    #[test]
    fn moments_are_those_of_the_camera() {
        let line = |camera: &str, plate: &str, at: f64| serde_json::json!({ "camera": camera, "plate": plate, "last_seen_s": at });
        let lines = [line("a", "X1", 9.0), line("b", "X1", 3.0), line("a", "X1", 1.0)];
        assert_eq!(moments(&lines, "a"), BTreeMap::from([("X1".to_owned(), vec![1.0, 9.0])]));
    }
}
