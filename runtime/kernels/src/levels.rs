//! Grey pictures as the numbers that a model takes.

use bytemuck::{Pod, Zeroable};

use crate::{Kernel, KernelError, Launch, Region};

/// Threads of a block: one per pixel.
const THREADS: u32 = 256;
/// Pictures of one launch: what a grid's z reaches.
const MOST: usize = 65_535;

/// What numbers grey levels become, and how they lie in a model's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelFormat {
    /// Pixels of a picture.
    pub pixels: usize,
    /// Channels; all get the same number.
    pub channels: usize,
    /// `[channels, pixels]`, else `[pixels, channels]`.
    pub is_planar: bool,
    /// Bytes of a number: 1, 2 or 4.
    pub bytes: usize,
    /// The bits of each level's number.
    pub table: [u32; 256],
}

/// `LevelBatch` in input.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct LevelBatch {
    from: u64,
    out: u64,
    pixels: u32,
    channels: u32,
    is_planar: u32,
    bytes: u32,
    table: [u32; 256],
}

/// Turns `pictures` grey pictures, one after the other without gaps from the start of `from`, into numbers from the start of `out`.
///
/// # Errors
/// [`KernelError::Parameter`] for numbers of another size or too many pictures, [`KernelError::Pixels`] if a region is too short.
pub fn levels(from: Region, pictures: usize, format: &LevelFormat, out: Region) -> Result<Vec<Launch>, KernelError> {
    let wrong = |parameter: &'static str, found: usize, wanted: &'static str| KernelError::Parameter {
        operator: "levels",
        parameter,
        found: found.to_string(),
        wanted,
    };
    if !matches!(format.bytes, 1 | 2 | 4) {
        return Err(wrong("bytes", format.bytes, "1, 2 or 4"));
    }
    if pictures > MOST {
        return Err(wrong("pictures", pictures, "up to 65535"));
    }
    if pictures == 0 {
        return Ok(Vec::new());
    }
    let count = pictures as u64 * format.pixels as u64;
    let batch = LevelBatch {
        from: from.bytes("grey pictures", count)?,
        out: out.bytes("model input", count * (format.channels * format.bytes) as u64)?,
        pixels: format.pixels as u32,
        channels: format.channels as u32,
        is_planar: format.is_planar.into(),
        bytes: format.bytes as u32,
        table: format.table,
    };
    let blocks = [(format.pixels as u32).div_ceil(THREADS), 1, pictures as u32];
    Ok(vec![Launch::new(Kernel::Levels, blocks, [THREADS, 1, 1], 0, &batch)])
}
