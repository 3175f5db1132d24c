//! How bytes in a slot are to be read: picture planes or a tensor.

use crate::samples::{Colour, DType, Matrix, PixelFormat, Range};

/// Most planes of a picture.
pub const MAX_PLANES: usize = 4;
/// Most axes of a tensor.
pub const MAX_RANK: usize = 6;
/// Strides of the layouts made here are multiples of this, so that rows start on cache lines and SIMD loads are aligned.
const STRIDE_ALIGN: u32 = 64;

/// Rows of bytes inside a payload: `rows` rows of `stride` bytes from `offset`, padding included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Plane {
    /// Bytes from the start of the payload.
    pub offset: u64,
    /// Bytes from row to row.
    pub stride: u32,
    /// Rows, padding rows included; at least the visible ones.
    pub rows: u32,
}

/// A picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLayout {
    /// Arrangement of the pixels.
    pub format: PixelFormat,
    /// Visible width in pixels.
    pub width: u32,
    /// Visible height in pixels.
    pub height: u32,
    /// Colour.
    pub colour: Colour,
    planes: [Plane; MAX_PLANES],
}

impl ImageLayout {
    /// The planes, as many as the format has.
    #[must_use]
    pub fn planes(&self) -> &[Plane] {
        &self.planes[..self.format.plane_count()]
    }
}

/// A dense array of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorLayout {
    /// Element type.
    pub dtype: DType,
    rank: u8,
    shape: [u32; MAX_RANK],
    strides: [u64; MAX_RANK],
}

impl TensorLayout {
    /// Length of each axis, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[u32] {
        &self.shape[..usize::from(self.rank)]
    }

    /// Bytes from element to element along each axis.
    #[must_use]
    pub fn strides(&self) -> &[u64] {
        &self.strides[..usize::from(self.rank)]
    }

    /// Whether the elements lie in row-major order without gaps.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let mut stride = self.dtype.size();
        self.shape().iter().zip(self.strides()).rev().all(|(&n, &s)| {
            let fits = n == 1 || s == stride;
            stride = stride.saturating_mul(u64::from(n));
            fits
        })
    }
}

/// How a payload is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A picture.
    Image(ImageLayout),
    /// A tensor.
    Tensor(TensorLayout),
}

/// Why a layout cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Width, height or an axis is 0, or above 65535 for pictures.
    #[error("size {width}x{height} is out of range, 1x1 to 65535x65535 can be stored")]
    ImageSize {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// The wrong number of planes.
    #[error("{format} has {wanted} planes, {found} were given", format = format.name())]
    PlaneCount {
        /// The format.
        format: PixelFormat,
        /// Planes given.
        found: usize,
        /// Planes of the format.
        wanted: usize,
    },
    /// A plane is too small for the visible picture.
    #[error("plane {index} has {rows} rows of {stride} bytes, the picture needs {wanted_rows} of {wanted_stride}")]
    PlaneSize {
        /// Which plane.
        index: usize,
        /// Rows found.
        rows: u32,
        /// Stride found.
        stride: u32,
        /// Visible rows.
        wanted_rows: u32,
        /// Visible bytes per row.
        wanted_stride: u64,
    },
    /// The tensor's rank or an axis is out of range.
    #[error("tensor shape has {rank} axes, 1 to {MAX_RANK} of at least 1 element each can be stored")]
    Shape {
        /// Axes given.
        rank: usize,
    },
    /// A tensor stride is no multiple of the element size.
    #[error("stride {stride} of axis {axis} is no multiple of the element size {size}")]
    Stride {
        /// Which axis.
        axis: usize,
        /// Bytes found.
        stride: u64,
        /// Bytes of one element.
        size: u64,
    },
    /// Offsets and sizes do not fit 64 bits.
    #[error("offsets and sizes of the layout overflow")]
    Overflow,
    /// More bytes than the slot has.
    #[error("layout needs {needed} bytes, the slot has {available}")]
    TooLarge {
        /// Bytes that the layout spans.
        needed: u64,
        /// Bytes of the slot.
        available: u64,
    },
}

