//! How bright a picture is, block by block.

use gantry_frames::Range;
use gantry_images::{Letterbox, Yuv, sum_columns};

/// Side of a block in px of the model's input.
pub const BLOCK: usize = 16;

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

/// A picture whose blocks are summed.
#[derive(Clone, Copy, Debug)]
pub enum Levels<'a> {
    /// The model's input: its green samples, every other row.
    Input(&'a [u8]),
    /// A frame that lies in the model's input as its letterbox says: its luma, in as many rows.
    Frame(&'a Yuv<'a>),
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

    /// Blocks in a row of them, and rows of blocks.
    #[must_use]
    pub fn blocks(&self) -> (usize, usize) {
        (self.width.div_ceil(BLOCK), self.height.div_ceil(BLOCK))
    }
}

/// Sums of the blocks of one picture, row by row.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    sums: Vec<u32>,
    /// Samples in each, as many as they would be at full range (0 to 255).
    samples: Vec<f32>,
    /// Of a row of blocks, column by column.
    columns: Vec<u16>,
    edges: Vec<usize>,
}

impl Blocks {
    /// Sums the blocks of a picture; all are 0 if it is too short.
    pub fn set(&mut self, green: &Green, levels: Levels<'_>) {
        let (columns, rows) = green.blocks();
        self.sums.clear();
        self.sums.resize(columns * rows, 0);
        self.samples.clear();
        self.samples.resize(columns * rows, 0.0);
        match levels {
            Levels::Input(picture) => self.set_of_input(green, picture),
            Levels::Frame(frame) => self.set_of_frame(green, frame),
        }
    }

    fn set_of_input(&mut self, green: &Green, picture: &[u8]) {
        let (columns, _) = green.blocks();
        let extent = |at: usize, of: usize| BLOCK.min(of - at * BLOCK);
        for (index, samples) in self.samples.iter_mut().enumerate() {
            *samples = (extent(index % columns, green.width) * extent(index / columns, green.height).div_ceil(2)) as f32;
        }
        let Some(samples) = picture.get(green.first..) else { return };
        for (y, row) in samples.chunks(green.width * green.step).take(green.height).enumerate().step_by(2) {
            let sums = &mut self.sums[y / BLOCK * columns..][..columns];
            if green.step == 1 {
                for (sum, block) in sums.iter_mut().zip(row.chunks(BLOCK)) {
                    *sum += block.iter().map(|&level| u32::from(level)).sum::<u32>();
                }
            } else {
                for (sum, block) in sums.iter_mut().zip(row.chunks(BLOCK * green.step)) {
                    *sum += block.iter().step_by(green.step).map(|&level| u32::from(level)).sum::<u32>();
                }
            }
        }
    }

    fn set_of_frame(&mut self, green: &Green, frame: &Yuv<'_>) {
        let b = Letterbox::fit(frame.width, frame.height, green.width, green.height);
        let (columns, rows) = green.blocks();
        // First sample of the frame in the block of that number, along one axis.
        let edge = |block: usize, border: usize, inner: usize, source: usize| {
            ((BLOCK * block).saturating_sub(border) * source / inner).min(source)
        };
        self.edges.clear();
        self.edges.extend((0..=columns).map(|block| edge(block, b.left, b.inner_width, frame.width)));
        let step = (2 * frame.height / b.inner_height).max(1);
        // Of the 256 levels.
        let span = if frame.colour.range == Range::Full { 1.0 } else { 219.0 / 255.0 };
        for row in 0..rows {
            let (from, to) = (edge(row, b.top, b.inner_height, frame.height), edge(row + 1, b.top, b.inner_height, frame.height));
            self.columns.clear();
            self.columns.resize(frame.width, 0);
            // A column of more rows would not fit.
            let summed = (from..to).step_by(step).len().min(usize::from(u16::MAX / 255));
            sum_columns(&frame.y, from..to.min(from + summed * step), step, &mut self.columns);
            let in_row = row * columns..(row + 1) * columns;
            for ((sum, samples), edge) in self.sums[in_row.clone()].iter_mut().zip(&mut self.samples[in_row]).zip(self.edges.windows(2)) {
                *sum = self.columns[edge[0]..edge[1]].iter().map(|&of_column| u32::from(of_column)).sum();
                *samples = ((edge[1] - edge[0]) * summed) as f32 * span;
            }
        }
    }

