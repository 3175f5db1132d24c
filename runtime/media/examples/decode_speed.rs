//! `cargo run --release -p gantry-media --example decode_speed FILE`: frames per second on one thread, into memory of the
//! heap and into the slots of a shared-memory pool.

use gantry_frames::{Mode, Pool, PoolConfig, StopFlag};
use gantry_media::{
    DecoderChoice, DecoderOptions, Demuxer, HeapAllocator, OpenOptions, PoolAllocator, ProbeReport, SoftwareDecoder, probe_with,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: decode_speed FILE")?;
    let limit = Duration::from_secs(20);
    let heap = probe_with(&file, &OpenOptions::default(), DecoderChoice::Auto, limit, Arc::new(HeapAllocator::default()))?;
    println!(
        "{} {}x{} {} fps {}, decoder={} reason={}",
        heap.codec, heap.width, heap.height, heap.pixel_format, heap.fps, heap.decoder, heap.reason
    );
    print("heap ", &heap);

    let demuxer = Demuxer::open(&file, &OpenOptions::default())?;
    let decoder = SoftwareDecoder::open(demuxer.info(), DecoderOptions::default(), Arc::new(HeapAllocator::default()))?;
    let dir = std::env::temp_dir().join(format!("gantry-decode-speed-{}", std::process::id()));
    let pool = Pool::create(PoolConfig {
        runtime_dir: dir.clone(),
        output: "decode_speed/frames".into(),
        mode: Mode::Lossless,
        slots: 40,
        slot_bytes: decoder.slot_bytes(heap.width, heap.height),
        producer_max_held: decoder.max_held(),
        consumers: Vec::new(),
        grace: Duration::from_secs(1),
    })?;
    let allocator = Arc::new(PoolAllocator::new(StopFlag::new()));
    allocator.set_pool(pool.clone());
    let slots = probe_with(&file, &OpenOptions::default(), DecoderChoice::Auto, limit, allocator)?;
    print("slots", &slots);
    drop(pool);
    // Empty once the pool is gone; if not, there is something to see in it.
    std::fs::remove_dir(&dir).ok();
    Ok(())
}

fn print(what: &str, report: &ProbeReport) {
    println!(
        "{what} {} frames, {:.0} frames/s, {:.3} CPU s per s of video, {} direct, {} copied",
        report.frames_decoded,
        report.frames_per_s,
        report.cpu_s_per_video_s.unwrap_or(0.0),
        report.stats.direct,
        report.stats.frames - report.stats.direct,
    );
}
