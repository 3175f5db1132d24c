//! What can go wrong, one enum per operation.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use gantry_cuda::{CudaError, DeviceUuid};

use crate::{Backend, HandleError, LayoutError, MAX_CONSUMERS, MAX_SLOTS, Mode, PoolId};

/// A pool could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Too few slots for the mode's promise.
    #[error("pool `{output}`: {slots} slots are too few, {needed} are needed: {terms}")]
    TooFewSlots {
        /// The pool's output.
        output: String,
        /// Slots asked for.
        slots: u32,
        /// Slots that [`PoolConfig::min_slots`](crate::PoolConfig::min_slots) demands.
        needed: u32,
        /// What each of them is for.
        terms: String,
    },
    /// More slots or bytes than a pool can have.
    #[error("pool `{output}`: {slots} slots of {slot_bytes} bytes are out of range (1 to {MAX_SLOTS} slots of 1 byte to 1 GiB)")]
    Size {
        /// The pool's output.
        output: String,
        /// Slots asked for.
        slots: u32,
        /// Bytes per slot asked for.
        slot_bytes: u64,
    },
    /// More consumers than lease bits, or two of one name, or an unusable name.
    #[error("pool `{output}`: outputs and at most {MAX_CONSUMERS} consumers need different names of 1 to 128 bytes: {why}")]
    Names {
        /// The pool's output.
        output: String,
        /// What is wrong.
        why: String,
    },
    /// The runtime directory is no safe place for the sockets.
    #[error("pool `{output}`: runtime directory `{path}`: {why}", path = path.display())]
    RuntimeDir {
        /// The pool's output.
        output: String,
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system refused a step.
    #[error("pool `{output}`: {step} failed")]
    System {
        /// The pool's output.
        output: String,
        /// What was tried.
        step: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The card's driver refused a step.
    #[error("pool `{output}`: {step} failed ({hint})")]
    Cuda {
        /// The pool's output.
        output: String,
        /// What was tried.
        step: &'static str,
        /// What to do.
        hint: &'static str,
        /// The driver's answer.
        #[source]
        source: Box<CudaError>,
    },
}

/// A slot was not filled; it is free again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// The layout does not hold or does not fit.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The slot lies on a card, where writing ends later than the call that asks for it.
    #[error("slot {slot} of pool `{output}` lies on a card: call `fill_after` with the stream that writes it")]
    NeedsStream {
        /// The pool's output.
        output: String,
        /// The slot.
        slot: u32,
    },
    /// The card did not finish what was to be waited for.
    #[error("slot {slot} of pool `{output}`: the work that writes it failed ({hint})")]
    Cuda {
        /// The pool's output.
        output: String,
        /// The slot.
        slot: u32,
        /// What to do.
        hint: &'static str,
        /// The driver's answer.
        #[source]
        source: Box<CudaError>,
    },
}

/// No slot to write into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeginWriteError {
    /// The stop flag was set while waiting.
    #[error("pool `{output}`: stopped while waiting for a free slot")]
    Stopped {
        /// The pool's output.
        output: String,
    },
    /// The pool was closed.
    #[error("pool `{output}`: closed")]
    Closed {
        /// The pool's output.
        output: String,
    },
    /// Lossless: a declared consumer was away for longer than `grace` while its acknowledgement was needed.
    #[error("pool `{output}`: consumer `{consumer}` has been away for more than {grace:?} and {unacked} frames wait for it")]
    GraceExpired {
        /// The pool's output.
        output: String,
        /// The consumer's node id.
        consumer: String,
        /// The configured grace.
        grace: Duration,
        /// Frames published and not acknowledged by it.
        unacked: u64,
    },
    /// Live: every slot is written, leased, held or quarantined, against the sizing rule.
    #[error(
        "pool `{output}`: none of {slots} slots can be reused ({leased} leased, {held} held by the producer, {quarantined} quarantined)"
    )]
    Exhausted {
        /// The pool's output.
        output: String,
        /// All slots.
        slots: u32,
        /// Slots with a lease bit.
        leased: u32,
        /// Slots loaned or held in this process.
        held: u32,
        /// Slots put aside.
        quarantined: u32,
    },
}

