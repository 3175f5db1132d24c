//! What the tests share: directories that vanish, pools with usual sizes, patterns that show a torn frame.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gantry_frames::*;

/// A runtime directory of its own; removed on drop.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gantry-frames-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    pub fn files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return Vec::new() };
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub const OUTPUT: &str = "cam0.decode/frames";
pub const WIDTH: u32 = 64;
pub const HEIGHT: u32 = 16;

pub fn config(dir: &Path, mode: Mode, slots: u32, consumers: &[(&str, u32, u32)]) -> PoolConfig {
    let spec = |(name, max_held, queue_size): &(&str, u32, u32)| ConsumerSpec {
        name: (*name).to_owned(),
        max_held: *max_held,
        queue_size: *queue_size,
    };
    PoolConfig {
        runtime_dir: dir.to_owned(),
        output: OUTPUT.to_owned(),
        mode,
        slots,
        slot_bytes: Layout::gray8(WIDTH, HEIGHT).unwrap().byte_len(),
        producer_max_held: 0,
        consumers: consumers.iter().map(spec).collect(),
        grace: Duration::from_secs(10),
    }
}

pub fn pool(dir: &Dir, mode: Mode, slots: u32, consumers: &[(&str, u32, u32)]) -> Pool {
    Pool::create(config(&dir.0, mode, slots, consumers)).unwrap()
}

pub fn client(dir: &Path, name: &str, max_held: u32) -> Client {
    Client::new(ClientConfig { runtime_dir: dir.to_owned(), name: name.to_owned(), max_held })
}

/// Byte `i` of frame `seq`.
fn pattern(seq: u64, i: usize) -> u8 {
    (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 8 * 8)) as u8 ^ i as u8
}

/// Fills a loan with the pattern of the seq that it will get and publishes it.
pub fn publish(pool: &Pool, mut loaned: Loaned) -> Published {
    let seq = pool.stats().published;
    for (i, byte) in loaned.bytes_mut().iter_mut().enumerate() {
        *byte = pattern(seq, i);
    }
    let meta = FrameMeta {
        source: SourceName::new("north").unwrap(),
        frame: 1000 + seq,
        pts_ns: 40_000_000 * seq as i64,
        captured_ns: 1_700_000_000_000_000_000 + seq as i64,
        view: View::whole(WIDTH, HEIGHT),
    };
    let published = loaned.fill(Layout::gray8(WIDTH, HEIGHT).unwrap()).unwrap().publish(&meta);
    assert_eq!(published.seq, seq);
    published
}

pub fn publish_next(pool: &Pool) -> Published {
    publish(pool, pool.begin_write(&StopFlag::new()).unwrap())
}

/// The frame has the pattern of its own seq, every byte of it.
pub fn assert_intact(frame: &Acquired) {
    let seq = frame.seq();
    assert_eq!(frame.bytes().len(), (WIDTH * HEIGHT) as usize);
    let wrong = frame.bytes().iter().enumerate().find(|(i, byte)| **byte != pattern(seq, *i));
    assert_eq!(wrong, None, "seq {seq} was overwritten");
    assert_eq!(frame.frame_meta().frame, 1000 + seq);
}

/// Waits until `done`; a watchdog and no measurement.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    started.elapsed()
}
