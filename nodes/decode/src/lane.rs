//! The slots of one kind of memory: the current pool, and pools of smaller pictures whose frames may still be read.

use crate::slots::{SlotPlan, plan_slots};
use gantry_frames::{BeginWriteError, ConsumerSpec, Memory, NODE_MAX_HELD, Pool, PoolConfig, StopFlag};
use gantry_media::PoolAllocator;
use gantry_node::{Consumer, Context, Fault};
use std::sync::Arc;
use tracing::info;

/// Slots that are reserved before a packet: a packet gives one picture, VP9 and field-coded video now and then two.
const RESERVE: usize = 2;

/// What the size of a pool follows from.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Slots that the graph asks for; 0 for none.
    pub slots: u32,
    /// Memory that a computed number may take.
    pub max_bytes: u64,
    /// Frames in one message.
    pub group: u32,
    /// Cameras that share the pool.
    pub cameras: u32,
}

/// Slots of the host, or of a card.
pub struct Lane {
    memory: Memory,
    allocator: Arc<PoolAllocator>,
    retired: Vec<Pool>,
}

impl Lane {
    /// Without a pool yet.
    pub fn new(memory: Memory, stop: &StopFlag) -> Self {
        Self { memory, allocator: Arc::new(PoolAllocator::new(stop.clone())), retired: Vec::new() }
    }

    /// What decoders take their slots from.
    pub fn slots(&self) -> &Arc<PoolAllocator> {
        &self.allocator
    }

    /// Makes a pool with slots of at least `bytes`, or keeps the one there is. Each decoder keeps up to `held` slots.
    ///
    /// # Errors
    /// As [`Context::pool_in`].
    pub fn ensure(&mut self, context: &Context, bytes: u64, held: u32, wish: &Wish) -> Result<(), Fault> {
        if self.allocator.pool().is_some_and(|pool| pool.slot_bytes() >= bytes) {
            return Ok(());
        }
        let held = held.saturating_mul(wish.cameras);
        let slots = plan_slots(&SlotPlan {
            slot_bytes: bytes,
            asked: wish.slots,
            max_bytes: wish.max_bytes,
            decoder_held: held,
            group: wish.group,
            cameras: wish.cameras,
            fewest: fewest(context, held),
        });
        let pool = match &self.memory {
            Memory::Host => context.pool_holding("frames", slots, bytes, held)?,
            card => context.pool_in("frames", slots, bytes, held, card)?,
        };
        let (memory, megabytes) = (self.memory.backend(), u64::from(slots) * bytes / 1_000_000);
        info!(slots, slot_bytes = bytes, megabytes, %memory, "pool made");
        if let Some(old) = self.allocator.set_pool(pool) {
            info!(slot_bytes = old.slot_bytes(), "pictures became larger; the pool before stays until its frames are read");
            self.retired.push(old);
        }
        Ok(())
    }

    /// Sees to it that a decoder does not have to wait for slots; false if one would have to now.
    ///
    /// # Errors
    /// The pool is closed, or a reader stays away.
    pub fn try_reserve(&self) -> Result<bool, BeginWriteError> {
        self.allocator.try_reserve(RESERVE).or_else(stopped)
    }

    /// [`Lane::try_reserve`], waiting for readers.
    ///
    /// # Errors
    /// As [`Lane::try_reserve`].
    pub fn reserve(&self) -> Result<(), BeginWriteError> {
        self.allocator.reserve(RESERVE).or_else(stopped)
    }

    /// Waits until all frames are read.
    ///
    /// # Errors
    /// A reader stays away.
    pub fn drain(&mut self, stop: &StopFlag) -> Result<(), Fault> {
        self.allocator.release_reserve();
        for pool in self.retired.drain(..).chain(self.allocator.pool()) {
            pool.drain(stop, None)?;
        }
        Ok(())
    }
}

/// Fewest slots that the mode needs for the consumers that the graph declares.
fn fewest(context: &Context, held: u32) -> u32 {
    let spec = |c: &Consumer| ConsumerSpec { name: c.node_id.clone(), max_held: NODE_MAX_HELD, queue_size: c.queue_size };
    let consumers: Vec<ConsumerSpec> = context.consumers("frames").iter().map(spec).collect();
    PoolConfig::min_slots(context.mode, &consumers, held)
}

/// Stopping is no fault: what follows sees the flag.
fn stopped<T: Default>(error: BeginWriteError) -> Result<T, BeginWriteError> {
    if matches!(error, BeginWriteError::Stopped { .. }) { Ok(T::default()) } else { Err(error) }
}
