//! Frames on which nothing moved need no detector: the boxes of the last frame that had one are theirs too.
//!
//! The picture is looked at in blocks of 16x16 px of the model's input, green only (or luma, of a frame that is not scaled yet), every other row: a quarter of a megabyte of
//! a 960x544 picture, some 20 µs. A frame is still when the mean level of no block differs by `motion_level` from that block in
//! the frame *on which the model ran last*, so that slow things add up until they are seen. However still a scene is, the model
//! runs again after `still_frames` frames.
//!
//! What is repeated depends on the camera's own frames in their order and on nothing else, so that lossless runs stay repeatable.

use crate::blocks::{BLOCK, Blocks, Green, Levels};
use gantry_messages::{BoxXyxy, Detection, FrameRow};
use std::collections::BTreeMap;

/// What is remembered of the cameras.
#[derive(Clone, Debug)]
pub struct Stillness {
    green: Green,
    level: f64,
    most: u32,
    cameras: BTreeMap<String, Seen>,
    /// Of the frame that was compared last.
    blocks: Blocks,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// Sums of the frame on which the model ran last.
    reference: Vec<u32>,
    source_px: (u32, u32),
    /// What it found there; `None` until it is known.
    found: Option<Vec<Detection>>,
    repeated: u32,
    /// Of the frame that the model is looking at.
    next: (Vec<u32>, (u32, u32)),
}

impl Stillness {
    /// Blocks that differ by `level` levels moved; after `most` still frames in a row the model runs all the same.
    #[must_use]
    pub fn new(green: Green, level: f64, most: u32) -> Self {
        Self { green, level, most, cameras: BTreeMap::new(), blocks: Blocks::default() }
    }

    /// Other limits from now on.
    pub fn set(&mut self, level: f64, most: u32) {
        (self.level, self.most) = (level, most);
    }

    /// The boxes of a frame on which nothing moved; `None` if the model has to run. It is told by [`Stillness::keep`] what it finds.
    pub fn repeat(&mut self, frame: &FrameRow, picture: Levels<'_>) -> Option<&[Detection]> {
        if self.compare(frame, picture) {
            return self.found(&frame.source);
        }
        self.whole(frame);
        None
    }

    /// Whether a frame is still. It is compared and not remembered, so that what follows is compared with the same frame as it.
    pub fn compare(&mut self, frame: &FrameRow, picture: Levels<'_>) -> bool {
        if self.most == 0 {
            return false;
        }
        if !self.cameras.contains_key(&frame.source) {
            self.cameras.insert(frame.source.clone(), Seen::default());
        }
        let Some(seen) = self.cameras.get_mut(&frame.source) else { return false };
        self.blocks.set(&self.green, picture);
        let source_px = (frame.source_width, frame.source_height);
        let is_known = seen.found.is_some() && seen.repeated < self.most && seen.source_px == source_px;
        let (blocks, level) = (&self.blocks, self.level);
        let is_still = is_known && !(0..blocks.sums().len()).any(|i| blocks.has_moved(level, i, &seen.reference));
        seen.repeated += u32::from(is_still);
        is_still
    }

    /// What the model found in the camera's frame on which it ran last.
    #[must_use]
    pub fn found(&self, source: &str) -> Option<&[Detection]> {
        self.cameras.get(source)?.found.as_deref()
    }

    /// The model runs on the whole frame that was compared last: those that follow are compared with it.
    pub fn whole(&mut self, frame: &FrameRow) {
        if let Some(seen) = self.cameras.get_mut(&frame.source).filter(|_| self.most > 0) {
            self.blocks.swap(&mut seen.reference);
            (seen.source_px, seen.found, seen.repeated) = ((frame.source_width, frame.source_height), None, 0);
        }
    }

    /// The model begins to look at the frame that was compared last. Those that follow are compared with the one before until [`Stillness::look_over`].
    pub fn look_began(&mut self, frame: &FrameRow) {
        if let Some(seen) = self.cameras.get_mut(&frame.source).filter(|_| self.most > 0) {
            seen.next.0.clear();
            seen.next.0.extend_from_slice(self.blocks.sums());
            seen.next.1 = (frame.source_width, frame.source_height);
        }
    }

    /// What the model found in the frame of [`Stillness::look_began`]; those that follow are compared with it.
    pub fn look_over(&mut self, source: &str, found: &[Detection]) {
        if let Some(seen) = self.cameras.get_mut(source) {
            std::mem::swap(&mut seen.reference, &mut seen.next.0);
            (seen.source_px, seen.found, seen.repeated) = (seen.next.1, Some(found.to_vec()), 0);
        }
    }

    /// Whether something moved in a part of the frame that was compared last, which is this camera's; a box in px of the picture.
    #[must_use]
    pub fn is_moving(&self, source: &str, part: &BoxXyxy) -> bool {
        let Some(seen) = self.cameras.get(source).filter(|seen| self.most > 0 && seen.reference.len() == self.blocks.sums().len()) else {
            return true;
        };
        let (columns, rows) = self.green.blocks();
        let blocks =
            |from: f32, to: f32, most: usize| (from.max(0.0) as usize / BLOCK).min(most)..(to.max(0.0) as usize / BLOCK + 1).min(most);
        blocks(part.y0, part.y1, rows).any(|row| {
            blocks(part.x0, part.x1, columns)
                .map(|column| row * columns + column)
                .any(|i| self.blocks.has_moved(self.level, i, &seen.reference))
        })
    }

