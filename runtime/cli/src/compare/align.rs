//! Which reading of one run is which of another: same camera, same time, alike or at the same place.

use crate::read::Reading;
use gantry_contract::distance;

/// Readings of one vehicle may begin and end this far apart: a variant that reads earlier sees it longer.
const SLACK_S: f64 = 1.0;
/// Evidence of the same place: frames that lie no further apart, and boxes that overlap by this IoU.
const SAME_FRAMES: u64 = 3;
const SAME_IOU: f64 = 0.3;

/// For each reading of `a` the reading of `b` that is of the same pass, if there is one. Each is used once; nearest texts first, then
/// nearest times.
pub fn align(a: &[Reading], b: &[Reading]) -> Vec<Option<usize>> {
    let mut candidates = Vec::new();
    for (i, left) in a.iter().enumerate() {
        for (k, right) in b.iter().enumerate() {
            if left.camera == right.camera && overlap(left, right) && (alike(&left.plate, &right.plate) || same_place(left, right)) {
                let apart = (left.first_seen_s - right.first_seen_s).abs() + (left.last_seen_s - right.last_seen_s).abs();
                candidates.push((distance(&left.plate, &right.plate), (apart * 1000.0) as u64, i, k));
            }
        }
    }
    candidates.sort_unstable();
    let mut found = vec![None; a.len()];
    let mut taken = vec![false; b.len()];
    for (_, _, i, k) in candidates {
        if found[i].is_none() && !taken[k] {
            found[i] = Some(k);
            taken[k] = true;
        }
    }
    found
}

fn overlap(a: &Reading, b: &Reading) -> bool {
    a.first_seen_s <= b.last_seen_s + SLACK_S && b.first_seen_s <= a.last_seen_s + SLACK_S
}

/// At most half of the longer text differs.
fn alike(a: &str, b: &str) -> bool {
    distance(a, b) * 2 <= a.len().max(b.len())
}

/// The same box in nearly the same frame, whatever was read there.
fn same_place(a: &Reading, b: &Reading) -> bool {
    match (a.bbox_xyxy, b.bbox_xyxy) {
        (Some(left), Some(right)) => a.evidence_frame.abs_diff(b.evidence_frame) <= SAME_FRAMES && iou(left, right) >= SAME_IOU,
        _ => false,
    }
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |low: usize, high: usize| (a[high].min(b[high]) - a[low].max(b[low])).max(0.0);
    let area = |x: [f64; 4]| (x[2] - x[0]).max(0.0) * (x[3] - x[1]).max(0.0);
    let common = side(0, 2) * side(1, 3);
    common / (area(a) + area(b) - common).max(f64::EPSILON)
}

/// Two texts side by side: per position the character of each, `None` where one has none. As few differences as there can be.
pub fn characters(a: &str, b: &str) -> Vec<(Option<char>, Option<char>)> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    // Edits from the ends: cost[i][k] for a[i..] and b[k..].
    let mut cost = vec![0_usize; (a.len() + 1) * width];
    for i in (0..=a.len()).rev() {
        for k in (0..=b.len()).rev() {
            cost[i * width + k] = match (a.get(i), b.get(k)) {
                (None, _) => b.len() - k,
                (_, None) => a.len() - i,
                (Some(x), Some(y)) => {
                    let pair = cost[(i + 1) * width + k + 1] + usize::from(x != y);
                    pair.min(1 + cost[(i + 1) * width + k]).min(1 + cost[i * width + k + 1])
                }
            };
        }
    }
    let (mut i, mut k) = (0, 0);
    let mut pairs = Vec::new();
    while i < a.len() || k < b.len() {
        let here = cost[i * width + k];
        match (a.get(i), b.get(k)) {
            (Some(&x), Some(&y)) if here == cost[(i + 1) * width + k + 1] + usize::from(x != y) => {
                pairs.push((Some(x), Some(y)));
                i += 1;
                k += 1;
            }
            (Some(&x), _) if k == b.len() || here == 1 + cost[(i + 1) * width + k] => {
                pairs.push((Some(x), None));
                i += 1;
            }
            (_, Some(&y)) => {
                pairs.push((None, Some(y)));
                k += 1;
            }
            _ => break,
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(camera: &str, plate: &str, first_seen_s: f64, last_seen_s: f64) -> Reading {
        let text = format!(
            r#"{{"camera":"{camera}","track_id":1,"plate":"{plate}","confidence":0.9,"first_seen_s":{first_seen_s},"last_seen_s":{last_seen_s}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_same_camera_time_and_text_is_the_same_reading() {
        let a = [reading("gate", "AB12CD", 1.0, 3.0), reading("road", "AB12CD", 1.0, 3.0), reading("gate", "AB12CD", 60.0, 62.0)];
        let b = [reading("gate", "AB12CO", 1.2, 3.0), reading("gate", "AB12CD", 59.5, 62.0), reading("gate", "ZZ99", 1.0, 3.0)];
        assert_eq!(align(&a, &b), [Some(0), None, Some(1)]);
    }

    #[test]
    fn a_text_that_changed_altogether_is_found_by_its_place() {
        let at = |plate: &str, bbox: [f64; 4], frame: u64| {
            let mut r = reading("gate", plate, 1.0, 3.0);
            (r.bbox_xyxy, r.evidence_frame) = (Some(bbox), frame);
            r
        };
        let a = [at("AB12CD", [100.0, 100.0, 200.0, 120.0], 40)];
        assert_eq!(align(&a, &[at("7777XX", [105.0, 101.0, 204.0, 121.0], 41)]), [Some(0)]);
        assert_eq!(align(&a, &[at("7777XX", [105.0, 101.0, 204.0, 121.0], 50)]), [None]);
        assert_eq!(align(&a, &[at("7777XX", [300.0, 101.0, 404.0, 121.0], 40)]), [None]);
    }

    #[test]
    fn of_two_readings_the_nearer_text_is_taken_and_the_other_is_left() {
        let a = [reading("gate", "AB12CD", 1.0, 3.0)];
        let b = [reading("gate", "AB1XCD", 1.0, 3.0), reading("gate", "AB12CD", 2.0, 3.5)];
        assert_eq!(align(&a, &b), [Some(1)]);
        assert_eq!(align(&b, &a), [None, Some(0)]);
    }

    #[test]
    fn characters_stand_beside_each_other() {
        let text = |pairs: &[(Option<char>, Option<char>)]| -> String {
            pairs.iter().map(|(x, y)| format!("{}{} ", x.unwrap_or('-'), y.unwrap_or('-'))).collect()
        };
        assert_eq!(text(&characters("AB12", "AB12")), "AA BB 11 22 ");
        assert_eq!(text(&characters("AB12", "A12X")), "AA B- 11 22 -X ");
        assert_eq!(text(&characters("", "A")), "-A ");
    }

    proptest! {
        #[test]
        fn differing_characters_are_as_many_as_the_edit_distance(a in "[AB01]{0,7}", b in "[AB01]{0,7}") {
            let pairs = characters(&a, &b);
            prop_assert_eq!(pairs.iter().filter(|(x, y)| x != y).count(), distance(&a, &b));
            prop_assert_eq!(pairs.iter().filter_map(|p| p.0).collect::<String>(), a);
            prop_assert_eq!(pairs.iter().filter_map(|p| p.1).collect::<String>(), b);
        }
    }
}
