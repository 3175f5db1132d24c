//! What C gets to see of a frame.

use gantry_frames::{Acquired, ImageLayout, Layout, MAX_PLANES, MAX_RANK};

/// `gantry_plane` of the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Plane {
    /// Of the first row, in bytes from `View::data`.
    pub offset: u64,
    /// Bytes from one row to the next.
    pub stride: u32,
    /// Visible rows.
    pub rows: u32,
    /// Visible bytes of a row.
    pub row_bytes: u64,
}

/// `gantry_view` of the header.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct View {
    /// The payload, read-only, valid until the frame is released.
    pub data: *const u8,
    /// Its length.
    pub bytes: u64,
    /// 0 picture, 1 tensor.
    pub kind: u32,
    /// Picture: four characters; tensor: 1 u8, 2 f16, 3 f32.
    pub format: u32,
    /// Picture: px.
    pub width: u32,
    /// Picture: px.
    pub height: u32,
    /// Picture: how many of `plane` count.
    pub planes: u32,
    /// Picture.
    pub plane: [Plane; MAX_PLANES],
    /// Tensor: how many of `shape` count.
    pub rank: u32,
    /// Tensor: length of each axis, outermost first.
    pub shape: [u32; MAX_RANK],
    /// Tensor: bytes from element to element along each axis.
    pub strides: [u64; MAX_RANK],
}

const _: () = assert!(size_of::<View>() == 216 && align_of::<View>() == 8);

impl View {
    pub(crate) fn of(frame: &Acquired) -> Self {
        let bytes = frame.bytes();
        let mut view = Self {
            data: bytes.as_ptr(),
            bytes: bytes.len() as u64,
            kind: 0,
            format: 0,
            width: 0,
            height: 0,
            planes: 0,
            plane: [Plane::default(); MAX_PLANES],
            rank: 0,
            shape: [0; MAX_RANK],
            strides: [0; MAX_RANK],
        };
        match frame.layout() {
            Layout::Image(image) => view.picture(image),
            Layout::Tensor(tensor) => {
                (view.kind, view.format) = (1, tensor.dtype as u32);
                view.shape.iter_mut().zip(tensor.shape()).for_each(|(to, &axis)| *to = axis);
                view.strides.iter_mut().zip(tensor.strides()).for_each(|(to, &stride)| *to = stride);
                view.rank = tensor.shape().len() as u32;
            }
        }
        view
    }

    fn picture(&mut self, image: &ImageLayout) {
        (self.format, self.width, self.height) = (image.format.fourcc(), image.width, image.height);
        self.planes = image.planes().len() as u32;
        for (index, (to, plane)) in self.plane.iter_mut().zip(image.planes()).enumerate() {
            let (row_bytes, _) = image.format.plane_size(index, image.width, image.height);
            *to = Plane { offset: plane.offset, stride: plane.stride, rows: plane.rows, row_bytes };
        }
    }
}
