//! Borrowed grey pictures.

use thiserror::Error;

/// Why bytes are no picture.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{found} bytes are no grey picture of {width}x{height} with stride {stride}")]
pub struct PictureError {
    /// Bytes there.
    pub found: usize,
    /// Width in px.
    pub width: usize,
    /// Height in px.
    pub height: usize,
    /// Bytes from row to row.
    pub stride: usize,
}

fn check(found: usize, width: usize, height: usize, stride: usize) -> Result<(), PictureError> {
    let needed = height.checked_sub(1).and_then(|n| n.checked_mul(stride)).and_then(|n| n.checked_add(width));
    let sizes = width > 0 && stride >= width && width <= 65535 && height <= 65535;
    if sizes && needed.is_some_and(|n| n <= found) { Ok(()) } else { Err(PictureError { found, width, height, stride }) }
}

/// Grey to read, u8 `[H, W]`, 1x1 to 65535x65535.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    data: &'a [u8],
    width: usize,
    height: usize,
    stride: usize,
}

impl<'a> Picture<'a> {
    /// Rows of `width` bytes, `stride` apart.
    ///
    /// # Errors
    /// [`PictureError`] if the bytes are too few or a side is 0 or above 65535.
    pub fn new(data: &'a [u8], width: usize, height: usize, stride: usize) -> Result<Self, PictureError> {
        check(data.len(), width, height, stride)?;
        Ok(Self { data, width, height, stride })
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes from row to row.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `y`.
    ///
    /// # Panics
    /// If `y` is not below the height.
    #[must_use]
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..self.width]
    }

    /// All rows from the top.
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let this = *self;
        (0..this.height).map(move |y| this.row(y))
    }
}

/// Grey to write, u8 `[H, W]`.
#[derive(Debug)]
pub struct PictureMut<'a> {
    data: &'a mut [u8],
    width: usize,
    height: usize,
    stride: usize,
}

impl<'a> PictureMut<'a> {
    /// Rows of `width` bytes, `stride` apart.
    ///
    /// # Errors
    /// [`PictureError`] as [`Picture::new`].
    pub fn new(data: &'a mut [u8], width: usize, height: usize, stride: usize) -> Result<Self, PictureError> {
        check(data.len(), width, height, stride)?;
        Ok(Self { data, width, height, stride })
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes from row to row.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `y`.
    ///
    /// # Panics
    /// If `y` is not below the height.
    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
        &mut self.data[y * self.stride..][..self.width]
    }

    /// First byte, for the boundary.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.data.as_mut_ptr()
    }
}

impl Picture<'_> {
    /// First byte, for the boundary.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.data.as_ptr()
    }
}
