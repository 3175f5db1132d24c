//! Slots in the producer's hands: loaned, then filled, then published; and held as a reference.
//!
//! ```text
//! Loaned --fill--> Filled --publish--> Published        a Loaned or Filled that is dropped gives its slot back
//!    \--hold--> SlotHold (any number)                   no slot with a SlotHold is written again, whatever became of the loan
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gantry_cuda::{CudaError, DeviceSliceMut, Stream};
use rustix::time::ClockId;

use crate::handle::Descriptor;
use crate::pool::Inner;
use crate::word::{self, State};
use crate::{FillError, FrameMeta, Handle, Layout, LayoutError};

/// A slot to write into, from [`Pool::begin_write`](crate::Pool::begin_write). Dropped unpublished, the slot is free again.
pub struct Loaned {
    loan: Loan,
}

/// A written slot with its layout, to be published or dropped.
pub struct Filled {
    loan: Loan,
    layout: Layout,
    len: u64,
}

/// A frame that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What the message carries.
    pub handle: Handle,
    /// Its number in the pool, consecutive from 0 in the order of publishing.
    pub seq: u64,
}

/// While one lives its slot is not written again, also after the frame was published and acknowledged: decoders keep reference
/// frames. Keeps the memory mapped even when the pool is gone.
pub struct SlotHold {
    inner: Arc<Inner>,
    slot: u32,
}

/// The slot in WRITING; ends it on drop unless `publish` did.
struct Loan {
    inner: Arc<Inner>,
    slot: u32,
    generation: u32,
    open: bool,
    /// No work on the slot is under way on a card.
    settled: bool,
}

impl Loaned {
    pub(crate) fn new(inner: Arc<Inner>, slot: u32, generation: u32) -> Self {
        Self { loan: Loan { inner, slot, generation, open: true, settled: false } }
    }

    /// Index of the slot.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.loan.slot
    }

    /// The whole slot; holds whatever frame was there before. Starts on a memory page. Empty for a slot on a card
    /// ([`Loaned::device_mut`]).
    #[allow(unsafe_code)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let inner = &self.loan.inner;
        // SAFETY: this loan is the only one of a slot in WRITING: consumers get no lease on it and the producer's book gives it
        // out once; `&mut self` makes one slice at a time; the mapping lives in `inner`. What was written through `as_mut_ptr`
        // is the pointer's user's care. No `SlotHold` of an earlier frame exists: the book skips slots that have one.
        let bytes = inner.data.host().and_then(|data| unsafe { data.slice_mut(inner.slot_start(self.loan.slot), self.len()) });
        bytes.unwrap_or_default()
    }

    /// The whole slot, on the card; `None` for host memory. Work on it may still be under way when the borrow ends: it is waited for by
    /// [`Loaned::fill_after`], and when the loan is dropped.
    #[must_use]
    pub fn device_mut(&mut self) -> Option<DeviceSliceMut<'_>> {
        let inner = &self.loan.inner;
        // In bounds and writable: the producer's own allocation has `slots` strides, each of at least `len` bytes.
        inner.data.device()?.slice_mut(inner.slot_start(self.loan.slot), self.len()).ok()
    }

    /// Address of the slot's first byte, for a decoder that writes from its own threads. [`Loaned::len`] bytes may be written
    /// until this loan is published or dropped, and read for as long as a [`Loaned::hold`] of it lives. Null for a slot on a card.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        let inner = &self.loan.inner;
        let pointer = inner.data.host().and_then(|data| data.pointer(inner.slot_start(self.loan.slot), self.len()));
        pointer.unwrap_or(std::ptr::null_mut())
    }

    /// Bytes of the slot, as the pool was made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.loan.inner.geometry.slot_bytes as usize
    }

    /// Never: a slot has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the slot from being written again after this loan ends.
    #[must_use]
    pub fn hold(&self) -> SlotHold {
        SlotHold::new(self.loan.inner.clone(), self.loan.slot)
    }

    /// Says what was written. The layout's offsets count from the start of the slot.
    ///
    /// # Errors
    /// [`FillError`] if the layout does not hold or does not fit the slot, or if the slot lies on a card; it is free again then.
    pub fn fill(self, layout: Layout) -> Result<Filled, FillError> {
        if self.loan.inner.data.device().is_some() {
            return Err(FillError::NeedsStream { output: self.loan.inner.output().to_owned(), slot: self.loan.slot });
        }
        self.filled(layout)
    }

    /// As [`Loaned::fill`], once all work given to `stream` so far is done: what is published is complete. Several slots that one
    /// stream writes cost one wait, if all the work is given before the first is filled.
    ///
    /// # Errors
    /// [`FillError`] if the work failed, the stream is of another device than the slot, or the layout does not fit; the slot is free
    /// again then.
    pub fn fill_after(self, layout: Layout, stream: &Stream) -> Result<Filled, FillError> {
        let inner = &self.loan.inner;
        let own = inner.data.device().is_none_or(|memory| memory.context() == stream.context());
        let done = if own { stream.synchronize() } else { Err(CudaError::OtherDevice { operation: "fill_after" }) };
        if let Err(source) = done {
            return Err(FillError::Cuda {
                output: inner.output().to_owned(),
                slot: self.loan.slot,
                hint: source.hint(),
                source: source.into(),
            });
        }
        self.filled(layout)
    }

    fn filled(mut self, layout: Layout) -> Result<Filled, FillError> {
        let (needed, available) = (layout.checked_len()?, self.loan.inner.geometry.slot_bytes);
        if needed > available {
            return Err(LayoutError::TooLarge { needed, available }.into());
        }
        self.loan.settled = true;
        Ok(Filled { loan: self.loan, layout, len: needed })
    }
}

