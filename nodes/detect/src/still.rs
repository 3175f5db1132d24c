//! Frames on which nothing moved need no detector: the boxes of the last frame that had one are theirs too.
//!
//! The picture is looked at in blocks of 16x16 px of the model's input, green only, every other row: a quarter of a megabyte of
//! a 960x544 picture, some 20 µs. A frame is still when the mean level of no block differs by `motion_level` from that block in
//! the frame *on which the model ran last*, so that slow things add up until they are seen. However still a scene is, the model
//! runs again after `still_frames` frames.
//!
//! What is repeated depends on the camera's own frames in their order and on nothing else, so that lossless runs stay repeatable.

use gantry_messages::{BoxXyxy, Detection, FrameRow};
use std::collections::BTreeMap;

/// Side of a block in px.
const BLOCK: usize = 16;

/// Where the green samples of a u8 picture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Green {
    /// Index of the first.
    pub first: usize,
    /// Bytes from sample to sample: 1 planar, 3 interleaved.
    pub step: usize,
    /// Width of the picture in px.
    pub width: usize,
    /// Height of the picture in px.
    pub height: usize,
}

impl Green {
    /// Of a model's input `[1, 3, H, W]` or `[1, H, W, 3]`; `None` for others.
    #[must_use]
    pub fn of(dims: [usize; 4]) -> Option<Self> {
        match dims {
            [_, 3, height, width] => Some(Self { first: height * width, step: 1, width, height }),
            [_, height, width, 3] => Some(Self { first: 1, step: 3, width, height }),
            _ => None,
        }
    }

    /// Sums of the blocks, row by row; none if the picture is too short.
    fn sums(&self, picture: &[u8], sums: &mut Vec<u32>) {
        sums.clear();
        let columns = self.width.div_ceil(BLOCK);
        sums.resize(columns * self.height.div_ceil(BLOCK), 0);
        let stride = self.width * self.step;
        let Some(samples) = picture.get(self.first..) else { return };
        for (y, row) in samples.chunks(stride).take(self.height).enumerate().step_by(2) {
            let sums = &mut sums[y / BLOCK * columns..][..columns];
            if self.step == 1 {
                for (sum, block) in sums.iter_mut().zip(row.chunks(BLOCK)) {
                    *sum += block.iter().map(|&level| u32::from(level)).sum::<u32>();
                }
            } else {
                for (sum, block) in sums.iter_mut().zip(row.chunks(BLOCK * self.step)) {
                    *sum += block.iter().step_by(self.step).map(|&level| u32::from(level)).sum::<u32>();
                }
            }
        }
    }

    /// Samples in the block of that index.
    fn samples(&self, index: usize) -> usize {
        let columns = self.width.div_ceil(BLOCK);
        let extent = |at: usize, of: usize| BLOCK.min(of - at * BLOCK);
        extent(index % columns, self.width) * extent(index / columns, self.height).div_ceil(2)
    }
}

/// Whether that block's mean level differs by `level`.
fn has_moved(green: &Green, level: f64, block: usize, now: u32, then: u32) -> bool {
    f64::from(now.abs_diff(then)) >= level * green.samples(block) as f64
}

