//! "Is it working?": what a source is and how fast this machine decodes it.

use crate::{DecodeStats, DecoderChoice, DecoderOptions, Demuxer, FrameAllocator, MediaError, OpenOptions, SoftwareDecoder, choose};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What [`probe`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeReport {
    /// Path or address without its password.
    pub source: String,
    /// FFmpeg's name of the container.
    pub container: String,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// FFmpeg's name of the pixel format.
    pub pixel_format: String,
    /// Coded width in px.
    pub width: u32,
    /// Coded height in px.
    pub height: u32,
    /// Clockwise rotation for display in degrees.
    pub rotation_deg: u32,
    /// Whether interlaced pictures were seen.
    pub interlaced: bool,
    /// Nominal frame rate, 0 if unknown.
    pub fps: f64,
    /// Length, if known.
    pub duration: Option<Duration>,
    /// Pictures decoded for this report.
    pub frames_decoded: u64,
    /// Pictures per second of wall time.
    pub frames_per_s: f64,
    /// CPU seconds per second of video, all of it in this thread; `None` if the frame rate is unknown.
    pub cpu_s_per_video_s: Option<f64>,
    /// Which decoder.
    pub decoder: &'static str,
    /// Why that one.
    pub reason: String,
    /// What the decoder did: direct, copied, errors.
    pub stats: DecodeStats,
    /// Damaged packets.
    pub corrupt_packets: u64,
}

/// Decodes up to `limit` of wall time of `source`, opened with `options`, on one thread into slots of `allocator` and measures it.
///
/// # Errors
/// As [`Demuxer::open`] and [`SoftwareDecoder::open`]; [`MediaError::Read`] if nothing could be decoded.
pub fn probe_with<A: FrameAllocator>(
    source: &str,
    options: &OpenOptions,
    choice: DecoderChoice,
    limit: Duration,
    allocator: Arc<A>,
) -> Result<ProbeReport, MediaError> {
    let chosen = choose(choice)?;
    let mut demuxer = Demuxer::open(source, options)?;
    let mut decoder = SoftwareDecoder::open(demuxer.info(), DecoderOptions::default(), allocator)?;
    let (started, cpu) = (Instant::now(), thread_cpu());
    let mut ended = false;
    while !ended && started.elapsed() < limit {
        match demuxer.next_packet()? {
            Some(packet) => decoder.send(&packet)?,
            None => {
                decoder.send_end()?;
                ended = true;
            }
        }
        while decoder.receive()?.is_some() {}
    }
    let (wall, cpu) = (started.elapsed().as_secs_f64(), (thread_cpu().saturating_sub(cpu)).as_secs_f64());
    let (info, stats) = (demuxer.info().clone(), decoder.stats());
    if stats.frames == 0 && ended {
        return Err(MediaError::Read { source_name: demuxer.name().to_owned(), why: "nothing could be decoded".into() });
    }
    let (width, height) = decoder.coded_size();
    Ok(ProbeReport {
        source: demuxer.name().to_owned(),
        container: info.container,
        codec: info.codec,
        pixel_format: decoder.pixel_format().to_owned(),
        width,
        height,
        rotation_deg: info.rotation_deg,
        interlaced: decoder.interlaced(),
        fps: info.fps,
        duration: info.duration_ns.and_then(|ns| u64::try_from(ns).ok()).map(Duration::from_nanos),
        frames_decoded: stats.frames,
        frames_per_s: stats.frames as f64 / wall.max(1e-9),
        cpu_s_per_video_s: (info.fps > 0.0 && stats.frames > 0).then(|| cpu * info.fps / stats.frames as f64),
        decoder: chosen.decoder,
        reason: chosen.reason,
        stats,
        corrupt_packets: demuxer.stats().corrupt,
    })
}

/// [`probe_with`] into memory of the heap, at most 10 s.
///
/// # Errors
/// As [`probe_with`].
pub fn probe(source: &str, options: &OpenOptions) -> Result<ProbeReport, MediaError> {
    probe_with(source, options, DecoderChoice::Auto, Duration::from_secs(10), Arc::new(crate::HeapAllocator::default()))
}

/// CPU time of the calling thread; 0 where the kernel does not tell.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}
