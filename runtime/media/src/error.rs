//! What can go wrong with video, with a hint for the person at the screen.

use crate::ffi;
use std::path::PathBuf;
use thiserror::Error;

/// A failed operation on a file, a stream, a decoder or an encoder. Addresses in it are redacted.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaError {
    /// The file or stream could not be opened.
    #[error("cannot open `{source_name}`: {why}")]
    Open {
        /// Path or address, redacted.
        source_name: String,
        /// FFmpeg's words.
        why: String,
        /// What to do.
        hint: String,
    },
    /// The other end wants another user name or password.
    #[error("`{source_name}` refuses user name or password")]
    Refused {
        /// Address, redacted.
        source_name: String,
    },
    /// The other end cannot show that it is the one that was meant.
    #[error("the certificate of `{source_name}` is refused: {why}")]
    Certificate {
        /// Address, redacted.
        source_name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The certificates to check against cannot be had.
    #[error("`CA_FILE` `{path}`: {why}", path = path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing came from a stream for too long.
    #[error("nothing came from `{source_name}` for {limit_ms} ms")]
    Silent {
        /// Address, redacted.
        source_name: String,
        /// How long was waited.
        limit_ms: u64,
    },
    /// Opened, but it has no pictures.
    #[error("`{source_name}` has no video stream, only: {found}")]
    NoVideo {
        /// Path or address, redacted.
        source_name: String,
        /// Kinds of the streams it has.
        found: String,
    },
    /// A text that FFmpeg cannot take.
    #[error("`{name}` contains a zero byte")]
    ZeroByte {
        /// What it was for.
        name: String,
    },
    /// Reading ended before the end.
    #[error("reading `{source_name}` failed: {why}")]
    Read {
        /// Path or address, redacted.
        source_name: String,
        /// FFmpeg's words.
        why: String,
    },
    /// The FFmpeg on this machine lacks a decoder or encoder.
    #[error("this FFmpeg has no {what} for `{codec}`")]
    NoCodec {
        /// `decoder` or `encoder`.
        what: &'static str,
        /// Name of the codec.
        codec: String,
    },
    /// A hardware decoder was asked for that is not there.
    #[error("decoder `{decoder}` cannot be used: {why}")]
    NoDevice {
        /// Which decoder.
        decoder: &'static str,
        /// What is missing.
        why: String,
    },
    /// The card failed while a picture was fetched from the decoder.
    #[error("a picture of NVDEC was not copied: {source}")]
    Card {
        /// What the driver said.
        #[source]
        source: gantry_cuda::CudaError,
    },
    /// A slot is smaller than a picture.
    #[error("a picture of {width}x{height} needs {needed} bytes, slots have {found}")]
    SlotTooSmall {
        /// Picture width in px.
        width: u32,
        /// Picture height in px.
        height: u32,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that slots have.
        found: usize,
    },
    /// No slot to decode into.
    #[error("no buffer for a picture: {0}")]
    NoSlot(String),
    /// Sizes that no picture can have.
    #[error("a picture of {width}x{height} cannot be stored, 1x1 to 16384x16384 can")]
    Size {
        /// Width in px.
        width: u32,
        /// Height in px.
        height: u32,
    },
    /// Another FFmpeg call failed.
    #[error("{what} failed: {why}")]
    Ffmpeg {
        /// What was tried.
        what: &'static str,
        /// FFmpeg's words.
        why: String,
    },
}

impl MediaError {
    /// What to do about it, if something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open { hint, .. } => Some(hint.clone()),
            Self::Refused { .. } => Some(
                "put `user:password` into a file of mode 0600 (`CREDENTIALS_FILE` of `camera`) or into a variable (`CREDENTIALS_ENV`)"
                    .into(),
            ),
            Self::Certificate { .. } => Some(
                "`openssl s_client -connect HOST:PORT -showcerts` shows it; put the certificate of who signed it, or the camera's own, into `CA_FILE`, and name the camera as its certificate does".into(),
            ),
            Self::CaFile { .. } => Some("name a file of certificates in PEM".into()),
            Self::Silent { .. } => Some("check that the camera is on and reachable: `ffprobe ADDRESS` should show the stream".into()),
            Self::NoVideo { .. } => Some("give a file or stream that has video".into()),
            Self::NoCodec { .. } => Some("`ffmpeg -codecs` lists what it has; convert with `ffmpeg -i IN -c:v libx264 OUT.mp4`".into()),
            Self::NoDevice { .. } => {
                Some("NVDEC needs `MEMORY: cuda` and a card that decodes the stream; `DECODER: software` or `auto` do without".into())
            }
            Self::Card { source } => Some(source.hint().into()),
            Self::Read { .. } => Some("play the file with `ffmpeg -v error -i FILE -f null -` to see what is damaged".into()),
            Self::SlotTooSmall { .. } => Some("leave the slot size to the node, or raise it".into()),
            Self::ZeroByte { .. } | Self::NoSlot(_) | Self::Size { .. } | Self::Ffmpeg { .. } => None,
        }
    }

    pub(crate) fn ffmpeg(what: &'static str, code: i32) -> Self {
        Self::Ffmpeg { what, why: ffi::describe(code) }
    }
}
