//! Pictures for the driver shim's video decoder, which decodes nothing: it looks each one up by the bytes of its slices (shim/video.rs).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use gantry_frames::{ImageLayout, PixelFormat};
use gantry_media::{Demuxer, FrameReader, MediaError, OpenOptions};

/// How far the time of a picture may lie from that of its packet.
const SAME_TIME_NS: i64 = 1_000_000;

/// Why a clip's pictures cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    /// The clip cannot be read.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// A file for the shim cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Packets and pictures do not fit together, or the clip is of another kind.
    #[error("{clip}: {what}")]
    NotThere {
        /// The clip.
        clip: String,
        /// What is not there, and where.
        what: String,
    },
}

/// Decodes an MP4 file with H.264 in software and writes its pictures where `GANTRY_SHIM_VIDEO` shall name `folder`; gives their number.
///
/// # Errors
/// [`PicturesError`] if the clip cannot be read, is of another kind, or `folder` cannot be written.
pub fn tell_the_shim(file: &Path, folder: &Path) -> Result<usize, PicturesError> {
    let clip = file.display().to_string();
    let not_there = |what: String| PicturesError::NotThere { clip: clip.clone(), what };
    let mut demuxer = Demuxer::open(&clip, &OpenOptions::default())?;
    let mut packets = BTreeMap::new();
    while let Some(packet) = demuxer.next_packet()? {
        let number = packets.len();
        let time = packet.pts_ns.ok_or_else(|| not_there(format!("packet {number} has no time")))?;
        let slices = of_slices(&packet.data).ok_or_else(|| not_there(format!("packet {number} is not H.264 of an MP4 file")))?;
        packets.insert(time, slices);
    }
    let mut reader = FrameReader::open(&clip)?;
    let mut written = 0;
    while let Some(frame) = reader.next_frame()? {
        let time = frame.pts_ns;
        let near = packets.range(time - SAME_TIME_NS..=time + SAME_TIME_NS).next().map(|(time, _)| *time);
        let slices =
            near.and_then(|near| packets.remove(&near)).ok_or_else(|| not_there(format!("the picture at {time} ns has no packet")))?;
        let image = frame.layout.as_image().ok_or_else(|| not_there(format!("what is decoded at {time} ns is no picture")))?;
        let [y, u, v] = planes(image, frame.slot.bytes());
        let mut bytes = [image.width.to_le_bytes(), image.height.to_le_bytes()].concat();
        bytes.extend(y);
        bytes.extend(u.iter().zip(v).flat_map(|(u, v)| [*u, v]));
        let path = folder.join(slices);
        std::fs::write(&path, bytes).map_err(|source| PicturesError::Write { path, source })?;
        written += 1;
    }
    if packets.is_empty() { Ok(written) } else { Err(not_there(format!("{} packets show no picture", packets.len()))) }
}

/// The name that shim/video.rs gives to the picture of a packet of an MP4 file: of its slices, each behind a start code.
fn of_slices(packet: &[u8]) -> Option<String> {
    let (mut rest, mut slices) = (packet, Vec::new());
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (unit, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        if matches!(unit.first()? & 31, 1 | 5) {
            slices.extend([0, 0, 1]);
            slices.extend(unit);
        }
        rest = tail;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(&slices);
    (!slices.is_empty()).then(|| format!("{:016x}", hasher.finish()))
}

/// Rows of Y, U and V, without padding.
///
/// # Panics
/// If `bytes` is shorter than `image` says.
#[must_use]
pub fn planes(image: &ImageLayout, bytes: &[u8]) -> [Vec<u8>; 3] {
    let rows = |index: usize, step: usize, first: usize| -> Vec<u8> {
        let plane = image.planes()[index];
        let (row_bytes, rows) = image.format.plane_size(index, image.width, image.height);
        let row = |y: usize| &bytes[plane.offset as usize + y * plane.stride as usize..][..row_bytes as usize];
        (0..rows as usize).flat_map(|y| row(y).iter().copied().skip(first).step_by(step)).collect()
    };
    match image.format {
        PixelFormat::Nv12 => [rows(0, 1, 0), rows(1, 2, 0), rows(1, 2, 1)],
        _ => [rows(0, 1, 0), rows(1, 1, 0), rows(2, 1, 0)],
    }
}