/// The last frames were not read by everybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// The stop flag was set while waiting.
    #[error("pool `{output}`: stopped while consumer `{consumer}` had {unacked} frames to read")]
    Stopped {
        /// The pool's output.
        output: String,
        /// A consumer that is not done.
        consumer: String,
        /// Frames it has not acknowledged (live: slots it may hold).
        unacked: u64,
    },
    /// The time given is over.
    #[error("pool `{output}`: consumer `{consumer}` left {unacked} frames unread in the time given")]
    TimedOut {
        /// The pool's output.
        output: String,
        /// A consumer that is not done.
        consumer: String,
        /// Frames it has not acknowledged (live: slots it may hold).
        unacked: u64,
    },
    /// A declared consumer was away for longer than `grace`.
    #[error("pool `{output}`: consumer `{consumer}` has been away for more than {grace:?} and {unacked} frames wait for it")]
    GraceExpired {
        /// The pool's output.
        output: String,
        /// The consumer's node id.
        consumer: String,
        /// The configured grace.
        grace: Duration,
        /// Frames published and not acknowledged by it.
        unacked: u64,
    },
}

/// A pool could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No consumer of this name is declared.
    #[error("pool `{output}` declares no consumer `{consumer}`")]
    Undeclared {
        /// The pool's output.
        output: String,
        /// The name that this process joined with.
        consumer: String,
    },
    /// Another process has joined under this name.
    #[error("pool `{output}`: consumer `{consumer}` is joined already by process {pid}")]
    InUse {
        /// The pool's output.
        output: String,
        /// The name that this process joined with.
        consumer: String,
        /// The other process.
        pid: u32,
    },
    /// The consumer wants to hold more than is declared.
    #[error("pool `{output}`: consumer `{consumer}` wants to hold {asked} slots, {declared} are declared")]
    MaxHeld {
        /// The pool's output.
        output: String,
        /// The name that this process joined with.
        consumer: String,
        /// Slots that this process wants to hold.
        asked: u32,
        /// Slots declared for it.
        declared: u32,
    },
    /// A pool that may drop frames and a consumer that must have all of them, or the other way round.
    #[error(
        "pool `{output}` is {its:?} and `{consumer}` reads in {own:?} mode: set `GANTRY_MODE` once, in the `env` at the top of the graph"
    )]
    OtherMode {
        /// The pool's output.
        output: String,
        /// The name that this process joined with.
        consumer: String,
        /// The pool's mode.
        its: Mode,
        /// The client's mode.
        own: Mode,
    },
    /// The runtime directory could not be asked for an output.
    #[error("pool of output `{output}` could not be looked up")]
    Find {
        /// The output.
        output: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// What came over the socket, or the memory behind it, is not what this version expects.
    #[error("pool {pool}: {why}")]
    Protocol {
        /// The pool.
        pool: PoolId,
        /// What is wrong.
        why: String,
    },
    /// The slots lie on a card and this client was made for host memory.
    #[error(
        "pool `{output}` lies in {backend} and `{consumer}` reads host memory: set `GANTRY_MEMORY: host` at the node that makes it, or use \
         a node that reads frames on the card"
    )]
    NeedsCuda {
        /// The pool's output.
        output: String,
        /// The name that this process joined with.
        consumer: String,
        /// Where the slots lie.
        backend: Backend,
    },
    /// The slots lie on another card than the one that this client works on.
    #[error("pool `{output}` lies on device {its}, `{consumer}` works on {own}: give both nodes the same `CUDA_VISIBLE_DEVICES`")]
    OtherDevice {
        /// The pool's output.
        output: String,
        /// The name that this process joined with.
        consumer: String,
        /// The pool's device.
        its: DeviceUuid,
        /// The client's device.
        own: DeviceUuid,
    },
    /// The card's driver does not map the slots.
    #[error("pool {pool} of output `{output}`: mapping its device memory failed ({hint})")]
    Cuda {
        /// The pool.
        pool: PoolId,
        /// The pool's output.
        output: String,
        /// What to do.
        hint: &'static str,
        /// The driver's answer.
        #[source]
        source: Box<CudaError>,
    },
    /// The system refused a step.
    #[error("pool {pool}: {step} failed")]
    System {
        /// The pool.
        pool: PoolId,
        /// What was tried.
        step: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// A frame could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The slot holds another frame by now: in live mode a dropped frame, counted.
    #[error("frame with seq {seq} is stale, its slot was reused")]
    Stale {
        /// The seq asked for.
        seq: u64,
    },
    /// The pool's producer closed it or is gone.
    #[error("pool {pool} is closed")]
    Closed {
        /// The pool.
        pool: PoolId,
    },
    /// This process holds `max_held` slots already.
    #[error("seq {seq} refused: {max_held} slots are held already")]
    Refused {
        /// The seq asked for.
        seq: u64,
        /// Most slots that may be held at once.
        max_held: u32,
    },
    /// The handle's bytes are no handle.
    #[error("malformed handle")]
    Malformed(#[from] HandleError),
    /// The pool could not be joined.
    #[error("joining the pool failed")]
    Join(#[from] JoinError),
}
