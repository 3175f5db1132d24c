//! Outputs of detectors.

use crate::RawDetection;
use gantry_kernels::Candidate;
use gantry_messages::BoxXyxy;

/// Which layout a detector puts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `[N, 4 + classes, anchors]`: centre x, centre y, width, height in input pixels, then one score per class; YOLO11 and v8.
    Yolo,
    /// `[N, max_det, 6]`: x0, y0, x1, y1 in input pixels, score, class; no suppression needed; YOLOv10 and `end2end` exports.
    EndToEnd,
}

impl Head {
    /// Tells the layout from the shape of the output `[N, a, b]` and the number of classes, if the model names them.
    #[must_use]
    pub fn of_shape(a: usize, b: usize, classes: Option<usize>) -> Option<Self> {
        match classes {
            // With two classes both layouts have a 6; anchors are many, so the longer side tells.
            Some(classes) if a == classes + 4 && b > a => Some(Self::Yolo),
            _ if b == 6 => Some(Self::EndToEnd),
            Some(_) => None,
            None => (a > 4 && b > a).then_some(Self::Yolo),
        }
    }
}

/// What a class is to the caller: group and least score; `None` where it is not wanted.
pub type Wanted<'a> = &'a [Option<(u8, f32)>];

/// Memory of [`decode_yolo`], kept between frames.
#[derive(Debug, Default)]
pub struct YoloScratch {
    best: Vec<f32>,
    class: Vec<u16>,
}

/// Adds the candidates of one picture: every anchor whose best class is wanted and scores enough.
///
/// `output`: `[4 + classes, anchors]`, row by row. `wanted` has one entry per class. Boxes that are not finite or empty are left out.
pub fn decode_yolo(output: &[f32], anchors: usize, wanted: Wanted<'_>, scratch: &mut YoloScratch, found: &mut Vec<RawDetection>) {
    let classes = wanted.len();
    assert_eq!(output.len(), (4 + classes) * anchors, "the shape was checked when the model was opened");
    let (boxes, scores) = output.split_at(4 * anchors);
    scratch.best.clear();
    scratch.best.extend_from_slice(&scores[..anchors.min(scores.len())]);
    scratch.class.clear();
    scratch.class.resize(anchors, 0);
    // Row by row: the scores of one class are contiguous and the loop vectorises.
    for (class, row) in scores.chunks_exact(anchors).enumerate().skip(1) {
        for ((best, of), score) in scratch.best.iter_mut().zip(&mut scratch.class).zip(row) {
            if *score > *best {
                *best = *score;
                *of = class as u16;
            }
        }
    }
    let least = wanted.iter().flatten().map(|(_, least)| *least).fold(f32::INFINITY, f32::min);
    for (anchor, score) in scratch.best.iter().enumerate() {
        if *score < least || score.is_nan() {
            continue;
        }
        let class = scratch.class[anchor];
        let Some((group, _)) = wanted[usize::from(class)].filter(|(_, least)| *score >= *least) else { continue };
        let at = |row: usize| boxes[row * anchors + anchor];
        let (cx, cy, w, h) = (at(0), at(1), at(2) * 0.5, at(3) * 0.5);
        push(found, u32::from(class), group, *score, BoxXyxy::new(cx - w, cy - h, cx + w, cy + h));
    }
}

/// Adds the candidates of one picture that a kernel found in the same way.
pub fn decode_candidates(candidates: &[Candidate], wanted: Wanted<'_>, found: &mut Vec<RawDetection>) {
    for candidate in candidates {
        if let Some(Some((group, _))) = wanted.get(candidate.class as usize) {
            let [x0, y0, x1, y1] = candidate.xyxy;
            push(found, candidate.class, *group, candidate.confidence, BoxXyxy::new(x0, y0, x1, y1));
        }
    }
}

/// Adds the detections of one picture of an end-to-end model.
///
/// `output`: `[max_det, 6]`, row by row; rows that are padding have a score of 0.
pub fn decode_end_to_end(output: &[f32], wanted: Wanted<'_>, found: &mut Vec<RawDetection>) {
    for row in output.chunks_exact(6) {
        let (score, class) = (row[4], row[5]);
        if !(class >= 0.0 && class < wanted.len() as f32) {
            continue;
        }
        if let Some((group, _)) = wanted[class as usize].filter(|(_, least)| score >= *least) {
            push(found, class as u32, group, score, BoxXyxy::new(row[0], row[1], row[2], row[3]));
        }
    }
}

