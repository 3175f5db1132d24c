//! Memory that pictures are decoded into.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, Weak};

/// Memory for one picture, owned by the decoder until it gives the picture out.
///
/// # Safety
/// `as_mut_ptr` points to `len` bytes that stay valid and at the same address while the slot or one of its holds lives,
/// also when the slot is moved; nobody else writes them until both are gone.
pub unsafe trait Slot: Send + 'static {
    /// Keeps the memory from being reused; FFmpeg has one per reference to the picture's buffer.
    type Hold: Send + 'static;
    /// First byte.
    fn as_mut_ptr(&self) -> *mut u8;
    /// Bytes.
    fn len(&self) -> usize;
    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// One more reason not to reuse the memory.
    fn hold(&self) -> Self::Hold;
}

/// Why there is no slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllocateError {
    /// Slots of this size are too small; the decoder then says so and waits for a larger allocator.
    TooSmall {
        /// Bytes of a slot.
        found: usize,
    },
    /// Nothing to give: stopped, or a consumer is gone.
    Refused(String),
}

/// Gives memory to a decoder. Called from the thread that decodes.
pub trait FrameAllocator: Send + Sync + 'static {
    /// What it gives.
    type Slot: Slot;
    /// A slot of at least `bytes`.
    ///
    /// # Errors
    /// [`AllocateError`]; the decoder goes on with memory of its own, and reports when it gives the picture out.
    fn allocate(&self, bytes: usize) -> Result<Self::Slot, AllocateError>;
}

// SAFETY: a loaned slot lies in the mapping of its pool, which the loan and its holds keep alive and at its place; the
// pool gives the slot to nobody while either lives.
unsafe impl Slot for gantry_frames::Loaned {
    type Hold = gantry_frames::SlotHold;
    fn as_mut_ptr(&self) -> *mut u8 {
        gantry_frames::Loaned::as_mut_ptr(self)
    }
    fn len(&self) -> usize {
        gantry_frames::Loaned::len(self)
    }
    fn hold(&self) -> Self::Hold {
        gantry_frames::Loaned::hold(self)
    }
}

/// Most free blocks that a [`HeapAllocator`] keeps.
const MOST_FREE: usize = 32;

/// Slots from the heap, for tools that need no pool. Blocks whose picture is gone are used again: fresh memory for every
/// picture would be mapped and zeroed by the kernel page by page. Clones share their free blocks.
#[derive(Clone, Debug, Default)]
pub struct HeapAllocator {
    free: Arc<Mutex<Vec<Memory>>>,
}

/// A block on the heap, aligned to 64 bytes.
#[derive(Clone, Debug)]
pub struct HeapSlot(Arc<Block>);

#[derive(Debug)]
struct Block {
    /// Always there until the drop.
    memory: Option<Memory>,
    home: Weak<Mutex<Vec<Memory>>>,
}

#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the block is plain memory owned by one `Memory`; writing through it is ruled by the contract of `Slot`.
unsafe impl Send for Memory {}
// SAFETY: as above: shared access only reads.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `allocate` with this very layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let home = self.home.upgrade();
        let Some(mut free) = home.as_ref().and_then(|h| h.lock().ok()) else { return };
        if free.len() < MOST_FREE {
            free.extend(self.memory.take());
        }
    }
}

impl Block {
    fn start(&self) -> *mut u8 {
        self.memory.as_ref().map_or(std::ptr::null_mut(), |m| m.start.as_ptr())
    }

    fn len(&self) -> usize {
        self.memory.as_ref().map_or(0, |m| m.layout.size())
    }
}

impl HeapSlot {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let Some(memory) = &self.0.memory else { return &[] };
        // SAFETY: the block has that many initialised (zeroed at least) bytes; a decoder that still refers to it only reads.
        unsafe { std::slice::from_raw_parts(memory.start.as_ptr(), memory.layout.size()) }
    }
}

// SAFETY: the block lives as long as any clone of the `Arc` (slot or hold), never moves, and goes back to the free blocks only
// when all of them are gone.
unsafe impl Slot for HeapSlot {
    type Hold = HeapSlot;
    fn as_mut_ptr(&self) -> *mut u8 {
        self.0.start()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn hold(&self) -> HeapSlot {
        self.clone()
    }
}

impl FrameAllocator for HeapAllocator {
    type Slot = HeapSlot;
    fn allocate(&self, bytes: usize) -> Result<HeapSlot, AllocateError> {
        let layout = Layout::from_size_align(bytes.max(1), 64).map_err(|e| AllocateError::Refused(e.to_string()))?;
        let used_before = self.free.lock().ok().and_then(|mut free| {
            // Another size is of another stream or from before a change of size.
            free.retain(|m| m.layout == layout);
            free.pop()
        });
        let memory = match used_before {
            Some(memory) => memory,
            None => {
                // SAFETY: the size is not 0.
                let start = unsafe { alloc_zeroed(layout) };
                Memory { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), layout }
            }
        };
        Ok(HeapSlot(Arc::new(Block { memory: Some(memory), home: Arc::downgrade(&self.free) })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_used_again_once_slot_and_holds_are_gone_and_never_before() {
        let heap = HeapAllocator::default();
        let slot = heap.allocate(1000).unwrap();
        let (first, hold) = (slot.as_mut_ptr(), slot.hold());
        drop(slot);
        let other = heap.allocate(1000).unwrap();
        assert_ne!(other.as_mut_ptr(), first, "a hold is left");
        drop(hold);
        let again = heap.allocate(1000).unwrap();
        assert_eq!(again.as_mut_ptr(), first);
        assert_eq!((again.len(), again.bytes().len(), first as usize % 64), (1000, 1000, 0));
        drop((other, again));
        let large = heap.allocate(2000).unwrap();
        assert_eq!(large.len(), 2000);
        assert!(heap.free.lock().unwrap().is_empty(), "blocks of another size are given back");
        let outlives = heap.allocate(10).unwrap();
        drop(heap);
        assert_eq!(outlives.bytes(), [0; 10]);
    }
}
