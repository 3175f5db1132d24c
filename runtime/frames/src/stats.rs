//! Counters of both ends.

use crate::{Mode, PoolId};

/// A producer's view of its pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStats {
    /// Frames published; also the next seq.
    pub published: u64,
    /// Loans that were dropped unpublished.
    pub abandoned: u64,
    /// Calls of `begin_write` that had to wait.
    pub waits: u64,
    /// Time spent in those waits, ns.
    pub waited_ns: u64,
    /// Shared words or cursors that no well-behaved process can have written.
    pub scribbles: u64,
    /// Slots put aside for good because their word was scribbled over.
    pub quarantined_slots: u32,
    /// Slots with a lease bit set now.
    pub leased_slots: u32,
    /// Slots that the producer itself holds now (loans and [`SlotHold`](crate::SlotHold)s).
    pub producer_held_slots: u32,
    /// All slots.
    pub slots: u32,
    /// The declared consumers, in the order of the configuration.
    pub consumers: Vec<ConsumerStats>,
}

/// One declared consumer, seen by the producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Its node id.
    pub name: String,
    /// Whether it is connected now.
    pub joined: bool,
    /// How often it joined.
    pub joins: u64,
    /// How often its leases were taken back after its death.
    pub reaps: u64,
    /// Lease bits cleared by those.
    pub reaped_leases: u64,
    /// Lossless: all seqs below this are acknowledged. Live: all seqs below this were seen or passed over.
    pub acked_next: u64,
}

/// A consumer's view of one pool.
///
/// `used + stale + dropped` is, exactly, the number of frames that were published from where this process began up to the newest
/// one that it saw; so is `seen + skipped`. A process that comes back begins behind the newest frame that its former self saw
/// (live) or had acknowledged (lossless).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPoolStats {
    /// The pool.
    pub pool: PoolId,
    /// Its output, as in `cam0.decode/frames`.
    pub output: String,
    /// Its mode.
    pub mode: Mode,
    /// Frames that the pool has published since this process began, told of or not.
    pub published: u64,
    /// Different seqs that a handle or the descriptor ring told of.
    pub seen: u64,
    /// Seqs below the newest seen one that nothing told of.
    pub skipped: u64,
    /// Seqs acquired at least once.
    pub used: u64,
    /// Seqs whose slot had been rewritten.
    pub stale: u64,
    /// Seqs up to the newest seen one that were neither used nor stale: lost on the way, dropped by a queue, or passed over by the
    /// node. What waits in the node counts here until it is taken.
    pub dropped: u64,
    /// Handles that came again.
    pub duplicates: u64,
    /// Seqs that came from the descriptor ring and not from a message.
    pub recovered: u64,
    /// Acquisitions refused because `max_held` slots were held.
    pub refused: u64,
    /// Slots held now.
    pub held: u32,
    /// Lossless: all seqs below this are acknowledged.
    pub acked_next: u64,
}
