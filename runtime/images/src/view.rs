//! Borrowed pictures.

use gantry_frames::{Colour, ImageLayout, PixelFormat};
use thiserror::Error;

/// Why bytes are not the picture that they are said to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PixelsError {
    /// The format is not one that the operation reads.
    #[error("pixel format is `{found}`, this operation takes {wanted}", found = found.name())]
    Format {
        /// What it is.
        found: PixelFormat,
        /// What it should be.
        wanted: &'static str,
    },
    /// Fewer bytes than rows and stride say.
    #[error("{what}: {found} bytes for {rows} rows of {row_bytes} with stride {stride}")]
    TooShort {
        /// Which buffer.
        what: &'static str,
        /// Bytes there.
        found: usize,
        /// Rows wanted.
        rows: usize,
        /// Bytes per row wanted.
        row_bytes: usize,
        /// Bytes from row to row.
        stride: usize,
    },
    /// A picture without pixels.
    #[error("picture of {width}x{height} has no pixels")]
    Empty {
        /// Width in px.
        width: usize,
        /// Height in px.
        height: usize,
    },
}

/// Rows of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    data: &'a [u8],
    stride: usize,
    row_bytes: usize,
    rows: usize,
}

impl<'a> Plane<'a> {
    /// `rows` rows of `row_bytes` bytes, `stride` bytes apart; the last row needs no padding.
    ///
    /// # Errors
    /// [`PixelsError::TooShort`], [`PixelsError::Empty`].
    pub fn new(what: &'static str, data: &'a [u8], row_bytes: usize, rows: usize, stride: usize) -> Result<Self, PixelsError> {
        if row_bytes == 0 || rows == 0 {
            return Err(PixelsError::Empty { width: row_bytes, height: rows });
        }
        let needed = stride.checked_mul(rows - 1).and_then(|n| n.checked_add(row_bytes));
        if stride < row_bytes || needed.is_none_or(|n| data.len() < n) {
            return Err(PixelsError::TooShort { what, found: data.len(), rows, row_bytes, stride });
        }
        Ok(Self { data, stride, row_bytes, rows })
    }

    /// Row `y`.
    ///
    /// # Panics
    /// If `y` is not below [`Plane::rows`].
    #[inline(always)]
    #[must_use]
    pub fn row(&self, y: usize) -> &'a [u8] {
        let start = y * self.stride;
        &self.data[start..start + self.row_bytes]
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All bytes, from the first row on.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// Bytes from row to row.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Bytes of a row that are picture.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }
}

/// Grey, u8 `[H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct Gray<'a> {
    /// Width in px.
    pub width: usize,
    /// Height in px.
    pub height: usize,
    /// The samples.
    pub plane: Plane<'a>,
}

impl<'a> Gray<'a> {
    /// Grey with rows `stride` bytes apart.
    ///
    /// # Errors
    /// As [`Plane::new`].
    pub fn new(data: &'a [u8], width: usize, height: usize, stride: usize) -> Result<Self, PixelsError> {
        Ok(Self { width, height, plane: Plane::new("grey", data, width, height, stride)? })
    }
}

/// R G B interleaved, u8 `[H, W, 3]`.
#[derive(Clone, Copy, Debug)]
pub struct Rgb<'a> {
    /// Width in px.
    pub width: usize,
    /// Height in px.
    pub height: usize,
    /// The samples.
    pub plane: Plane<'a>,
}

impl<'a> Rgb<'a> {
    /// RGB with rows `stride` bytes apart.
    ///
    /// # Errors
    /// As [`Plane::new`].
    pub fn new(data: &'a [u8], width: usize, height: usize, stride: usize) -> Result<Self, PixelsError> {
        Ok(Self { width, height, plane: Plane::new("rgb", data, width * 3, height, stride)? })
    }

    /// The picture that `layout` describes in `payload`.
    ///
    /// # Errors
    /// [`PixelsError`] if it is not RGB8 or does not lie in the payload.
    pub fn of(layout: &ImageLayout, payload: &'a [u8]) -> Result<Self, PixelsError> {
        if layout.format != PixelFormat::Rgb8 {
            return Err(PixelsError::Format { found: layout.format, wanted: "rgb8" });
        }
        let plane = plane(layout, payload, 0, "rgb")?;
        Ok(Self { width: layout.width as usize, height: layout.height as usize, plane })
    }
}

/// The colour planes of 4:2:0.
#[derive(Clone, Copy, Debug)]
pub enum Chroma<'a> {
    /// Two planes.
    Planar {
        /// Blue difference.
        u: Plane<'a>,
        /// Red difference.
        v: Plane<'a>,
    },
    /// U and V alternate.
    Interleaved {
        /// U V U V.
        uv: Plane<'a>,
    },
}

/// A 4:2:0 picture, as decoders give it.
#[derive(Clone, Copy, Debug)]
pub struct Yuv<'a> {
    /// Width in px.
    pub width: usize,
    /// Height in px.
    pub height: usize,
    /// Luma.
    pub y: Plane<'a>,
    /// Colour.
    pub chroma: Chroma<'a>,
    /// Matrix and range.
    pub colour: Colour,
}

impl<'a> Yuv<'a> {
    /// The picture that `layout` describes in `payload`.
    ///
    /// # Errors
    /// [`PixelsError`] if it is neither I420 nor NV12 or does not lie in the payload.
    pub fn of(layout: &ImageLayout, payload: &'a [u8]) -> Result<Self, PixelsError> {
        let chroma = match layout.format {
            PixelFormat::I420 => Chroma::Planar { u: plane(layout, payload, 1, "U plane")?, v: plane(layout, payload, 2, "V plane")? },
            PixelFormat::Nv12 => Chroma::Interleaved { uv: plane(layout, payload, 1, "UV plane")? },
            found => return Err(PixelsError::Format { found, wanted: "i420 or nv12" }),
        };
        let y = plane(layout, payload, 0, "Y plane")?;
        Ok(Self { width: layout.width as usize, height: layout.height as usize, y, chroma, colour: layout.colour })
    }

    /// Width and height of the chroma planes in samples.
    #[must_use]
    pub fn chroma_size(&self) -> (usize, usize) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }
}

fn plane<'a>(layout: &ImageLayout, payload: &'a [u8], index: usize, what: &'static str) -> Result<Plane<'a>, PixelsError> {
    let at = layout.planes()[index];
    let (row_bytes, rows) = layout.format.plane_size(index, layout.width, layout.height);
    let too_short = || PixelsError::TooShort {
        what,
        found: payload.len(),
        rows: rows as usize,
        row_bytes: row_bytes as usize,
        stride: at.stride as usize,
    };
    let data = usize::try_from(at.offset).ok().and_then(|offset| payload.get(offset..)).ok_or_else(too_short)?;
    Plane::new(what, data, row_bytes as usize, rows as usize, at.stride as usize)
}
