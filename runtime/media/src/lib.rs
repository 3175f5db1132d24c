//! Video in and out through the system's FFmpeg.
//!
//! ```text
//! Demuxer ── VideoPacket ──► SoftwareDecoder ── Decoded { slot, layout } ──► publish
//!                                  │ get_buffer2
//!                                  └──► FrameAllocator (a pool of shared memory, or the heap)
//! ```
//!
//! 8-bit 4:2:0 of FFmpeg's own decoders (H.264, HEVC, VP8, VP9, MPEG-2, MPEG-4, MJPEG) is decoded straight into slots, nothing
//! is copied. Other formats, rotated and interlaced pictures and AV1 (dav1d keeps its own buffers) cost one copy, which
//! [`DecodeStats`] counts.
//!
//! On a card: `NvdecDecoder` (FFmpeg's CUDA hwaccel over our context and stream) gives a [`Surface`] that is copied once, on the card, into a slot.
//!
//! FFmpeg's own log is silent: it prints addresses with passwords. Errors come back as [`MediaError`] with a hint.

mod buffers;
mod choice;
mod convert;
mod decode;
mod demux;
mod device;
mod encode;
mod error;
mod ffi;
mod frame;
mod nvdec;
mod nvdec_device;
mod patience;
pub mod picture;
mod pool;
mod probe;
mod reader;
mod slot;
mod start_codes;
mod trust;
mod tunnel;
mod versions;

pub use choice::{Chosen, DecoderChoice, choose};
pub use decode::{DecodeStats, Decoded, DecoderOptions, Path, SoftwareDecoder};
pub use demux::{DemuxStats, Demuxer, OpenOptions, StreamInfo, VideoPacket};
pub use device::device_path;
pub use encode::Encoder;
pub use error::MediaError;
pub use nvdec::{NvdecDecoder, Surface};
pub use nvdec_device::{NvdecDevice, nvdec_decodes};
pub use pool::PoolAllocator;
pub use probe::{ProbeReport, probe, probe_with};
pub use reader::{FrameReader, OwnedFrame, PtsClock};
pub use slot::{AllocateError, FrameAllocator, HeapAllocator, HeapSlot, Slot};
pub use start_codes::StartCodes;
pub use trust::check_ca_file;
pub use versions::versions;
