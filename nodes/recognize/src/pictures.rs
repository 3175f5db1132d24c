//! The pictures in a crop's buffer.

use gantry_frames::{DType, Layout, PixelFormat};
use gantry_inference::Picture;

/// Why a buffer cannot be read as the variants that its row names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PicturesError {
    /// The buffer is neither a grey tensor nor a picture in a format that is read.
    #[error("a buffer of {found}, wanted a u8 tensor [V, H, W] or an RGB8 or GRAY picture")]
    Layout {
        /// What the buffer holds.
        found: String,
    },
    /// The row names another number of variants than there are pictures.
    #[error("{pictures} pictures in the buffer, {names} names in `variants`")]
    Count {
        /// Pictures in the buffer.
        pictures: usize,
        /// Names in the row.
        names: usize,
    },
    /// The bytes do not hold the picture.
    #[error("picture {index} of the buffer is cut off: {reason}")]
    Pixels {
        /// Index of the picture.
        index: usize,
        /// Why.
        reason: String,
    },
}

/// Where a picture lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the buffer.
    pub offset: usize,
    /// Width in px.
    pub width: usize,
    /// Height in px.
    pub height: usize,
    /// Bytes from row to row.
    pub stride: usize,
    /// RGB, else grey.
    pub is_rgb: bool,
}

/// Where the pictures of a buffer lie, in the order of the names; not yet compared with the buffer's length.
///
/// # Errors
/// [`PicturesError`] if layout and names do not agree.
pub fn places(layout: &Layout, names: usize) -> Result<Vec<Place>, PicturesError> {
    let refused = |found: String| PicturesError::Layout { found };
    let found = match layout {
        Layout::Image(image) => {
            let plane = image.planes().first().ok_or_else(|| refused("a picture without planes".into()))?;
            let is_rgb = match image.format {
                PixelFormat::Gray8 => false,
                PixelFormat::Rgb8 => true,
                other => return Err(refused(format!("a {} picture", other.name()))),
            };
            let (width, height) = (image.width as usize, image.height as usize);
            vec![Place { offset: plane.offset as usize, width, height, stride: plane.stride as usize, is_rgb }]
        }
        Layout::Tensor(tensor) => {
            let (&[v, h, w], &[per_picture, stride, 1]) = (tensor.shape(), tensor.strides()) else {
                return Err(refused(format!("{} {:?} with strides {:?}", tensor.dtype.name(), tensor.shape(), tensor.strides())));
            };
            if tensor.dtype != DType::U8 {
                return Err(refused(format!("{} {:?}", tensor.dtype.name(), tensor.shape())));
            }
            let (width, height, stride) = (w as usize, h as usize, stride as usize);
            let one = |index: usize| Place { offset: index * per_picture as usize, width, height, stride, is_rgb: false };
            (0..v as usize).map(one).collect()
        }
    };
    if found.len() == names { Ok(found) } else { Err(PicturesError::Count { pictures: found.len(), names }) }
}

/// The pictures of a buffer, in the order of the names.
///
/// # Errors
/// [`PicturesError`] if layout, names and bytes do not agree.
pub fn pictures<'a>(bytes: &'a [u8], layout: &Layout, names: usize) -> Result<Vec<Picture<'a>>, PicturesError> {
    let one = |(index, place): (usize, Place)| {
        let Place { offset, width, height, stride, is_rgb } = place;
        let data = bytes.get(offset..).unwrap_or_default();
        let picture = if is_rgb { Picture::rgb(data, width, height, stride) } else { Picture::gray(data, width, height, stride) };
        picture.map_err(|e| PicturesError::Pixels { index, reason: e.to_string() })
    };
    places(layout, names)?.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_one_picture_per_variant_and_an_image_has_one() {
        let bytes: Vec<u8> = (0..24).collect();
        let tensor = Layout::tensor(DType::U8, &[2, 3, 4]).unwrap();
        assert_eq!(pictures(&bytes, &tensor, 2).unwrap().len(), 2);
        assert_eq!(pictures(&bytes, &tensor, 3).unwrap_err(), PicturesError::Count { pictures: 2, names: 3 });
        let short = pictures(&bytes[..20], &tensor, 2).unwrap_err();
        assert!(matches!(short, PicturesError::Pixels { index: 1, .. }), "{short}");
        let layout = Layout::gray8(4, 6).unwrap();
        assert!(pictures(&bytes, &Layout::tensor(DType::F32, &[2, 3, 1]).unwrap(), 2).is_err());
        assert!(pictures(&bytes, &Layout::nv12(4, 4).unwrap(), 1).is_err());
        assert_eq!(pictures(&vec![0; layout.byte_len() as usize], &layout, 1).unwrap().len(), 1);
    }
}