/// What is remembered of the cameras.
#[derive(Clone, Debug)]
pub struct Stillness {
    green: Green,
    level: f64,
    most: u32,
    cameras: BTreeMap<String, Seen>,
    sums: Vec<u32>,
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
        Self { green, level, most, cameras: BTreeMap::new(), sums: Vec::new() }
    }

    /// Other limits from now on.
    pub fn set(&mut self, level: f64, most: u32) {
        (self.level, self.most) = (level, most);
    }

    /// The boxes of a frame on which nothing moved; `None` if the model has to run. It is told by [`Stillness::keep`] what it finds.
    pub fn repeat(&mut self, frame: &FrameRow, picture: &[u8]) -> Option<&[Detection]> {
        if self.compare(frame, picture) {
            return self.found(&frame.source);
        }
        self.whole(frame);
        None
    }

    /// Whether a frame is still. It is compared and not remembered, so that what follows is compared with the same frame as it.
    pub fn compare(&mut self, frame: &FrameRow, picture: &[u8]) -> bool {
        if self.most == 0 {
            return false;
        }
        if !self.cameras.contains_key(&frame.source) {
            self.cameras.insert(frame.source.clone(), Seen::default());
        }
        let Some(seen) = self.cameras.get_mut(&frame.source) else { return false };
        self.green.sums(picture, &mut self.sums);
        let source_px = (frame.source_width, frame.source_height);
        let is_known = seen.found.is_some() && seen.repeated < self.most && seen.source_px == source_px;
        let (green, level) = (self.green, self.level);
        let is_still =
            is_known && !self.sums.iter().zip(&seen.reference).enumerate().any(|(i, (&now, &then))| has_moved(&green, level, i, now, then));
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
            std::mem::swap(&mut seen.reference, &mut self.sums);
            (seen.source_px, seen.found, seen.repeated) = ((frame.source_width, frame.source_height), None, 0);
        }
    }

    /// The model begins to look at the frame that was compared last. Those that follow are compared with the one before until [`Stillness::look_over`].
    pub fn look_began(&mut self, frame: &FrameRow) {
        if let Some(seen) = self.cameras.get_mut(&frame.source).filter(|_| self.most > 0) {
            seen.next.0.clone_from(&self.sums);
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
        let Some(seen) = self.cameras.get(source).filter(|seen| self.most > 0 && seen.reference.len() == self.sums.len()) else {
            return true;
        };
        let columns = self.green.width.div_ceil(BLOCK);
        let rows = self.green.height.div_ceil(BLOCK);
        let blocks =
            |from: f32, to: f32, most: usize| (from.max(0.0) as usize / BLOCK).min(most)..(to.max(0.0) as usize / BLOCK + 1).min(most);
        blocks(part.y0, part.y1, rows).any(|row| {
            blocks(part.x0, part.x1, columns)
                .map(|column| row * columns + column)
                .any(|i| has_moved(&self.green, self.level, i, self.sums[i], seen.reference[i]))
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
                let ran = match still.repeat(&frame("gate"), &picture(100)) {
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
            assert!(still.repeat(&frame("gate"), &picture(100)).is_none());
            still.keep("gate", &[]);
            assert!(still.repeat(&frame("gate"), &picture(100)).is_some());
            let mut changed = picture(100);
            for row in (y / 16 * 16..(y / 16 * 16 + 16).min(36)).filter(|row| row % 2 == 0) {
                for column in x / 16 * 16..(x / 16 * 16 + 16).min(40) {
                    changed[40 * 36 + row * 40 + column] = 105;
                }
            }
            assert!(still.repeat(&frame("gate"), &changed).is_none(), "{x}, {y}");
        }
    }

    #[test]
    fn frames_are_compared_with_the_last_look_that_is_over() {
        let mut still = Stillness::new(GREEN, 4.0, 100);
        still.compare(&frame("gate"), &picture(100));
        still.look_began(&frame("gate"));
        assert!(!still.compare(&frame("gate"), &picture(100)), "nothing is known before its end");
        still.look_over("gate", &one_box());
        assert!(still.compare(&frame("gate"), &picture(101)));
        assert!(!still.compare(&frame("gate"), &picture(120)));
        still.look_began(&frame("gate"));
        // Still with regard to the look before.
        assert!(still.compare(&frame("gate"), &picture(100)));
        assert_eq!(still.found("gate"), Some(one_box().as_slice()));
        still.look_over("gate", &[]);
        assert!(still.compare(&frame("gate"), &picture(121)) && !still.compare(&frame("gate"), &picture(100)));
        assert_eq!(still.found("gate"), Some([].as_slice()));
    }

    #[test]
    fn slow_changes_add_up() {
        let mut still = Stillness::new(GREEN, 4.0, 1000);
        let mut runs = 0;
        for level in 100..120 {
            if still.repeat(&frame("gate"), &picture(level)).is_none() {
                still.keep("gate", &[]);
                runs += 1;
            }
        }
        assert_eq!(runs, 5);
    }

    #[test]
    fn cameras_sizes_and_unfinished_runs_are_told_apart() {
        let mut still = Stillness::new(GREEN, 4.0, 100);
        assert!(still.repeat(&frame("gate"), &picture(100)).is_none());
        // What the model finds is not known yet.
        assert!(still.repeat(&frame("gate"), &picture(100)).is_none());
        still.keep("gate", &one_box());
        assert!(still.repeat(&frame("road"), &picture(100)).is_none());
        assert!(still.repeat(&frame("gate"), &picture(100)).is_some());
        assert!(still.repeat(&FrameRow { source_width: 81, ..frame("gate") }, &picture(100)).is_none());
        still.keep("gate", &one_box());
        still.end("gate");
        assert!(still.repeat(&frame("gate"), &picture(100)).is_none());
    }

    #[test]
    fn planar_and_interleaved_pictures_are_seen_alike() {
        let (w, h) = (40, 36);
        let level = |x: usize, y: usize| (x * 3 + y * 5) as u8;
        let mut planar = vec![0; 3 * w * h];
        let mut interleaved = vec![0; 3 * w * h];
        for y in 0..h {
            for x in 0..w {
                planar[w * h + y * w + x] = level(x, y);
                interleaved[(y * w + x) * 3 + 1] = level(x, y);
            }
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        Green::of([1, 3, h, w]).unwrap().sums(&planar, &mut a);
        Green::of([1, h, w, 3]).unwrap().sums(&interleaved, &mut b);
        assert_eq!(a, b);
        assert_eq!(Green::of([1, 1, h, w]), None);
    }
}