    /// What the model found in the frame for which [`Stillness::repeat`] had nothing.
    pub fn keep(&mut self, source: &str, found: &[Detection]) {
        if let Some(seen) = self.cameras.get_mut(source) {
            seen.found = Some(found.to_vec());
        }
    }

    /// Forgets a camera that is over.
    pub fn end(&mut self, source: &str) {
        self.cameras.remove(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::BoxXyxy;

    const GREEN: Green = Green { first: 40 * 36, step: 1, width: 40, height: 36 };

    fn frame(source: &str) -> FrameRow {
        FrameRow { source: source.to_owned(), source_width: 80, source_height: 72, ..FrameRow::default() }
    }

    fn picture(level: u8) -> Vec<u8> {
        vec![level; 3 * 40 * 36]
    }

    fn one_box() -> Vec<Detection> {
        vec![Detection { kind: 1, class: "plate".to_owned(), confidence: 0.8, bbox_in_source: BoxXyxy::new(1.0, 2.0, 3.0, 4.0) }]
    }

    #[test]
    fn a_still_scene_repeats_its_boxes_until_it_is_time_to_look_again() {
        let mut still = Stillness::new(GREEN, 4.0, 3);
        let ran: Vec<bool> = (0..9)
            .map(|_| {
                let ran = match still.repeat(&frame("gate"), Levels::Input(&picture(100))) {
                    Some(found) => {
                        assert_eq!(found, one_box());
                        false
                    }
                    None => true,
                };
                if ran {
                    still.keep("gate", &one_box());
                }
                ran
            })
            .collect();
        assert_eq!(ran, [true, false, false, false, true, false, false, false, true]);
    }

    #[test]
    fn any_block_that_changes_is_motion_also_at_the_edges() {
        for (x, y) in [(0, 0), (20, 20), (39, 35), (33, 2), (2, 34)] {
            let mut still = Stillness::new(GREEN, 4.0, 100);
            assert!(still.repeat(&frame("gate"), Levels::Input(&picture(100))).is_none());
            still.keep("gate", &[]);
            assert!(still.repeat(&frame("gate"), Levels::Input(&picture(100))).is_some());
            let mut changed = picture(100);
            for row in (y / 16 * 16..(y / 16 * 16 + 16).min(36)).filter(|row| row % 2 == 0) {
                for column in x / 16 * 16..(x / 16 * 16 + 16).min(40) {
                    changed[40 * 36 + row * 40 + column] = 105;
                }
            }
            assert!(still.repeat(&frame("gate"), Levels::Input(&changed)).is_none(), "{x}, {y}");
        }
    }

    #[test]
    fn frames_are_compared_with_the_last_look_that_is_over() {
        let mut still = Stillness::new(GREEN, 4.0, 100);
        still.compare(&frame("gate"), Levels::Input(&picture(100)));
        still.look_began(&frame("gate"));
        assert!(!still.compare(&frame("gate"), Levels::Input(&picture(100))), "nothing is known before its end");
        still.look_over("gate", &one_box());
        assert!(still.compare(&frame("gate"), Levels::Input(&picture(101))));
        assert!(!still.compare(&frame("gate"), Levels::Input(&picture(120))));
        still.look_began(&frame("gate"));
        // Still with regard to the look before.
        assert!(still.compare(&frame("gate"), Levels::Input(&picture(100))));
        assert_eq!(still.found("gate"), Some(one_box().as_slice()));
        still.look_over("gate", &[]);
        assert!(
            still.compare(&frame("gate"), Levels::Input(&picture(121))) && !still.compare(&frame("gate"), Levels::Input(&picture(100)))
        );
        assert_eq!(still.found("gate"), Some([].as_slice()));
    }

    #[test]
    fn slow_changes_add_up() {
        let mut still = Stillness::new(GREEN, 4.0, 1000);
        let mut runs = 0;
        for level in 100..120 {
            if still.repeat(&frame("gate"), Levels::Input(&picture(level))).is_none() {
                still.keep("gate", &[]);
                runs += 1;
            }
        }
        assert_eq!(runs, 5);
    }

    #[test]
    fn cameras_sizes_and_unfinished_runs_are_told_apart() {
        let mut still = Stillness::new(GREEN, 4.0, 100);
        assert!(still.repeat(&frame("gate"), Levels::Input(&picture(100))).is_none());
        // What the model finds is not known yet.
        assert!(still.repeat(&frame("gate"), Levels::Input(&picture(100))).is_none());
        still.keep("gate", &one_box());
        assert!(still.repeat(&frame("road"), Levels::Input(&picture(100))).is_none());
        assert!(still.repeat(&frame("gate"), Levels::Input(&picture(100))).is_some());
        assert!(still.repeat(&FrameRow { source_width: 81, ..frame("gate") }, Levels::Input(&picture(100))).is_none());
        still.keep("gate", &one_box());
        still.end("gate");
        assert!(still.repeat(&frame("gate"), Levels::Input(&picture(100))).is_none());
    }
}