impl Layout {
    /// A picture with planes as a decoder laid them out.
    ///
    /// # Errors
    /// [`LayoutError`] if the number of planes is not the format's or one is too small for the visible size.
    pub fn image(format: PixelFormat, width: u32, height: u32, planes: &[Plane], colour: Colour) -> Result<Self, LayoutError> {
        let wanted = format.plane_count();
        if planes.len() != wanted {
            return Err(LayoutError::PlaneCount { format, found: planes.len(), wanted });
        }
        let mut all = [Plane::default(); MAX_PLANES];
        all[..wanted].copy_from_slice(planes);
        let layout = Self::Image(ImageLayout { format, width, height, colour, planes: all });
        layout.checked_len()?;
        Ok(layout)
    }

    /// A picture whose rows start at multiples of 64 bytes, plane after plane.
    ///
    /// # Errors
    /// [`LayoutError::ImageSize`] unless both sides are 1 to 65535 pixels.
    pub fn packed(format: PixelFormat, width: u32, height: u32, colour: Colour) -> Result<Self, LayoutError> {
        let mut planes = [Plane::default(); MAX_PLANES];
        let mut offset = 0u64;
        check_size(width, height)?;
        for (index, plane) in planes.iter_mut().enumerate().take(format.plane_count()) {
            let (row_bytes, rows) = format.plane_size(index, width, height);
            // A side has at most 16 bits, so three bytes per pixel and the padding fit 32.
            let stride = (row_bytes as u32).next_multiple_of(STRIDE_ALIGN);
            *plane = Plane { offset, stride, rows };
            offset += u64::from(stride) * u64::from(rows);
        }
        Ok(Self::Image(ImageLayout { format, width, height, colour, planes }))
    }

    /// [`Layout::packed`] I420, BT.709 limited range. 1920x1080 has strides 1920 and 960 and takes 3,110,400 bytes.
    ///
    /// # Errors
    /// As [`Layout::packed`].
    pub fn i420(width: u32, height: u32) -> Result<Self, LayoutError> {
        Self::packed(PixelFormat::I420, width, height, Colour::BT709_LIMITED)
    }

    /// [`Layout::packed`] NV12, BT.709 limited range.
    ///
    /// # Errors
    /// As [`Layout::packed`].
    pub fn nv12(width: u32, height: u32) -> Result<Self, LayoutError> {
        Self::packed(PixelFormat::Nv12, width, height, Colour::BT709_LIMITED)
    }

    /// [`Layout::packed`] R G B.
    ///
    /// # Errors
    /// As [`Layout::packed`].
    pub fn rgb8(width: u32, height: u32) -> Result<Self, LayoutError> {
        Self::packed(PixelFormat::Rgb8, width, height, Colour::RGB_FULL)
    }

    /// [`Layout::packed`] B G R.
    ///
    /// # Errors
    /// As [`Layout::packed`].
    pub fn bgr8(width: u32, height: u32) -> Result<Self, LayoutError> {
        Self::packed(PixelFormat::Bgr8, width, height, Colour::RGB_FULL)
    }

    /// [`Layout::packed`] grey, full range.
    ///
    /// # Errors
    /// As [`Layout::packed`].
    pub fn gray8(width: u32, height: u32) -> Result<Self, LayoutError> {
        Self::packed(PixelFormat::Gray8, width, height, Colour { matrix: Matrix::Bt601, range: Range::Full })
    }

    /// A tensor in row-major order without gaps, as ONNX Runtime takes it.
    ///
    /// # Errors
    /// [`LayoutError::Shape`] unless there are 1 to 6 axes of at least 1 element, [`LayoutError::Overflow`] beyond 64 bits.
    pub fn tensor(dtype: DType, shape: &[u32]) -> Result<Self, LayoutError> {
        let mut strides = [0; MAX_RANK];
        let mut stride = dtype.size();
        if shape.len() > MAX_RANK {
            return Err(LayoutError::Shape { rank: shape.len() });
        }
        for (axis, &n) in shape.iter().enumerate().rev() {
            strides[axis] = stride;
            stride = stride.checked_mul(u64::from(n)).ok_or(LayoutError::Overflow)?;
        }
        Self::tensor_strided(dtype, shape, &strides[..shape.len()])
    }

