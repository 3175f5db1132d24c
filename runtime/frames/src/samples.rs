//! What a sample is: pixel formats, element types of tensors, colour.

/// Arrangement of the pixels, 8 bits per sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PixelFormat {
    /// Planes Y, U, V; chroma halved both ways, odd sizes rounded up.
    I420 = u32::from_le_bytes(*b"I420"),
    /// Planes Y and interleaved UV; chroma halved both ways, odd sizes rounded up.
    Nv12 = u32::from_le_bytes(*b"NV12"),
    /// One plane `[H, W, 3]`, R G B.
    Rgb8 = u32::from_le_bytes(*b"RGB3"),
    /// One plane `[H, W, 3]`, B G R.
    Bgr8 = u32::from_le_bytes(*b"BGR3"),
    /// One plane `[H, W]`.
    Gray8 = u32::from_le_bytes(*b"GREY"),
}

impl PixelFormat {
    /// The V4L2-style four-character code, first character in the lowest byte.
    #[must_use]
    pub fn fourcc(self) -> u32 {
        self as u32
    }

    /// The format of a code.
    #[must_use]
    pub fn from_fourcc(code: u32) -> Option<Self> {
        [Self::I420, Self::Nv12, Self::Rgb8, Self::Bgr8, Self::Gray8].into_iter().find(|format| *format as u32 == code)
    }

    /// Lower-case name, as in messages: `i420`, `nv12`, `rgb8`, `bgr8`, `gray8`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::I420 => "i420",
            Self::Nv12 => "nv12",
            Self::Rgb8 => "rgb8",
            Self::Bgr8 => "bgr8",
            Self::Gray8 => "gray8",
        }
    }

    /// The format of a [`PixelFormat::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::I420, Self::Nv12, Self::Rgb8, Self::Bgr8, Self::Gray8].into_iter().find(|format| format.name() == name)
    }

    /// Number of planes.
    #[must_use]
    pub fn plane_count(self) -> usize {
        match self {
            Self::I420 => 3,
            Self::Nv12 => 2,
            Self::Rgb8 | Self::Bgr8 | Self::Gray8 => 1,
        }
    }

    /// Visible bytes per row and visible rows of plane `index` of a picture of `width` x `height`.
    /// NV12 of 853x479: plane 0 is (853, 479), plane 1 is (854, 240).
    #[must_use]
    pub fn plane_size(self, index: usize, width: u32, height: u32) -> (u64, u32) {
        let (w, half_w, half_h) = (u64::from(width), u64::from(width.div_ceil(2)), height.div_ceil(2));
        match (self, index) {
            (Self::I420 | Self::Nv12 | Self::Gray8, 0) => (w, height),
            (Self::I420, _) => (half_w, half_h),
            (Self::Nv12, _) => (2 * half_w, half_h),
            (Self::Rgb8 | Self::Bgr8, _) => (3 * w, height),
            (Self::Gray8, _) => (0, 0),
        }
    }
}

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DType {
    /// Unsigned byte.
    U8 = 1,
    /// IEEE half.
    F16 = 2,
    /// IEEE single.
    F32 = 3,
}

impl DType {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// Lower-case name: `u8`, `f16`, `f32`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::U8, Self::F16, Self::F32].into_iter().find(|dtype| *dtype as u8 == code)
    }
}

/// How Y, U, V relate to R, G, B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Matrix {
    /// No matrix: the samples are R, G, B.
    Rgb = 0,
    /// BT.601.
    Bt601 = 1,
    /// BT.709.
    Bt709 = 2,
    /// BT.2020, non-constant luminance.
    Bt2020 = 3,
}

impl Matrix {
    const ALL: [(Self, &'static str); 4] = [(Self::Rgb, "rgb"), (Self::Bt601, "bt601"), (Self::Bt709, "bt709"), (Self::Bt2020, "bt2020")];

    /// `bt709`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(matrix, _)| *matrix == self).map_or("rgb", |(_, name)| name)
    }

    /// The way back of [`Matrix::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(matrix, _)| *matrix)
    }
}

/// Which values mean black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Range {
    /// Y 16 to 235, U and V 16 to 240.
    Limited = 0,
    /// 0 to 255.
    Full = 1,
}

impl Range {
    /// `limited` or `full`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Limited => "limited",
            Self::Full => "full",
        }
    }

    /// The way back of [`Range::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Limited, Self::Full].into_iter().find(|range| range.name() == name)
    }
}

/// Colour of a picture. Primaries and transfer are ignored: plates are read from the samples as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Y, U, V to R, G, B.
    pub matrix: Matrix,
    /// Black and white.
    pub range: Range,
}

impl Colour {
    /// R, G, B samples of full range.
    pub const RGB_FULL: Self = Self { matrix: Matrix::Rgb, range: Range::Full };
    /// BT.601, limited range: SD video that says nothing.
    pub const BT601_LIMITED: Self = Self { matrix: Matrix::Bt601, range: Range::Limited };
    /// BT.709, limited range: HD video that says nothing.
    pub const BT709_LIMITED: Self = Self { matrix: Matrix::Bt709, range: Range::Limited };

    pub(crate) fn from_codes(matrix: u8, range: u8) -> Option<Self> {
        let matrix = [Matrix::Rgb, Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020].into_iter().find(|m| *m as u8 == matrix)?;
        let range = [Range::Limited, Range::Full].into_iter().find(|r| *r as u8 == range)?;
        Some(Self { matrix, range })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_names() {
        for matrix in [Matrix::Rgb, Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            assert_eq!(Matrix::from_name(matrix.name()), Some(matrix));
        }
        assert_eq!((Matrix::Bt709.name(), Matrix::from_name("bt470"), Matrix::from_name("")), ("bt709", None, None));
        assert_eq!((Range::from_name("limited"), Range::from_name("full")), (Some(Range::Limited), Some(Range::Full)));
        assert_eq!((Range::Limited.name(), Range::from_name("FULL")), ("limited", None));
    }
}
