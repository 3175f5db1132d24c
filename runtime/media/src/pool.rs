//! Slots of a shared-memory pool for a decoder.

use crate::{AllocateError, FrameAllocator};
use gantry_frames::{BeginWriteError, Loaned, Pool, StopFlag};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Gives slots of the current pool, first those that were reserved.
///
/// Reserve before each packet: then the decoder does not wait inside FFmpeg, and what is finished can be sent before waiting.
#[derive(Debug)]
pub struct PoolAllocator {
    state: Mutex<State>,
    stop: StopFlag,
}

#[derive(Debug, Default)]
struct State {
    pool: Option<Pool>,
    spares: Vec<Loaned>,
}

impl PoolAllocator {
    /// Without a pool yet; `stop` ends waiting.
    #[must_use]
    pub fn new(stop: StopFlag) -> Self {
        Self { state: Mutex::default(), stop }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes slots from `pool` from now on and gives the pool before it back, whose frames may still be read.
    pub fn set_pool(&self, pool: Pool) -> Option<Pool> {
        let mut state = self.state();
        state.spares.clear();
        state.pool.replace(pool)
    }

    /// The current pool.
    #[must_use]
    pub fn pool(&self) -> Option<Pool> {
        self.state().pool.clone()
    }

    /// Reserves up to `count` slots without waiting; true if as many are reserved (or there is no pool yet).
    ///
    /// # Errors
    /// As [`Pool::try_begin_write`].
    pub fn try_reserve(&self, count: usize) -> Result<bool, BeginWriteError> {
        let mut state = self.state();
        let Some(pool) = state.pool.clone() else { return Ok(true) };
        while state.spares.len() < count {
            match pool.try_begin_write()? {
                Some(slot) => state.spares.push(slot),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Reserves `count` slots, waiting for consumers.
    ///
    /// # Errors
    /// As [`Pool::begin_write`].
    pub fn reserve(&self, count: usize) -> Result<(), BeginWriteError> {
        let Some(pool) = self.pool() else { return Ok(()) };
        while self.state().spares.len() < count {
            let slot = pool.begin_write(&self.stop)?;
            self.state().spares.push(slot);
        }
        Ok(())
    }

    /// Gives reserved slots back.
    pub fn release_reserve(&self) {
        self.state().spares.clear();
    }
}

impl FrameAllocator for PoolAllocator {
    type Slot = Loaned;

    fn allocate(&self, bytes: usize) -> Result<Loaned, AllocateError> {
        let pool = {
            let mut state = self.state();
            let Some(pool) = state.pool.clone() else { return Err(AllocateError::TooSmall { found: 0 }) };
            if pool.slot_bytes() < bytes as u64 {
                return Err(AllocateError::TooSmall { found: pool.slot_bytes() as usize });
            }
            if let Some(slot) = state.spares.pop() {
                return Ok(slot);
            }
            pool
        };
        pool.begin_write(&self.stop).map_err(|e| AllocateError::Refused(e.to_string()))
    }
}
