//! The memory that pools of a run lie in, and how this process writes and reads it.

use gantry_cuda::{Context, Device, DeviceMemory, Stream};
use gantry_frames_proofs::*;

/// Host memory is cheap to have and its pools are as small as they can be. On a card a pool that stays behind must show beside what the
/// driver itself takes now and then: 24 slots of 2 MiB.
const CARD_SLOT_BYTES: u64 = 2 << 20;
/// What the driver itself takes: less than a pool.
const NOISE_BYTES: u64 = 32 << 20;
/// Rounds of work that are under way on a card before the pattern is written.
const ROUNDS: u8 = 4;

pub struct Rig {
    memory: Memory,
    card: Option<Card>,
}

struct Card {
    stream: Stream,
    /// What is written lies here first: copies on the card are under way while the host goes on, copies from the host are not.
    staging: DeviceMemory,
}

impl Rig {
    /// `host`, `cuda_vmm` or `cuda_ipc`. On a card also makes and gives back memory once: what the driver opens then stays open, and is
    /// no descriptor that a pool left.
    pub fn open(name: &str) -> Result<Self, String> {
        let make: fn(Context) -> Memory = match name {
            "host" => return Ok(Self { memory: Memory::Host, card: None }),
            "cuda_vmm" => Memory::CudaVmmFd,
            "cuda_ipc" => Memory::CudaIpcLegacy,
            other => return Err(format!("unknown memory `{other}`, known are host, cuda_vmm and cuda_ipc")),
        };
        let on_card = || {
            let device = Device::all()?.first().copied().ok_or_else(|| Failure::Said("there is no CUDA device".to_owned()))?;
            let context = Context::primary(device)?;
            let card = Card { stream: Stream::new(&context)?, staging: DeviceMemory::create_private(&context, CARD_SLOT_BYTES as usize)? };
            let memory = make(context.clone());
            let len = CARD_SLOT_BYTES as usize;
            if memory.backend() == Backend::CudaVmmFd {
                DeviceMemory::create_vmm(&context, len)?.export_fd()?;
            } else {
                DeviceMemory::create_ipc(&context, len)?.ipc_handle()?;
            }
            Ok(Self { memory, card: Some(card) })
        };
        on_card().map_err(|failure: Failure| failure.to_string())
    }

    pub fn slot_bytes(&self, frame_bytes: u64) -> u64 {
        if self.card.is_some() { CARD_SLOT_BYTES } else { frame_bytes }
    }

    pub fn pool(&self, config: PoolConfig) -> Result<Pool, String> {
        Pool::create_in(config, &self.memory).map_err(|e| e.to_string())
    }

    pub fn client(&self, config: ClientConfig) -> Client {
        match self.memory.context() {
            Some(context) => Client::with_cuda(config, context.clone()),
            None => Client::new(config),
        }
    }

    /// Writes `bytes` into the slot and calls `between` when `at` of them are there. On a card all of it is work that is
    /// under way when this returns.
    pub fn write(&mut self, loaned: &mut Loaned, bytes: &[u8], at: usize, between: impl Fn()) -> Result<(), String> {
        let (first, second) = bytes.split_at(at);
        let Some(Card { stream, staging }) = &mut self.card else {
            let slot = loaned.bytes_mut();
            slot[..at].copy_from_slice(first);
            between();
            slot[at..bytes.len()].copy_from_slice(second);
            return Ok(());
        };
        let mut write = || {
            let mut slot = loaned.device_mut().ok_or_else(|| Failure::Said("a loan without device memory".to_owned()))?;
            stream.upload(bytes, &mut staging.slice_mut(0, bytes.len())?)?;
            for round in 0..ROUNDS {
                stream.fill(&mut slot.part(0, bytes.len())?, round)?;
            }
            stream.copy(&staging.slice(0, at)?, &mut slot.part(0, at)?)?;
            stream.fill(&mut slot.part(at, second.len())?, ROUNDS)?;
            between();
            stream.copy(&staging.slice(at, second.len())?, &mut slot.part(at, second.len())?)?;
            Ok(())
        };
        write().map_err(|failure: Failure| failure.to_string())
    }

    pub fn fill(&self, loaned: Loaned, layout: Layout) -> Result<Filled, String> {
        match &self.card {
            Some(card) => loaned.fill_after(layout, &card.stream),
            None => loaned.fill(layout),
        }
        .map_err(|e| e.to_string())
    }

    /// The pixels of a frame, from where they lie.
    pub fn pixels(&self, frame: &Acquired) -> Result<Vec<u8>, String> {
        match (&self.card, frame.device()) {
            (Some(card), Some(device)) => {
                let mut bytes = vec![0; device.len()];
                card.stream.download(&device, &mut bytes).map_err(|e| e.to_string())?;
                Ok(bytes)
            }
            (None, None) => Ok(frame.bytes().to_vec()),
            (_, device) => Err(format!("a frame in other memory than that of its pool: on a card: {}", device.is_some())),
        }
    }

    /// Bytes of the card that are taken by all processes; 0 for host memory, which the kernel gives back by itself.
    pub fn used(&self) -> Result<u64, String> {
        let Some(context) = self.memory.context() else { return Ok(0) };
        let (free, total) = context.memory_info().map_err(|e| e.to_string())?;
        Ok(total - free)
    }

    /// Whether no more of the card is taken than `before`.
    pub fn is_back_to(&self, before: u64) -> Result<bool, String> {
        Ok(self.used()? <= before + NOISE_BYTES)
    }
}

enum Failure {
    Cuda(gantry_cuda::CudaError),
    Said(String),
}

impl From<gantry_cuda::CudaError> for Failure {
    fn from(error: gantry_cuda::CudaError) -> Self {
        Self::Cuda(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cuda(error) => write!(f, "{error}; {}", error.hint()),
            Self::Said(text) => f.write_str(text),
        }
    }
}
