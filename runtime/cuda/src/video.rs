//! Whether the driver's video decoder is installed.
#![allow(unsafe_code)]

use crate::CudaError;

/// The library that FFmpeg's decoders look up.
const LIBRARY: &str = "libnvcuvid.so.1";

/// Loads NVIDIA's video decoder, as FFmpeg does with every stream, to find out early and with a reason if that cannot be.
///
/// # Errors
/// [`CudaError::NoVideoDecoder`] with the loader's words.
pub fn video_decoder() -> Result<(), CudaError> {
    // SAFETY: loads a library of the NVIDIA driver, whose initialisers are the driver's own.
    match unsafe { libloading::os::unix::Library::new(LIBRARY) } {
        // Stays for the life of the process, as the decoders are about to load it.
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(CudaError::NoVideoDecoder { why: error.to_string() }),
    }
}