impl Filled {
    /// What was written, as long as the layout says. Empty for a slot on a card.
    #[must_use]
    #[allow(unsafe_code)]
    pub fn bytes(&self) -> &[u8] {
        let inner = &self.loan.inner;
        // SAFETY: this loan is the only one of a slot in WRITING, so nobody else makes a mutable slice of it; `fill` ended the borrows of
        // its own, and a decoder that keeps a hold of the picture only reads it. `len` is at most the slot's; the mapping lives in `inner`.
        let bytes = inner.data.host().and_then(|data| unsafe { data.slice(inner.slot_start(self.loan.slot), self.len as usize) });
        bytes.unwrap_or_default()
    }

    /// What [`Loaned::fill`] was told.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Index of the slot.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.loan.slot
    }

    /// Keeps the slot from being written again after this loan ends.
    #[must_use]
    pub fn hold(&self) -> SlotHold {
        SlotHold::new(self.loan.inner.clone(), self.loan.slot)
    }

    /// Lets consumers have the frame. Gives it the pool's next seq and allocates nothing; the caller sends the message. After
    /// [`Pool::close`](crate::Pool::close) nobody can take it any more, and that is no error here.
    pub fn publish(mut self, meta: &FrameMeta) -> Published {
        let Loan { inner, slot, generation, .. } = &self.loan;
        let (slot, generation) = (*slot, *generation);
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        let mut book = inner.book();
        let seq = book.next_seq;
        let handle = Handle::encode(&Descriptor {
            pool: inner.geometry.id,
            backend: inner.geometry.backend,
            mode: inner.geometry.mode,
            seq,
            slot,
            generation,
            device_uuid: inner.geometry.device_uuid,
            offset: 0,
            len: self.len,
            layout: self.layout,
            published_ns: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64,
        });
        book.next_seq += 1;
        book.newest = Some((handle, *meta));
        let closed = book.closed;
        let entry = &mut book.slots[slot as usize];
        (entry.state, entry.seq) = (State::Published, seq);
        inner.descriptors.describe(slot, &handle, meta);
        fault_point!("producer.before_word");
        // The word before the head: whoever reads the head finds the slot published.
        let scribbled = !closed && word::end_write(inner.leases.slot(slot), generation, State::Published);
        book.scribbles += u64::from(scribbled);
        fault_point!("producer.before_ring");
        inner.descriptors.announce(seq, slot, generation);
        fault_point!("producer.after_ring");
        drop(book);
        self.loan.open = false;
        Published { handle, seq }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        if !self.settled
            && let Err(error) = self.inner.data.settle()
        {
            // The context is lost and with it all work on the slot; every later step of this producer says so, too.
            tracing::error!(output = self.inner.output(), slot = self.slot, %error, hint = error.hint(), "a loan ended with a failed card");
        }
        {
            let mut book = self.inner.book();
            book.abandoned += 1;
            book.slots[self.slot as usize].state = State::Free;
            let scribbled = !book.closed && word::end_write(self.inner.leases.slot(self.slot), self.generation, State::Free);
            book.scribbles += u64::from(scribbled);
        }
        self.inner.leases.notify();
    }
}

impl SlotHold {
    fn new(inner: Arc<Inner>, slot: u32) -> Self {
        inner.holds[slot as usize].fetch_add(1, Ordering::Relaxed);
        Self { inner, slot }
    }

    /// Index of the slot.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

impl Clone for SlotHold {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.slot)
    }
}

impl Drop for SlotHold {
    fn drop(&mut self) {
        // Release: what the holder read happens before the book gives the slot out again (it loads with Acquire).
        if self.inner.holds[self.slot as usize].fetch_sub(1, Ordering::Release) == 1 {
            self.inner.leases.notify();
        }
    }
}

impl fmt::Debug for Loaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaned(slot {})", self.loan.slot)
    }
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filled(slot {}, {} bytes)", self.loan.slot, self.len)
    }
}

impl fmt::Debug for SlotHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotHold(slot {})", self.slot)
    }
}
