//! Two plates in one track: the tracker slipped from one vehicle to another.

use crate::alignment::{common_length, edit_distance};

/// Frames that must say each of the two texts.
pub const FRAMES: usize = 3;
/// Confidence from which a frame counts.
pub const SURE: f32 = 0.7;

/// Whether two texts are those of different plates: at least 3 edits apart and with less than half of the shorter in common.
/// A half-hidden plate (`AB12` of `AB12CDE`) is not another plate.
pub fn differ(a: &str, b: &str) -> bool {
    let shorter = a.len().min(b.len());
    edit_distance(a, b) >= 3 && 2 * common_length(a, b) <= shorter
}

/// Where the texts of a track change for good, as the index of the first frame of each further part. `frames`: best text and
/// confidence per frame, in order.
///
/// Both texts need [`FRAMES`] sure frames, and at most a tenth of all those may lie on the wrong side of the cut: reads that
/// jump to and fro are bad reads of one plate.
pub fn cuts(frames: &[(&str, f32)]) -> Vec<usize> {
    let mut found = Vec::new();
    cut_range(frames, 0, &mut found);
    found.sort_unstable();
    found
}

fn cut_range(frames: &[(&str, f32)], offset: usize, found: &mut Vec<usize>) {
    let Some(cut) = best_cut(frames) else { return };
    found.push(offset + cut);
    cut_range(&frames[..cut], offset, found);
    cut_range(&frames[cut..], offset + cut, found);
}

fn best_cut(frames: &[(&str, f32)]) -> Option<usize> {
    // Groups of sure frames that say nearly the same, by the first text of the group.
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (i, (text, confidence)) in frames.iter().enumerate() {
        if *confidence < SURE || text.len() < 4 {
            continue;
        }
        match groups.iter_mut().find(|(leader, _)| edit_distance(leader, text) <= 2) {
            Some((_, members)) => members.push(i),
            None => groups.push((text, vec![i])),
        }
    }
    groups.retain(|(_, members)| members.len() >= FRAMES);
    let mut best: Option<(usize, usize)> = None;
    for (i, a) in groups.iter().enumerate() {
        for b in &groups[i + 1..] {
            if !differ(a.0, b.0) {
                continue;
            }
            // Groups are in order of their first frame, so `a` comes first.
            let (cut, misplaced) = cut_between(&a.1, &b.1);
            let both = a.1.len() + b.1.len();
            let smaller = a.1.len().min(b.1.len());
            if misplaced * 10 <= both && best.is_none_or(|(_, s)| smaller > s) {
                best = Some((cut, smaller));
            }
        }
    }
    best.map(|(cut, _)| cut).filter(|&c| c > 0 && c < frames.len())
}

/// The cut at a frame of `after` with the fewest frames on the wrong side, and how many those are.
fn cut_between(before: &[usize], after: &[usize]) -> (usize, usize) {
    after
        .iter()
        .enumerate()
        .map(|(k, &cut)| (cut, k + before.iter().filter(|&&i| i >= cut).count()))
        .reduce(|a, b| if b.1 < a.1 { b } else { a })
        .unwrap_or((0, usize::MAX / 16))
}

#[cfg(test)]
mod tests {
    use super::{cuts, differ};

    fn frames(texts: &[&'static str]) -> Vec<(&'static str, f32)> {
        texts.iter().map(|t| (*t, 0.9)).collect()
    }

    #[test]
    fn a_lasting_change_of_text_is_a_cut() {
        assert_eq!(cuts(&frames(&["AB123CD", "AB123CD", "AB128CD", "AB123CD", "XYZ7890", "XYZ7890", "XY27890"])), [4]);
    }

    #[test]
    fn reads_that_jump_to_and_fro_are_one_plate() {
        assert!(cuts(&frames(&["AB123CD", "XYZ7890", "AB123CD", "XYZ7890", "AB123CD", "XYZ7890", "AB123CD", "XYZ7890"])).is_empty());
    }

    #[test]
    fn two_odd_frames_are_no_plate_of_their_own() {
        assert!(cuts(&frames(&["AB123CD", "AB123CD", "AB123CD", "AB123CD", "XYZ7890", "XYZ7890"])).is_empty());
    }

    #[test]
    fn a_half_hidden_plate_is_not_another_one() {
        assert!(!differ("AB12", "AB123CD"));
        assert!(!differ("B123CD", "AB123CD"));
        assert!(differ("AB123CD", "KLX7904"));
        assert!(cuts(&frames(&["AB12", "AB12", "AB12", "AB123CD", "AB123CD", "AB123CD"])).is_empty());
    }

    #[test]
    fn unsure_frames_make_no_cut() {
        let mut f = frames(&["AB123CD", "AB123CD", "AB123CD", "XYZ7890", "XYZ7890", "XYZ7890"]);
        f[4].1 = 0.4;
        assert!(cuts(&f).is_empty());
    }

    #[test]
    fn three_vehicles_in_a_row_are_two_cuts() {
        let mut texts = vec!["AB123CD"; 4];
        texts.extend(["XYZ7890"; 5]);
        texts.extend(["KLM4567"; 4]);
        assert_eq!(cuts(&frames(&texts)), [4, 9]);
    }
}
