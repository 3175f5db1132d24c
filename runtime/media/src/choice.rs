//! Which decoder runs, and why.

use crate::MediaError;

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

/// Decides for frames in host memory, by what the driver shows and not by what a header promises. Where frames are to lie on a card, a
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
            Err(why) => software(why),
        },
        DecoderChoice::Nvdec => {
            let why = match cuda_device() {
                Ok(()) => "its pictures lie on the card, and frames are asked for in host memory".into(),
                Err(why) => why,
            };
            Err(MediaError::NoDevice { decoder: "nvdec", why })
        }
    }
}

/// Whether the driver shows a card to this process.
fn cuda_device() -> Result<(), String> {
    gantry_cuda::Device::all().map(drop).map_err(|error| error.to_string())
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