    /// A tensor with strides of its own, in bytes.
    ///
    /// # Errors
    /// [`LayoutError`] if shape or strides are out of range.
    pub fn tensor_strided(dtype: DType, shape: &[u32], strides: &[u64]) -> Result<Self, LayoutError> {
        let rank = shape.len();
        if rank == 0 || rank > MAX_RANK || strides.len() != rank {
            return Err(LayoutError::Shape { rank });
        }
        let mut tensor = TensorLayout { dtype, rank: rank as u8, shape: [0; MAX_RANK], strides: [0; MAX_RANK] };
        tensor.shape[..rank].copy_from_slice(shape);
        tensor.strides[..rank].copy_from_slice(strides);
        let layout = Self::Tensor(tensor);
        layout.checked_len()?;
        Ok(layout)
    }

    /// The same picture with another colour; a tensor stays as it is.
    #[must_use]
    pub fn with_colour(mut self, colour: Colour) -> Self {
        if let Self::Image(image) = &mut self {
            image.colour = colour;
        }
        self
    }

    /// The picture, if it is one.
    #[must_use]
    pub fn as_image(&self) -> Option<&ImageLayout> {
        match self {
            Self::Image(image) => Some(image),
            Self::Tensor(_) => None,
        }
    }

    /// The tensor, if it is one.
    #[must_use]
    pub fn as_tensor(&self) -> Option<&TensorLayout> {
        match self {
            Self::Image(_) => None,
            Self::Tensor(tensor) => Some(tensor),
        }
    }

    /// Bytes from the start of the payload to the end of its last row or element.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        // Every constructor has checked it.
        self.checked_len().unwrap_or(0)
    }

    /// The one check of a layout: used for what a producer says and for what a handle claims.
    pub(crate) fn checked_len(&self) -> Result<u64, LayoutError> {
        match self {
            Self::Image(image) => image.checked_len(),
            Self::Tensor(tensor) => tensor.checked_len(),
        }
    }
}

fn check_size(width: u32, height: u32) -> Result<(), LayoutError> {
    let fits = |side: u32| (1..=65535).contains(&side);
    if fits(width) && fits(height) { Ok(()) } else { Err(LayoutError::ImageSize { width, height }) }
}

impl ImageLayout {
    fn checked_len(&self) -> Result<u64, LayoutError> {
        check_size(self.width, self.height)?;
        let mut len = 0u64;
        for (index, &Plane { offset, stride, rows }) in self.planes().iter().enumerate() {
            let (wanted_stride, wanted_rows) = self.format.plane_size(index, self.width, self.height);
            if u64::from(stride) < wanted_stride || rows < wanted_rows {
                return Err(LayoutError::PlaneSize { index, rows, stride, wanted_rows, wanted_stride });
            }
            let end = offset.checked_add(u64::from(stride) * u64::from(rows)).ok_or(LayoutError::Overflow)?;
            len = len.max(end);
        }
        Ok(len)
    }
}

