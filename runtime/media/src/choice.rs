//! Which decoder runs, and why.
#![allow(unsafe_code)]

use crate::{MediaError, ffi};
use ffmpeg_sys_next as sys;
use std::ptr::{null, null_mut};

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DecoderChoice {
    /// The best that the machine has.
    #[default]
    Auto,
    /// FFmpeg's own decoders on the CPU.
    Software,
    /// NVIDIA's decoder.
    Nvdec,
}

/// The decoder that runs, and why it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// `software`.
    pub decoder: &'static str,
    /// One clause for logs and `gantry probe`.
    pub reason: String,
}

/// Decides for frames in host memory, by a real attempt to open the device and not by what a header promises. Where frames are to lie on a card, a
/// decoder is opened there: `NvdecDecoder`.
///
/// # Errors
/// [`MediaError::NoDevice`] when NVDEC was asked for and cannot be used: it never falls back silently.
pub fn choose(choice: DecoderChoice) -> Result<Chosen, MediaError> {
    let software = |reason: String| Ok(Chosen { decoder: "software", reason });
    match choice {
        DecoderChoice::Software => software("asked for".into()),
        DecoderChoice::Auto => match cuda_device() {
            Ok(()) => software("frames are asked for in host memory, NVDEC's lie on the card".into()),
            Err(why) => software(format!("no CUDA device: {why}")),
        },
        DecoderChoice::Nvdec => {
            let why = match cuda_device() {
                Ok(()) => "its pictures lie on the card, and frames are asked for in host memory".into(),
                Err(why) => format!("no CUDA device: {why}"),
            };
            Err(MediaError::NoDevice { decoder: "nvdec", why })
        }
    }
}

/// Opens FFmpeg's CUDA device and closes it again; FFmpeg loads libcuda itself and says when it is not there.
fn cuda_device() -> Result<(), String> {
    ffi::quiet();
    let mut device = null_mut();
    // SAFETY: on success `device` holds a reference, which is given back at once.
    unsafe {
        let code = sys::av_hwdevice_ctx_create(&mut device, sys::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA, null(), null_mut(), 0);
        if code < 0 {
            return Err(format!("libcuda does not load or finds no GPU ({})", ffi::describe(code)));
        }
        sys::av_buffer_unref(&mut device);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_nvdec_never_gives_software_instead() {
        assert_eq!(choose(DecoderChoice::Software).unwrap().decoder, "software");
        let auto = choose(DecoderChoice::Auto).unwrap();
        assert!(!auto.reason.is_empty());
        match choose(DecoderChoice::Nvdec) {
            Ok(chosen) => assert_eq!(chosen.decoder, "nvdec"),
            Err(e) => assert!(e.hint().is_some_and(|h| h.contains("DECODER")), "{e}"),
        }
    }
}
