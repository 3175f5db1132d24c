//! FFmpeg's CUDA device over our context and stream, and which codecs it can be asked for.
#![allow(unsafe_code)]

use crate::MediaError;
use crate::ffi::{self, c_text};
use ffmpeg_sys_next as sys;
use gantry_cuda::{Context, Stream};
use std::ptr::{NonNull, null};

/// A device for the decoders of all cameras of a process: one context, one stream.
#[derive(Debug)]
pub struct NvdecDevice {
    raw: NonNull<sys::AVBufferRef>,
    /// After `raw`, which works on it.
    stream: Stream,
}

// SAFETY: FFmpeg counts references of the device atomically; the device itself is not changed after `open`.
unsafe impl Send for NvdecDevice {}
// SAFETY: as above.
unsafe impl Sync for NvdecDevice {}

impl NvdecDevice {
    /// Gives FFmpeg `context` and a stream of its own in it.
    ///
    /// # Errors
    /// [`MediaError::Card`] if there is no stream, [`MediaError::NoDevice`] if NVIDIA's library is missing or FFmpeg does not load libcuda.
    pub fn open(context: &Context) -> Result<Self, MediaError> {
        ffi::quiet();
        gantry_cuda::video_decoder()
            .map_err(|error| MediaError::NoDevice { decoder: "nvdec", why: format!("{error} ({})", error.hint()) })?;
        let stream = Stream::new(context).map_err(|source| MediaError::Card { source })?;
        let refused = |why: String| MediaError::NoDevice { decoder: "nvdec", why };
        // SAFETY: plain allocator.
        let raw = unsafe { sys::av_hwdevice_ctx_alloc(sys::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA) };
        let raw = NonNull::new(raw).ok_or_else(|| refused("this FFmpeg is built without CUDA".to_owned()))?;
        let device = Self { raw, stream };
        // SAFETY: a buffer of a device context of kind CUDA, not initialised yet, so its public fields may be set; context and stream outlive it.
        let code = unsafe {
            let device_context = (*device.raw.as_ptr()).data.cast::<sys::AVHWDeviceContext>();
            let cuda = (*device_context).hwctx.cast::<sys::AVCUDADeviceContext>();
            (*cuda).cuda_ctx = std::ptr::without_provenance_mut(context.address());
            (*cuda).stream = std::ptr::without_provenance_mut(device.stream.address());
            sys::av_hwdevice_ctx_init(device.raw.as_ptr())
        };
        if code < 0 {
            return Err(refused(format!("FFmpeg does not take the CUDA context ({})", ffi::describe(code))));
        }
        Ok(device)
    }

    /// The stream that pictures are complete on.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Another reference for FFmpeg, which it gives back.
    pub(crate) fn reference(&self) -> Result<*mut sys::AVBufferRef, MediaError> {
        // SAFETY: a valid buffer.
        let reference = unsafe { sys::av_buffer_ref(self.raw.as_ptr()) };
        if reference.is_null() {
            return Err(MediaError::Ffmpeg { what: "opening the decoder", why: "out of memory".into() });
        }
        Ok(reference)
    }
}

impl Drop for NvdecDevice {
    fn drop(&mut self) {
        let mut raw = self.raw.as_ptr();
        // SAFETY: the reference of `self`, given back once.
        unsafe { sys::av_buffer_unref(&mut raw) };
    }
}

/// FFmpeg's decoder of `codec` that can work on a CUDA device. Whether this card's decoder takes the stream shows only when it is decoded.
///
/// # Errors
/// [`MediaError::NoCodec`] if this FFmpeg has none.
pub(crate) fn find(codec: &str) -> Result<NonNull<sys::AVCodec>, MediaError> {
    let missing = || MediaError::NoCodec { what: "decoder on NVDEC", codec: codec.to_owned() };
    let name = c_text("codec name", codec)?;
    // SAFETY: the name ends with 0; descriptors and codecs are static. A decoder of the codec's own name goes first: of AV1 the one that the general
    // search finds (dav1d) works on the CPU alone.
    let candidates = unsafe {
        let descriptor = sys::avcodec_descriptor_get_by_name(name.as_ptr());
        let general = if descriptor.is_null() { null() } else { sys::avcodec_find_decoder((*descriptor).id) };
        [sys::avcodec_find_decoder_by_name(name.as_ptr()), general]
    };
    candidates.into_iter().filter_map(|codec| NonNull::new(codec.cast_mut())).find(|codec| has_cuda(*codec)).ok_or_else(missing)
}

/// Whether a decoder takes a CUDA device.
fn has_cuda(codec: NonNull<sys::AVCodec>) -> bool {
    let method = sys::AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX as i32;
    (0..)
        // SAFETY: a static codec; the list ends with null.
        .map_while(|i| NonNull::new(unsafe { sys::avcodec_get_hw_config(codec.as_ptr(), i) }.cast_mut()))
        .any(|config| {
            // SAFETY: a static entry of the list.
            let config = unsafe { config.as_ref() };
            config.device_type == sys::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA && config.methods & method != 0
        })
}

/// Whether this FFmpeg can ask NVDEC for `codec`.
#[must_use]
pub fn nvdec_decodes(codec: &str) -> bool {
    find(codec).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codecs_of_cameras_can_be_asked_for_and_others_cannot() {
        for codec in ["h264", "hevc", "vp9", "av1", "mpeg2video", "mjpeg"] {
            assert!(nvdec_decodes(codec), "{codec}: this FFmpeg is built without CUDA");
        }
        for codec in ["prores", "no such codec", "gif"] {
            assert!(!nvdec_decodes(codec), "{codec}");
        }
    }
}
