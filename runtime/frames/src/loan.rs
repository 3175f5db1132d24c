//! Slots in the producer's hands.
#![allow(clippy::missing_errors_doc, clippy::todo, unused_variables, missing_docs)]
use crate::*;

/// A slot to write into. Dropped unpublished, the slot is free again.
#[derive(Debug)]
pub struct Loaned;
/// A written slot with its layout.
#[derive(Debug)]
pub struct Filled;
/// While one lives its slot is not written again, also after publishing.
#[derive(Debug, Clone)]
pub struct SlotHold;

/// A frame that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What the message carries.
    pub handle: Handle,
    /// Its number in the pool, consecutive from 0.
    pub seq: u64,
}

impl Loaned {
    pub fn slot(&self) -> u32 {
        todo!()
    }
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        todo!()
    }
    pub fn as_mut_ptr(&self) -> *mut u8 {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        false
    }
    pub fn hold(&self) -> SlotHold {
        todo!()
    }
    pub fn fill(self, layout: Layout) -> Result<Filled, LayoutError> {
        todo!()
    }
}
impl Filled {
    pub fn layout(&self) -> &Layout {
        todo!()
    }
    pub fn publish(self, meta: &FrameMeta) -> Published {
        todo!()
    }
}
impl SlotHold {
    pub fn slot(&self) -> u32 {
        todo!()
    }
}
