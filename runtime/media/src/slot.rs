//! Memory that pictures are decoded into.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

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

/// Slots from the heap, for tools that need no pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapAllocator;

/// A block on the heap, aligned to 64 bytes.
#[derive(Clone, Debug)]
pub struct HeapSlot(Arc<Block>);

#[derive(Debug)]
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the block is plain memory owned by the `Arc`; writing through it is ruled by the contract of `Slot`.
unsafe impl Send for Block {}
// SAFETY: as above: shared access only reads.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `allocate` with this very layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl HeapSlot {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the block has that many initialised (zeroed at least) bytes; a decoder that still refers to it only reads.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.layout.size()) }
    }
}

// SAFETY: the block lives as long as any clone of the `Arc` (slot or hold) and never moves.
unsafe impl Slot for HeapSlot {
    type Hold = HeapSlot;
    fn as_mut_ptr(&self) -> *mut u8 {
        self.0.start.as_ptr()
    }
    fn len(&self) -> usize {
        self.0.layout.size()
    }
    fn hold(&self) -> HeapSlot {
        self.clone()
    }
}

impl FrameAllocator for HeapAllocator {
    type Slot = HeapSlot;
    fn allocate(&self, bytes: usize) -> Result<HeapSlot, AllocateError> {
        let layout = Layout::from_size_align(bytes.max(1), 64).map_err(|e| AllocateError::Refused(e.to_string()))?;
        // SAFETY: the size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Ok(HeapSlot(Arc::new(Block { start, layout })))
    }
}
