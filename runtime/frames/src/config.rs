//! What a pool is asked to be.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Most consumers of one pool: the lease bits of the slot word.
pub const MAX_CONSUMERS: usize = 28;
/// Slots that a node of a graph may hold at once of each output that it reads; part of the sizing rule of its pool.
pub const NODE_MAX_HELD: u32 = 8;
/// Most slots of one pool.
pub const MAX_SLOTS: u32 = 4096;

/// What happens when consumers are slower than the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// The newest frame wins: the producer reuses the oldest slot that nobody holds and never waits.
    Live = 0,
    /// Each frame reaches each declared consumer once: the producer waits.
    Lossless = 1,
}

/// Where the slots lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Backend {
    /// Host memory: one memfd, sealed against shrinking and growing, which consumers can map only read-only.
    HostMemfd = 0,
    /// Memory of a card, from `cuMemCreate`, handed over as a file descriptor.
    CudaVmmFd = 1,
    /// Memory of a card, from `cuMemAlloc`, handed over as the 64 bytes of `cuIpcGetMemHandle`. Not on Jetson; needs a shared PID
    /// namespace.
    CudaIpcLegacy = 2,
}

impl Backend {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::HostMemfd, Self::CudaVmmFd, Self::CudaIpcLegacy].into_iter().find(|backend| *backend as u8 == code)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostMemfd => "host memory",
            Self::CudaVmmFd => "CUDA memory (VMM descriptor)",
            Self::CudaIpcLegacy => "CUDA memory (legacy IPC)",
        })
    }
}

/// A consumer that the dataflow declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its node id: the name that its [`Client`](crate::Client) joins with.
    pub name: String,
    /// Most slots that it holds at once.
    pub max_held: u32,
    /// Length of its input queue, in messages.
    pub queue_size: u32,
}

/// The wishes of a producer for one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Directory of the sockets; made with mode 0700 when missing.
    pub runtime_dir: PathBuf,
    /// Node and port, as in `cam0.decode/frames`: what messages and [`Client::find`](crate::Client::find) call this pool.
    pub output: String,
    /// Live or lossless.
    pub mode: Mode,
    /// Number of slots, at least [`PoolConfig::min_slots`].
    pub slots: u32,
    /// Bytes in one slot.
    pub slot_bytes: u64,
    /// Slots that the producer itself keeps beside the one it writes: reference frames of a decoder, loans to several threads.
    pub producer_max_held: u32,
    /// The declared consumers; nobody else may join.
    pub consumers: Vec<ConsumerSpec>,
    /// How long a declared consumer may be away while the producer needs its acknowledgement.
    pub grace: Duration,
}

impl PoolConfig {
    /// Fewest slots with which `mode` keeps its promise.
    ///
    /// Live: `1 writing + 1 newest + sum(max_held) + R + producer_max_held`, R = the largest consumer `queue_size` + 1. Two
    /// consumers that hold 2 with queues of 4 and a decoder that keeps 4: `1 + 1 + 4 + 5 + 4 = 15`.
    /// Lossless: `1 writing + max(max_held) + producer_max_held`: the slowest consumer can fill its hands and go on.
    #[must_use]
    pub fn min_slots(mode: Mode, consumers: &[ConsumerSpec], producer_max_held: u32) -> u32 {
        let held = consumers.iter().map(|consumer| consumer.max_held);
        let used = match mode {
            Mode::Live => {
                let queued = consumers.iter().map(|consumer| consumer.queue_size.saturating_add(1)).max().unwrap_or(0);
                held.fold(2u32, u32::saturating_add).saturating_add(queued)
            }
            Mode::Lossless => held.max().unwrap_or(0).saturating_add(1),
        };
        used.saturating_add(producer_max_held)
    }

    /// The sum behind [`PoolConfig::min_slots`], for people.
    pub(crate) fn terms(mode: Mode, consumers: &[ConsumerSpec], producer_max_held: u32) -> String {
        let mut terms = vec!["1 that is written".to_owned()];
        let held = |consumer: &ConsumerSpec| format!("{} in the hands of `{}`", consumer.max_held, consumer.name);
        match mode {
            Mode::Live => {
                terms.push("1 newest".to_owned());
                terms.extend(consumers.iter().map(held));
                if let Some(longest) = consumers.iter().max_by_key(|consumer| consumer.queue_size) {
                    terms.push(format!("{} in the queue of `{}` and 1 behind it", longest.queue_size, longest.name));
                }
            }
            Mode::Lossless => terms.extend(consumers.iter().max_by_key(|consumer| consumer.max_held).map(held)),
        }
        if producer_max_held > 0 {
            terms.push(format!("{producer_max_held} that the producer keeps"));
        }
        format!("{} ({mode:?} mode)", terms.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizing_rule_counts_writing_newest_held_and_queued_slots() {
        let consumer = |max_held, queue_size| ConsumerSpec { name: String::new(), max_held, queue_size };
        let consumers = [consumer(2, 4), consumer(2, 3)];
        assert_eq!(PoolConfig::min_slots(Mode::Live, &consumers, 4), 15);
        assert_eq!(PoolConfig::min_slots(Mode::Lossless, &consumers, 4), 7);
        assert_eq!(PoolConfig::min_slots(Mode::Live, &[], 0), 2);
        let named = |name: &str, max_held, queue_size| ConsumerSpec { name: name.into(), max_held, queue_size };
        let consumers = [named("resize", 2, 4), named("crop", 3, 3)];
        let live = "1 that is written + 1 newest + 2 in the hands of `resize` + 3 in the hands of `crop` + 4 in the queue of `resize` and 1 behind it";
        assert_eq!(PoolConfig::terms(Mode::Live, &consumers, 4), format!("{live} + 4 that the producer keeps (Live mode)"));
        assert_eq!(PoolConfig::terms(Mode::Lossless, &consumers, 0), "1 that is written + 3 in the hands of `crop` (Lossless mode)");
        assert_eq!(PoolConfig::min_slots(Mode::Live, &[consumer(u32::MAX, u32::MAX)], 9), u32::MAX);
    }
}