fn push(found: &mut Vec<RawDetection>, class: u32, group: u8, score: f32, bbox: BoxXyxy) {
    let finite = [bbox.x0, bbox.y0, bbox.x1, bbox.y1].iter().all(|v| v.is_finite());
    if finite && bbox.area() > 0.0 {
        found.push(RawDetection { class, group, confidence: score.min(1.0), bbox_in_input: bbox });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_told_from_the_shape_also_with_two_classes() {
        assert_eq!(Head::of_shape(6, 10_710, Some(2)), Some(Head::Yolo));
        assert_eq!(Head::of_shape(300, 6, Some(2)), Some(Head::EndToEnd));
        assert_eq!(Head::of_shape(84, 8_400, Some(80)), Some(Head::Yolo));
        assert_eq!(Head::of_shape(84, 8_400, Some(2)), None);
        assert_eq!(Head::of_shape(84, 8_400, None), Some(Head::Yolo));
        assert_eq!(Head::of_shape(300, 6, None), Some(Head::EndToEnd));
    }

    #[test]
    fn an_anchor_counts_for_its_best_class_only() {
        // Two anchors, three classes; rows: cx, cy, w, h, a, b, c.
        let output = [10.0, 50.0, 10.0, 50.0, 4.0, 8.0, 2.0, 6.0, 0.9, 0.1, 0.2, 0.1, 0.3, 0.6];
        let mut found = Vec::new();
        decode_yolo(&output, 2, &[Some((0, 0.25)), None, Some((1, 0.25))], &mut YoloScratch::default(), &mut found);
        let expected = |class, group, confidence, bbox_in_input| RawDetection { class, group, confidence, bbox_in_input };
        assert_eq!(
            found,
            [expected(0, 0, 0.9, BoxXyxy::new(8.0, 9.0, 12.0, 11.0)), expected(2, 1, 0.6, BoxXyxy::new(46.0, 47.0, 54.0, 53.0))]
        );
        found.clear();
        decode_yolo(&output, 2, &[None, None, Some((1, 0.7))], &mut YoloScratch::default(), &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn rows_of_padding_and_foreign_classes_are_left_out() {
        let mut found = Vec::new();
        let rows = [
            [1.0, 2.0, 3.0, 4.0, 0.9, 1.0],
            [0.0; 6],
            [1.0, 2.0, 3.0, 4.0, 0.9, 7.0],
            [1.0, 2.0, 3.0, 4.0, 0.9, -1.0],
            [f32::NAN, 2.0, 3.0, 4.0, 0.9, 1.0],
            [1.0, 2.0, 3.0, 4.0, f32::NAN, f32::NAN],
        ];
        decode_end_to_end(&rows.concat(), &[Some((0, 0.25)), Some((1, 0.25))], &mut found);
        assert_eq!(found, [RawDetection { class: 1, group: 1, confidence: 0.9, bbox_in_input: BoxXyxy::new(1.0, 2.0, 3.0, 4.0) }]);
    }

    proptest! {
        #[test]
        fn decoding_agrees_with_one_anchor_at_a_time(anchors in 1usize..40, classes in 1usize..6, seed in any::<u64>()) {
            let mut state = seed | 1;
            let mut next = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; (state >> 40) as f32 / (1u64 << 24) as f32 };
            let output: Vec<f32> = (0..(4 + classes) * anchors).map(|i| if i < 4 * anchors { next() * 100.0 } else { next() }).collect();
            let wanted: Vec<_> = (0..classes).map(|c| (c % 3 != 2).then_some((c as u8, 0.5))).collect();
            let mut found = Vec::new();
            decode_yolo(&output, anchors, &wanted, &mut YoloScratch::default(), &mut found);
            let mut slow = Vec::new();
            for a in 0..anchors {
                let scores: Vec<f32> = (0..classes).map(|c| output[(4 + c) * anchors + a]).collect();
                let best = (0..classes).fold(0, |b, c| if scores[c] > scores[b] { c } else { b });
                if wanted[best].is_some() && scores[best] >= 0.5 {
                    slow.push((best as u32, scores[best]));
                }
            }
            prop_assert_eq!(found.iter().map(|d| (d.class, d.confidence)).collect::<Vec<_>>(), slow);
        }
    }
}
