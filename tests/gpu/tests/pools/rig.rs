//! Pools and readers of one kind of memory, and frames that show when they are torn.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gantry_cuda::{Context, Stream};
use gantry_frames::*;

pub const OUTPUT: &str = "cam0.decode/frames";
pub const READER: &str = "reader";
pub const MAX_HELD: u32 = 2;
pub const WIDTH: u32 = 640;
pub const HEIGHT: u32 = 400;
/// Far more than a frame: what the driver itself takes now and then must not hide a pool that is left behind.
const SLOT_BYTES: u64 = 16 << 20;
/// What that may be.
const NOISE_BYTES: u64 = 32 << 20;
/// Pieces of a frame, each of one value.
const BANDS: usize = 5;
const BAND: usize = (WIDTH * HEIGHT) as usize / BANDS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Host,
    CudaVmmFd,
    CudaIpcLegacy,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::CudaVmmFd => "vmm",
            Self::CudaIpcLegacy => "ipc",
        }
    }

    pub fn named(name: &str) -> Self {
        *[Self::Host, Self::CudaVmmFd, Self::CudaIpcLegacy].iter().find(|kind| kind.name() == name).unwrap()
    }
}

/// One kind of memory, and what this process needs to write and read it.
pub struct Rig {
    pub memory: Memory,
    pub stream: Option<Stream>,
}

impl Rig {
    /// `None`, said, where there is no device for it.
    pub fn new(kind: Kind) -> Option<Self> {
        let on = |memory: fn(Context) -> Memory| {
            let context = gantry_gpu_checks::context()?;
            Some((memory(context.clone()), Some(Stream::new(&context).unwrap())))
        };
        let (memory, stream) = match kind {
            Kind::Host => (Memory::Host, None),
            Kind::CudaVmmFd => on(Memory::CudaVmmFd)?,
            Kind::CudaIpcLegacy => on(Memory::CudaIpcLegacy)?,
        };
        Some(Self { memory, stream })
    }

    pub fn pool(&self, dir: &Path, mode: Mode, slots: u32) -> Pool {
        let consumer = ConsumerSpec { name: READER.into(), max_held: MAX_HELD, queue_size: 1 };
        let config = PoolConfig {
            runtime_dir: dir.to_owned(),
            output: OUTPUT.into(),
            mode,
            slots,
            slot_bytes: SLOT_BYTES,
            producer_max_held: 0,
            consumers: vec![consumer],
            grace: Duration::from_secs(10),
        };
        Pool::create_in(config, &self.memory).unwrap()
    }

    pub fn client(&self, dir: &Path) -> Client {
        let config = ClientConfig { runtime_dir: dir.to_owned(), name: READER.into(), max_held: MAX_HELD };
        match self.memory.context() {
            Some(context) => Client::with_cuda(config, context.clone()),
            None => Client::new(config),
        }
    }

    /// Starts to write frame `seq`, many times over; the last time counts.
    pub fn write(&self, loaned: &mut Loaned, seq: u64) {
        for round in (0..4).rev() {
            for band in 0..BANDS {
                let value = value(seq + round, band);
                match &self.stream {
                    Some(stream) => {
                        let mut slot = loaned.device_mut().unwrap();
                        stream.fill(&mut slot.part(band * BAND, BAND).unwrap(), value).unwrap();
                    }
                    None => loaned.bytes_mut()[band * BAND..][..BAND].fill(value),
                }
            }
        }
    }

    pub fn publish(&self, pool: &Pool) -> Published {
        let mut loaned = pool.begin_write(&StopFlag::new()).unwrap();
        let seq = pool.stats().published;
        self.write(&mut loaned, seq);
        let filled = match &self.stream {
            Some(stream) => loaned.fill_after(layout(), stream).unwrap(),
            None => loaned.fill(layout()).unwrap(),
        };
        let published = filled.publish(&FrameMeta { frame: seq, ..FrameMeta::default() });
        assert_eq!(published.seq, seq);
        published
    }

    pub fn pixels(&self, frame: &Acquired) -> Vec<u8> {
        match &self.stream {
            Some(stream) => {
                assert_eq!(frame.bytes(), b"", "the host has no view of a card's memory");
                let device = frame.device().unwrap();
                let mut bytes = vec![0; device.len()];
                stream.download(&device, &mut bytes).unwrap();
                bytes
            }
            None => frame.bytes().to_vec(),
        }
    }

    pub fn assert_intact(&self, frame: &Acquired) {
        let pixels = self.pixels(frame);
        assert_eq!((pixels.len(), frame.frame_meta().frame), (BANDS * BAND, frame.seq()));
        for (band, bytes) in pixels.chunks_exact(BAND).enumerate() {
            let value = value(frame.seq(), band);
            let wrong = bytes.iter().position(|byte| *byte != value);
            assert_eq!(wrong, None, "seq {} band {band}: torn or overwritten", frame.seq());
        }
    }

    /// Whether no more of the card is taken than `before`. Half of the smallest pool here is left to the driver.
    pub fn is_back_to(&self, before: u64) -> bool {
        self.used() <= before + NOISE_BYTES
    }

    /// Bytes of the card that are taken, contexts of all processes included; 0 for host memory, which the kernel gives back by itself.
    pub fn used(&self) -> u64 {
        self.memory.context().map_or(0, |context| {
            let (free, total) = context.memory_info().unwrap();
            total - free
        })
    }
}

fn value(seq: u64, band: usize) -> u8 {
    (seq * 31 + band as u64 * 7 + 1) as u8
}

pub fn layout() -> Layout {
    Layout::gray8(WIDTH, HEIGHT).unwrap()
}

/// A runtime directory of its own; removed on drop.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gantry-pools-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until `done`; a watchdog and no measurement.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
