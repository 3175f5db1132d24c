//! Non-maximum suppression.

use gantry_messages::BoxXyxy;

/// One detection in input pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawDetection {
    /// Index of the class in the model.
    pub class: u32,
    /// Group: detections of one group stand for the same thing and suppress each other (`car` and `truck` are both vehicles).
    pub group: u8,
    /// Score in `0.0..=1.0`.
    pub confidence: f32,
    /// Box in pixels of the model's input.
    pub bbox_in_input: BoxXyxy,
}

/// Candidates that take part at most, the best ones: bounds the time with a model that fires everywhere.
pub const MAX_CANDIDATES: usize = 1024;

/// Keeps the best of every heap of overlapping detections of one group, best first, `max` at most.
///
/// Order among equal scores: smaller class, then left, then top; so the result does not depend on the order of the candidates.
pub fn suppress(detections: &mut Vec<RawDetection>, iou: f32, max: usize) {
    detections.sort_unstable_by(order);
    detections.truncate(MAX_CANDIDATES);
    let mut kept = 0;
    for i in 0..detections.len() {
        if kept == max {
            break;
        }
        let candidate = detections[i];
        let overlaps = |k: &RawDetection| k.group == candidate.group && k.bbox_in_input.iou(&candidate.bbox_in_input) > iou;
        if !detections[..kept].iter().any(overlaps) {
            detections[kept] = candidate;
            kept += 1;
        }
    }
    detections.truncate(kept);
}

/// Best score first, then by class and place.
pub(crate) fn order(a: &RawDetection, b: &RawDetection) -> std::cmp::Ordering {
    let place = |d: &RawDetection| (d.bbox_in_input.x0, d.bbox_in_input.y0, d.bbox_in_input.x1, d.bbox_in_input.y1);
    let ((ax, ay, ar, ab), (bx, by, br, bb)) = (place(a), place(b));
    b.confidence
        .total_cmp(&a.confidence)
        .then(a.class.cmp(&b.class))
        .then(ax.total_cmp(&bx))
        .then(ay.total_cmp(&by))
        .then(ar.total_cmp(&br))
        .then(ab.total_cmp(&bb))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn detection() -> impl Strategy<Value = RawDetection> {
        (0..4u32, 0.0..1.0f32, 0.0..200.0f32, 0.0..200.0f32, 1.0..80.0f32, 1.0..80.0f32).prop_map(|(class, confidence, x, y, w, h)| {
            RawDetection { class, group: (class % 2) as u8, confidence, bbox_in_input: BoxXyxy::new(x, y, x + w, y + h) }
        })
    }

    #[test]
    fn the_better_of_two_overlapping_boxes_of_one_group_stays() {
        let at =
            |class, group, confidence, x| RawDetection { class, group, confidence, bbox_in_input: BoxXyxy::new(x, 0.0, x + 10.0, 10.0) };
        let mut found = vec![at(0, 0, 0.5, 0.0), at(1, 0, 0.9, 1.0), at(2, 1, 0.4, 0.0), at(0, 0, 0.3, 40.0)];
        suppress(&mut found, 0.5, 10);
        assert_eq!(found, [at(1, 0, 0.9, 1.0), at(2, 1, 0.4, 0.0), at(0, 0, 0.3, 40.0)]);
        suppress(&mut found, 0.5, 1);
        assert_eq!(found.len(), 1);
    }

    proptest! {
        #[test]
        fn what_stays_does_not_overlap_and_what_goes_does(all in proptest::collection::vec(detection(), 0..40), iou in 0.1..0.9f32) {
            let mut kept = all.clone();
            suppress(&mut kept, iou, usize::MAX);
            for (i, a) in kept.iter().enumerate() {
                for b in &kept[..i] {
                    prop_assert!(a.group != b.group || a.bbox_in_input.iou(&b.bbox_in_input) <= iou);
                    prop_assert!(b.confidence >= a.confidence);
                }
            }
            for gone in all.iter().filter(|d| !kept.contains(d)) {
                let covers = |k: &RawDetection| k.group == gone.group && k.confidence >= gone.confidence && k.bbox_in_input.iou(&gone.bbox_in_input) > iou;
                prop_assert!(kept.iter().any(covers));
            }
        }

        #[test]
        fn the_result_does_not_depend_on_the_order_of_the_candidates(mut all in proptest::collection::vec(detection(), 0..30)) {
            let mut first = all.clone();
            suppress(&mut first, 0.5, 20);
            all.reverse();
            suppress(&mut all, 0.5, 20);
            prop_assert_eq!(first, all);
        }
    }
}