impl TensorLayout {
    fn checked_len(&self) -> Result<u64, LayoutError> {
        let (rank, size) = (usize::from(self.rank), self.dtype.size());
        let (Some(shape), Some(strides)) = (self.shape.get(..rank), self.strides.get(..rank)) else {
            return Err(LayoutError::Shape { rank });
        };
        if rank == 0 || shape.contains(&0) {
            return Err(LayoutError::Shape { rank });
        }
        let mut last = 0u64;
        let mut elements = size;
        for (axis, (&n, &stride)) in shape.iter().zip(strides).enumerate() {
            if stride % size != 0 {
                return Err(LayoutError::Stride { axis, stride, size });
            }
            elements = elements.checked_mul(u64::from(n)).ok_or(LayoutError::Overflow)?;
            let reach = u64::from(n - 1).checked_mul(stride).ok_or(LayoutError::Overflow)?;
            last = last.checked_add(reach).ok_or(LayoutError::Overflow)?;
        }
        last.checked_add(size).ok_or(LayoutError::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packed_pictures_have_the_sizes_in_their_documentation() {
        let len = |layout: Result<Layout, LayoutError>| layout.unwrap().byte_len();
        assert_eq!(len(Layout::i420(1920, 1080)), 3_110_400);
        assert_eq!(len(Layout::nv12(1920, 1080)), 3_110_400);
        assert_eq!(len(Layout::rgb8(960, 540)), 1_555_200);
        assert_eq!(len(Layout::gray8(1, 1)), 64);
        assert_eq!(len(Layout::i420(853, 479)), 896 * 479 + 2 * 448 * 240);
        assert_eq!(PixelFormat::Nv12.plane_size(1, 853, 479), (854, 240));
        assert_eq!(Layout::rgb8(0, 5), Err(LayoutError::ImageSize { width: 0, height: 5 }));
        assert_eq!(Layout::rgb8(65535, 65536), Err(LayoutError::ImageSize { width: 65535, height: 65536 }));
    }

    #[test]
    fn planes_too_small_for_the_picture_are_refused() {
        let plane = |offset, stride, rows| Plane { offset, stride, rows };
        let image = |planes: &[Plane]| Layout::image(PixelFormat::Nv12, 100, 50, planes, Colour::BT709_LIMITED);
        assert_eq!(image(&[plane(0, 128, 56), plane(7168, 128, 28)]).unwrap().byte_len(), 7168 + 128 * 28);
        assert!(matches!(image(&[plane(0, 128, 50)]), Err(LayoutError::PlaneCount { found: 1, wanted: 2, .. })));
        assert!(matches!(image(&[plane(0, 99, 50), plane(0, 128, 25)]), Err(LayoutError::PlaneSize { index: 0, .. })));
        assert!(matches!(image(&[plane(0, 128, 50), plane(0, 128, 24)]), Err(LayoutError::PlaneSize { index: 1, .. })));
        let far = plane(u64::MAX - 5, u32::MAX, u32::MAX);
        assert_eq!(image(&[far, far]), Err(LayoutError::Overflow));
    }

    #[test]
    fn tensors_are_row_major_and_strides_are_checked() {
        let layout = Layout::tensor(DType::F16, &[2, 3, 4]).unwrap();
        let tensor = layout.as_tensor().unwrap();
        assert_eq!((tensor.strides(), layout.byte_len(), tensor.is_contiguous()), (&[24, 8, 2][..], 48, true));
        let padded = Layout::tensor_strided(DType::F32, &[2, 3], &[64, 4]).unwrap();
        assert_eq!((padded.byte_len(), padded.as_tensor().unwrap().is_contiguous()), (64 + 12, false));
        assert_eq!(Layout::tensor(DType::U8, &[]), Err(LayoutError::Shape { rank: 0 }));
        assert_eq!(Layout::tensor(DType::U8, &[1; 7]), Err(LayoutError::Shape { rank: 7 }));
        assert_eq!(Layout::tensor(DType::U8, &[4, 0]), Err(LayoutError::Shape { rank: 2 }));
        assert_eq!(Layout::tensor(DType::F32, &[u32::MAX; 6]), Err(LayoutError::Overflow));
        assert_eq!(Layout::tensor_strided(DType::F32, &[2], &[6]), Err(LayoutError::Stride { axis: 0, stride: 6, size: 4 }));
        assert_eq!(Layout::tensor_strided(DType::U8, &[2; 6], &[0; 6]).unwrap().byte_len(), 1, "a broadcast spans one element");
    }

    proptest! {
        #[test]
        fn packed_planes_follow_each_other_without_overlap(width in 1u32..=65535, height in 1u32..=65535) {
            for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Rgb8, PixelFormat::Bgr8, PixelFormat::Gray8] {
                let layout = Layout::packed(format, width, height, Colour::BT601_LIMITED).unwrap();
                let image = layout.as_image().unwrap();
                let mut end = 0;
                for plane in image.planes() {
                    prop_assert_eq!((plane.offset, plane.stride % 64), (end, 0));
                    end += u64::from(plane.stride) * u64::from(plane.rows);
                }
                prop_assert_eq!(layout.byte_len(), end);
                prop_assert_eq!(Layout::image(format, width, height, image.planes(), image.colour), Ok(layout));
                prop_assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
                prop_assert_eq!(PixelFormat::from_name(format.name()), Some(format));
            }
        }
    }
}
