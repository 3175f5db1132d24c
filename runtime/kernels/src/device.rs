//! Pictures in device memory.

use gantry_cuda::{DeviceSlice, DeviceSliceMut};
use gantry_frames::ImageLayout;

use crate::{FrameView, GreyView, KernelError, Region};

/// A decoded frame.
#[derive(Clone, Copy, Debug)]
pub struct DeviceFrame<'a> {
    /// Format, size, planes and colour.
    pub layout: &'a ImageLayout,
    /// The payload.
    pub pixels: DeviceSlice<'a>,
}

/// Grey to read, u8 `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct DeviceGrey<'a> {
    /// The rows.
    pub pixels: DeviceSlice<'a>,
    /// Width in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// Bytes from row to row.
    pub stride: u32,
}

/// Grey to write, u8 `[height, width]`.
#[derive(Debug)]
pub struct DeviceGreyMut<'a> {
    /// The rows.
    pub pixels: DeviceSliceMut<'a>,
    /// Width in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// Bytes from row to row.
    pub stride: u32,
}

impl DeviceFrame<'_> {
    pub(crate) fn view(&self) -> Result<FrameView, KernelError> {
        FrameView::of(self.layout, Region::from(&self.pixels))
    }
}

impl DeviceGrey<'_> {
    pub(crate) fn view(&self) -> Result<GreyView, KernelError> {
        GreyView::new(Region::from(&self.pixels), self.width, self.height, self.stride)
    }
}

impl DeviceGreyMut<'_> {
    pub(crate) fn view(&self) -> Result<GreyView, KernelError> {
        GreyView::new(Region::from(&self.pixels), self.width, self.height, self.stride)
    }
}
