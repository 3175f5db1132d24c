//! Decoded frames, as kernels see them.

use bytemuck::{Pod, Zeroable};
use gantry_frames::{Colour, ImageLayout, PixelFormat};
use gantry_images::{Coefficients, PixelsError};

use crate::{KernelError, Region};

/// A 4:2:0 frame whose planes were checked against their memory.
#[derive(Clone, Copy, Debug)]
pub struct FrameView {
    pub(crate) planes: FramePlanes,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// `Frame` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct FramePlanes {
    pub y: u64,
    pub u: u64,
    pub v: u64,
    pub y_stride: u32,
    pub chroma_stride: u32,
    pub chroma_bytes: u32,
    pub reserved: u32,
    pub colour: RawColour,
    pub reserved_too: u32,
}

/// `Colour` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct RawColour([i16; 6]);

impl From<Colour> for RawColour {
    fn from(colour: Colour) -> Self {
        Self(Coefficients::of(colour).raw())
    }
}

impl FrameView {
    /// The frame that `layout` describes in `payload`.
    ///
    /// # Errors
    /// [`KernelError::Pixels`] if it is neither I420 nor NV12, or a plane does not lie in the payload.
    pub fn of(layout: &ImageLayout, payload: Region) -> Result<Self, KernelError> {
        let plane = |index: usize, what: &'static str| -> Result<(u64, u32), KernelError> {
            let at = layout.planes()[index];
            let (row_bytes, rows) = layout.format.plane_size(index, layout.width, layout.height);
            let address = payload.from_offset(at.offset).rows(what, row_bytes, rows.into(), at.stride.into())?;
            Ok((address, at.stride))
        };
        let (y, y_stride) = plane(0, "Y plane")?;
        let (u, v, chroma_stride, chroma_bytes) = match layout.format {
            PixelFormat::I420 => {
                let ((u, u_stride), (v, v_stride)) = (plane(1, "U plane")?, plane(2, "V plane")?);
                if u_stride != v_stride {
                    return Err(KernelError::Strides { u: u_stride, v: v_stride });
                }
                (u, v, u_stride, 1)
            }
            PixelFormat::Nv12 => {
                let (uv, stride) = plane(1, "UV plane")?;
                (uv, uv + 1, stride, 2)
            }
            found => return Err(PixelsError::Format { found, wanted: "i420 or nv12" }.into()),
        };
        let planes =
            FramePlanes { y, u, v, y_stride, chroma_stride, chroma_bytes, reserved: 0, colour: layout.colour.into(), reserved_too: 0 };
        Ok(Self { planes, width: layout.width, height: layout.height })
    }

    /// Width in px.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in px.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    pub(crate) fn chroma_size(&self) -> (u32, u32) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }
}
