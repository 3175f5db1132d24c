//! The producer's end.
#![allow(clippy::missing_errors_doc, clippy::todo, unused_variables, missing_docs)]
use crate::*;
use std::time::Duration;

/// One output's slots. Clones share the pool.
#[derive(Clone, Debug)]
pub struct Pool;

impl Pool {
    pub fn create(config: PoolConfig) -> Result<Self, PoolError> {
        todo!()
    }
    pub fn id(&self) -> PoolId {
        todo!()
    }
    pub fn output(&self) -> &str {
        todo!()
    }
    pub fn mode(&self) -> Mode {
        todo!()
    }
    pub fn slot_bytes(&self) -> u64 {
        todo!()
    }
    /// Live: oldest unleased slot, never waits. Lossless: waits.
    pub fn begin_write(&self, stop: &StopFlag) -> Result<Loaned, BeginWriteError> {
        todo!()
    }
    pub fn try_begin_write(&self) -> Result<Option<Loaned>, BeginWriteError> {
        todo!()
    }
    /// Waits until all declared consumers acked the last seq (live: until nothing is leased).
    pub fn drain(&self, stop: &StopFlag, timeout: Option<Duration>) -> Result<(), DrainError> {
        todo!()
    }
    /// The newest published frame, to ring its doorbell again.
    pub fn newest(&self) -> Option<(Handle, FrameMeta)> {
        todo!()
    }
    pub fn stats(&self) -> PoolStats {
        todo!()
    }
    pub fn close(&self) {
        todo!()
    }
}
