//! The consumer's end, one per process.
#![allow(clippy::missing_errors_doc, clippy::todo, unused_variables, missing_docs)]
use crate::*;
use std::path::PathBuf;

/// Who joins pools, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Directory of the sockets, the producers' one.
    pub runtime_dir: PathBuf,
    /// This node's id, as the producers declare it.
    pub name: String,
    /// Most slots held at once, per pool; at most what the producer declares.
    pub max_held: u32,
}

/// Joins pools and takes frames. Clones share it.
#[derive(Clone, Debug)]
pub struct Client;

impl Client {
    pub fn new(config: ClientConfig) -> Self {
        todo!()
    }
    /// Call once for each handle in a message, first: pushes the handles that are new, in order of seq.
    /// Lossless: also those before it that no message told of; a duplicate pushes nothing. Live: the handle itself, unless a duplicate.
    pub fn observe(&self, handle: &Handle, new: &mut Vec<Handle>) -> Result<(), AcquireError> {
        todo!()
    }
    /// On a 20 ms tick, lossless: pushes the handles published since, for which no message came. Live: nothing.
    pub fn recover(&self, pool: &PoolId, new: &mut Vec<Handle>) -> Result<(), AcquireError> {
        todo!()
    }
    /// [`Client::recover`] for every joined pool.
    pub fn recover_all(&self, new: &mut Vec<Handle>) {
        todo!()
    }
    /// Joins the pool of `output` (as in `cam0.decode/frames`) without waiting for a first handle; None while there is none.
    pub fn find(&self, output: &str) -> Result<Option<PoolId>, AcquireError> {
        todo!()
    }
    pub fn acquire(&self, handle: &Handle) -> Result<Acquired, AcquireError> {
        todo!()
    }
    /// What the descriptor page says about a frame, without taking it; None when its slot was reused.
    pub fn frame_meta(&self, handle: &Handle) -> Result<Option<FrameMeta>, AcquireError> {
        todo!()
    }
    /// Done with this frame. In any order; live: does nothing.
    pub fn ack(&self, handle: &Handle) -> Result<(), AcquireError> {
        todo!()
    }
    pub fn stats(&self) -> Vec<ClientPoolStats> {
        todo!()
    }
}
