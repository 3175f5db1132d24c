//! JPEG of a crop.

use crate::Rgb;
use jpeg_encoder::{ColorType, Encoder};
use thiserror::Error;

/// Why no JPEG was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JpegError {
    /// JPEG has 16-bit sizes.
    #[error("picture of {width}x{height} is too large for jpeg, 65535x65535 is the most")]
    Size {
        /// Width in px.
        width: usize,
        /// Height in px.
        height: usize,
    },
    /// The encoder failed.
    #[error("jpeg of {width}x{height} was not made")]
    Encode {
        /// Width in px.
        width: usize,
        /// Height in px.
        height: usize,
        /// Why.
        #[source]
        source: jpeg_encoder::EncodingError,
    },
}

/// A baseline JPEG of `picture`, `quality` 1 to 100. The same picture gives the same bytes.
///
/// # Errors
/// [`JpegError`] for a picture beyond 65535 px or a failure of the encoder.
pub fn encode_jpeg(picture: &Rgb<'_>, quality: u8) -> Result<Vec<u8>, JpegError> {
    let (width, height) = (picture.width, picture.height);
    let (Ok(w), Ok(h)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(JpegError::Size { width, height });
    };
    let mut tight = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        tight.extend_from_slice(picture.plane.row(y));
    }
    let mut bytes = Vec::with_capacity(tight.len() / 6);
    let encoder = Encoder::new(&mut bytes, quality.clamp(1, 100));
    encoder.encode(&tight, w, h, ColorType::Rgb).map_err(|source| JpegError::Encode { width, height, source })?;
    Ok(bytes)
}
