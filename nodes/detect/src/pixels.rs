//! Frames as the model takes them: tensors as they are, pictures of any size scaled where the model looks.

use crate::blocks::Levels;
use crate::engine::Described;
use gantry_frames::{Acquired, ImageLayout};
use gantry_images::{FrameScaler, Letterbox, PixelsError, Yuv};
use gantry_inference::Window;
use gantry_messages::FrameRow;
use gantry_node::Fault;
use std::ops::Range;

/// Sizes of pictures whose weights are kept.
const MOST_SIZES: usize = 16;

/// Scales pictures, with memory for one.
#[derive(Debug)]
pub struct Pixels {
    described: Described,
    /// One for each size of pictures, the oldest first.
    scalers: Vec<(Letterbox, FrameScaler)>,
    input: Vec<u8>,
}

impl Pixels {
    pub fn new(described: &Described) -> Self {
        Self { described: described.clone(), scalers: Vec::new(), input: Vec::new() }
    }

    /// The model's input of a frame that was checked.
    pub fn whole<'a>(&'a mut self, frame: &'a Acquired) -> Result<&'a [u8], Fault> {
        let (width, height, _) = self.described.picture;
        self.parts(frame, std::iter::once((0..width, 0..height)))
    }

    /// As [`Pixels::whole`], but for bytes outside of those windows, which may be any.
    pub fn windows<'a>(&'a mut self, frame: &'a Acquired, windows: &[Window]) -> Result<&'a [u8], Fault> {
        self.parts(frame, windows.iter().map(|part| (part.x..part.x + part.width, part.y..part.y + part.height)))
    }

    fn parts<'a>(&'a mut self, frame: &'a Acquired, parts: impl Iterator<Item = (Range<usize>, Range<usize>)>) -> Result<&'a [u8], Fault> {
        let (Some(image), Some(arrangement)) = (frame.layout().as_image(), self.described.arrangement) else { return Ok(frame.bytes()) };
        let picture = picture(image, frame)?;
        let letterbox = letterbox(&self.described, picture.width, picture.height);
        self.input.resize(arrangement.byte_len(letterbox.width, letterbox.height), 0);
        let known = self.scalers.iter().position(|(known, _)| *known == letterbox).unwrap_or_else(|| {
            if self.scalers.len() == MOST_SIZES {
                self.scalers.remove(0);
            }
            self.scalers.push((letterbox, FrameScaler::default()));
            self.scalers.len() - 1
        });
        let (_, scaler) = &mut self.scalers[known];
        parts.for_each(|part| scaler.run_part(&picture, &letterbox, arrangement, part, &mut self.input));
        Ok(&self.input)
    }
}

/// The levels of a frame, for comparing it with others.
pub fn with_levels<T>(frame: &Acquired, compare: impl FnOnce(Levels<'_>) -> T) -> Result<T, Fault> {
    Ok(match frame.layout().as_image() {
        Some(image) => compare(Levels::Frame(&picture(image, frame)?)),
        None => compare(Levels::Input(frame.bytes())),
    })
}

/// The row of a frame as if it were one of the model's size: boxes in the model's input are mapped by what it says.
pub fn fitted(described: &Described, mut row: FrameRow) -> FrameRow {
    let (width, height, _) = described.picture;
    if row.end || (row.width as usize, row.height as usize) == (width, height) {
        return row;
    }
    let t = gantry_images::Transform { scale_x: row.scale_x, scale_y: row.scale_y, offset_x: row.offset_x, offset_y: row.offset_y }
        .after(&letterbox(described, row.width as usize, row.height as usize).source_from_input());
    (row.width, row.height) = (width as u32, height as u32);
    (row.scale_x, row.scale_y, row.offset_x, row.offset_y) = (t.scale_x, t.scale_y, t.offset_x, t.offset_y);
    row
}

fn picture<'a>(image: &ImageLayout, frame: &'a Acquired) -> Result<Yuv<'a>, PixelsError> {
    Yuv::of(image, frame.bytes())
}

fn letterbox(described: &Described, width: usize, height: usize) -> Letterbox {
    let (to_width, to_height, _) = described.picture;
    Letterbox::fit(width, height, to_width, to_height)
}