    /// Whether the mean of the block of that index differs by `level` from what it was.
    #[must_use]
    pub fn has_moved(&self, level: f64, index: usize, then: &[u32]) -> bool {
        let (now, samples) = (self.sums[index], self.samples[index]);
        samples > 0.0 && then.get(index).is_none_or(|&then| f64::from(now.abs_diff(then)) >= level * f64::from(samples))
    }

    /// The sums.
    #[must_use]
    pub fn sums(&self) -> &[u32] {
        &self.sums
    }

    /// Gives the sums away for others, whose memory is used again.
    pub fn swap(&mut self, sums: &mut Vec<u32>) {
        std::mem::swap(&mut self.sums, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_frames::Layout;

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
        let (mut a, mut b) = (Blocks::default(), Blocks::default());
        a.set(&Green::of([1, 3, h, w]).unwrap(), Levels::Input(&planar));
        b.set(&Green::of([1, h, w, 3]).unwrap(), Levels::Input(&interleaved));
        assert_eq!((a.sums, a.samples), (b.sums, b.samples));
        assert_eq!(Green::of([1, 1, h, w]), None);
    }

    /// Luma of 16 + 219/255 of each level, as it stands in a frame of limited range.
    #[test]
    fn a_frame_is_as_bright_as_the_input_that_it_becomes_wherever_its_border_is() {
        for (width, height) in [(192u32, 108u32), (192, 90), (60, 108), (101, 77), (48, 27)] {
            let layout = Layout::i420(width, height).unwrap();
            let image = layout.as_image().unwrap();
            let mut bytes = vec![128; layout.byte_len() as usize];
            let stride = image.planes()[0].stride as usize;
            for (y, row) in bytes.chunks_mut(stride).take(height as usize).enumerate() {
                // Slow slopes, so that rows left out and edges between samples hardly matter.
                row[..width as usize].iter_mut().enumerate().for_each(|(x, level)| *level = (60 + x / 8 + y / 4) as u8);
            }
            let yuv = Yuv::of(image, &bytes).unwrap();
            let green = Green::of([1, 3, 64, 96]).unwrap();
            let letterbox = Letterbox::fit(width as usize, height as usize, 96, 64);
            let mut input = vec![0; 3 * 64 * 96];
            gantry_images::FrameScaler::default().run(&yuv, &letterbox, gantry_images::Arrangement::PlanarU8, &mut input);
            let (mut frame, mut scaled) = (Blocks::default(), Blocks::default());
            frame.set(&green, Levels::Frame(&yuv));
            scaled.set(&green, Levels::Input(&input));
            let inner = |index: usize| {
                let (x, y) = (index % 6 * BLOCK, index / 6 * BLOCK);
                x >= letterbox.left
                    && x + BLOCK <= letterbox.left + letterbox.inner_width
                    && y >= letterbox.top
                    && y + BLOCK <= letterbox.top + letterbox.inner_height
            };
            let mut compared = 0;
            for index in (0..24).filter(|&index| inner(index)) {
                let mean = |blocks: &Blocks, offset: f32| blocks.sums[index] as f32 / blocks.samples[index] - offset;
                let (of_frame, of_input) = (mean(&frame, 16.0 * 255.0 / 219.0), mean(&scaled, 0.0));
                assert!((of_frame - of_input).abs() < 2.5, "{width}x{height}, block {index}: {of_frame} and {of_input}");
                compared += 1;
            }
            assert!(compared >= 4, "{width}x{height}: {compared} blocks");
        }
    }
}
