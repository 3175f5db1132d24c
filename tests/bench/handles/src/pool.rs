//! Pools and frames as a camera's decoder has them: 1080p, the pixels already where the reader finds them.

use gantry_frames::{Client, ClientConfig, ConsumerSpec, FrameMeta, Layout, Mode, Pool, PoolConfig, SourceName};
use gantry_messages::FrameRow;
use gantry_node::Fault;
use std::path::Path;
use std::time::Duration;

/// Width of all frames in px.
pub const WIDTH: u32 = 1920;
/// Height of all frames in px.
pub const HEIGHT: u32 = 1080;
/// Frames that a reader may hold.
pub const MAX_HELD: u32 = 2;
/// Length of all input queues of the benchmark's graphs.
pub const QUEUE_SIZE: u32 = 16;

/// How the frames lie in their slots.
pub fn layout() -> Result<Layout, Fault> {
    Ok(Layout::i420(WIDTH, HEIGHT)?)
}

/// A live pool of the smallest size for `consumers`.
pub fn live(dir: &Path, output: &str, consumers: &[String]) -> Result<Pool, Fault> {
    let spec = |name: &String| ConsumerSpec { name: name.clone(), max_held: MAX_HELD, queue_size: QUEUE_SIZE };
    let consumers: Vec<ConsumerSpec> = consumers.iter().map(spec).collect();
    Ok(Pool::create(PoolConfig {
        runtime_dir: dir.to_owned(),
        output: output.to_owned(),
        mode: Mode::Live,
        slots: PoolConfig::min_slots(Mode::Live, &consumers, 0),
        slot_bytes: layout()?.byte_len(),
        producer_max_held: 0,
        consumers,
        grace: Duration::from_secs(5),
    })?)
}

/// A reader's end.
pub fn client(dir: &Path, name: &str) -> Client {
    Client::new(ClientConfig { runtime_dir: dir.to_owned(), name: name.to_owned(), max_held: MAX_HELD })
}

/// What is said about frame `frame`.
pub fn meta(source: &str, frame: u64) -> Result<FrameMeta, Fault> {
    Ok(FrameMeta {
        source: SourceName::new(source)?,
        frame,
        pts_ns: frame as i64 * 33_333_333,
        captured_ns: frame as i64 * 33_333_333,
        ..FrameMeta::default()
    })
}

/// The message of a frame, as `decode` sends it.
pub fn row(meta: &FrameMeta, handle: &gantry_frames::Handle) -> FrameRow {
    FrameRow {
        source: meta.source.as_str().to_owned(),
        frame: meta.frame,
        pts_ns: meta.pts_ns,
        captured_ns: meta.captured_ns,
        width: WIDTH,
        height: HEIGHT,
        format: "I420".to_owned(),
        source_width: WIDTH,
        source_height: HEIGHT,
        handle: *handle.as_bytes(),
        ..FrameRow::default()
    }
}

/// Writes `number` at the start, in the middle and at the end: enough to tell frames apart, and no copy of pixels.
pub fn stamp(bytes: &mut [u8], number: u64) {
    let places = places(bytes.len());
    for at in places {
        if let Some(place) = bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }
}

/// Whether the bytes are those of `number`.
pub fn is_stamped(bytes: &[u8], number: u64) -> bool {
    places(bytes.len()).iter().all(|at| bytes.get(*at..*at + 8) == Some(&number.to_le_bytes()[..]))
}

fn places(len: usize) -> [usize; 3] {
    [0, (len / 2) & !7, len.saturating_sub(8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again_and_another_is_not() {
        let mut bytes = vec![0; 1000];
        stamp(&mut bytes, 77);
        assert!(is_stamped(&bytes, 77) && !is_stamped(&bytes, 78));
        bytes[999] ^= 1;
        assert!(!is_stamped(&bytes, 77), "a torn end is noticed");
        assert!(!is_stamped(&[], 0));
    }
}
