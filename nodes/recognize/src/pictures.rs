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

/// The pictures of a buffer, in the order of the names.
///
/// # Errors
/// [`PicturesError`] if layout, names and bytes do not agree.
pub fn pictures<'a>(bytes: &'a [u8], layout: &Layout, names: usize) -> Result<Vec<Picture<'a>>, PicturesError> {
    let pixels = |index: usize| move |e: gantry_inference::PixelsError| PicturesError::Pixels { index, reason: e.to_string() };
    let refused = |found: String| PicturesError::Layout { found };
    let found = match layout {
        Layout::Image(image) => {
            let plane = image.planes().first().ok_or_else(|| refused("a picture without planes".into()))?;
            let data = bytes.get(plane.offset as usize..).unwrap_or_default();
            let (w, h, stride) = (image.width as usize, image.height as usize, plane.stride as usize);
            let picture = match image.format {
                PixelFormat::Gray8 => Picture::gray(data, w, h, stride),
                PixelFormat::Rgb8 => Picture::rgb(data, w, h, stride),
                other => return Err(refused(format!("a {} picture", other.name()))),
            };
            vec![picture.map_err(pixels(0))?]
        }
        Layout::Tensor(tensor) => {
            let (&[v, h, w], &[per_picture, stride, 1]) = (tensor.shape(), tensor.strides()) else {
                return Err(refused(format!("{} {:?} with strides {:?}", tensor.dtype.name(), tensor.shape(), tensor.strides())));
            };
            if tensor.dtype != DType::U8 {
                return Err(refused(format!("{} {:?}", tensor.dtype.name(), tensor.shape())));
            }
            let one = |index: usize| {
                let data = bytes.get(index * per_picture as usize..).unwrap_or_default();
                Picture::gray(data, w as usize, h as usize, stride as usize).map_err(pixels(index))
            };
            (0..v as usize).map(one).collect::<Result<_, _>>()?
        }
    };
    if found.len() == names { Ok(found) } else { Err(PicturesError::Count { pictures: found.len(), names }) }
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
