//! From pixels of the model's input to pixels of the source.

use gantry_inference::RawDetection;
use gantry_messages::{BoxXyxy, Detection, FrameRow, Kind};

/// The box in source pixels, cut at the edge of the picture; `None` if nothing of it lies inside.
pub fn in_source(bbox_in_input: &BoxXyxy, frame: &FrameRow) -> Option<BoxXyxy> {
    let (x, y) = (|x: f32| x * frame.scale_x + frame.offset_x, |y: f32| y * frame.scale_y + frame.offset_y);
    let all = BoxXyxy::new(x(bbox_in_input.x0), y(bbox_in_input.y0), x(bbox_in_input.x1), y(bbox_in_input.y1));
    let inside = all.clipped(frame.source_width as f32, frame.source_height as f32);
    (inside.area() > 0.0).then_some(inside)
}

/// The detections of one frame as its row carries them.
pub fn detections(found: &[RawDetection], frame: &FrameRow, classes: &[String], kinds: &[Option<Kind>]) -> Vec<Detection> {
    let one = |raw: &RawDetection| {
        let class = raw.class as usize;
        Some(Detection {
            kind: kinds.get(class).copied().flatten()? as u8,
            class: classes.get(class)?.clone(),
            confidence: raw.confidence,
            bbox_in_source: in_source(&raw.bbox_in_input, frame)?,
        })
    };
    found.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letterboxed() -> FrameRow {
        // 1920x1080 into 960x544: half the size, 2 rows of padding above and below.
        FrameRow { source_width: 1920, source_height: 1080, scale_x: 2.0, scale_y: 2.0, offset_y: -4.0, ..FrameRow::default() }
    }

    #[test]
    fn boxes_go_back_through_the_letterbox_and_are_cut_at_the_edge() {
        let frame = letterboxed();
        assert_eq!(in_source(&BoxXyxy::new(10.0, 12.0, 20.0, 22.0), &frame), Some(BoxXyxy::new(20.0, 20.0, 40.0, 40.0)));
        assert_eq!(in_source(&BoxXyxy::new(-5.0, 0.0, 5.0, 4.0), &frame), Some(BoxXyxy::new(0.0, 0.0, 10.0, 4.0)));
        assert_eq!(in_source(&BoxXyxy::new(10.0, 0.0, 20.0, 2.0), &frame), None);
    }

    proptest! {
        #[test]
        fn every_box_lies_inside_the_source(x in -100.0..1100.0f32, y in -100.0..700.0f32, w in 0.0..500.0f32, h in 0.0..500.0f32) {
            if let Some(b) = in_source(&BoxXyxy::new(x, y, x + w, y + h), &letterboxed()) {
                prop_assert!(b.x0 >= 0.0 && b.y0 >= 0.0 && b.x1 <= 1920.0 && b.y1 <= 1080.0 && b.x0 < b.x1 && b.y0 < b.y1);
            }
        }
    }
}
