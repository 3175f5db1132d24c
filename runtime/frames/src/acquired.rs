//! A slot in a consumer's hands.
#![allow(clippy::missing_errors_doc, clippy::todo, unused_variables, missing_docs)]
use crate::*;

/// A frame that stays as it is until this is dropped. Dropping releases the lease without acknowledging.
#[derive(Debug)]
pub struct Acquired;

impl Acquired {
    pub fn bytes(&self) -> &[u8] {
        todo!()
    }
    pub fn plane(&self, index: usize) -> Option<&[u8]> {
        todo!()
    }
    pub fn layout(&self) -> &Layout {
        todo!()
    }
    pub fn seq(&self) -> u64 {
        todo!()
    }
    pub fn handle(&self) -> &Handle {
        todo!()
    }
    pub fn published_ns(&self) -> u64 {
        todo!()
    }
    pub fn frame_meta(&self) -> &FrameMeta {
        todo!()
    }
    pub fn ack(self) {
        todo!()
    }
}
