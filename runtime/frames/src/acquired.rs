//! A frame in a consumer's hands.

use std::fmt;
use std::sync::Arc;

use gantry_cuda::{CudaError, DeviceSlice, Stream};

use crate::handle::Descriptor;
use crate::import::Import;
use crate::{FrameMeta, Handle, Layout};

/// A frame that stays as it is until this is dropped. Dropping gives the lease back without acknowledging; in lossless mode a
/// frame that is not acknowledged, here or by [`Client::ack`](crate::Client::ack), is never overwritten.
///
/// Keeps the mapping alive, so it may outlive the client and the producer.
pub struct Acquired {
    pub(crate) import: Arc<Import>,
    handle: Handle,
    descriptor: Descriptor,
    meta: FrameMeta,
    /// No work on the frame is under way on a card.
    settled: bool,
}

impl Acquired {
    /// The caller has a share of the slot's lease, which the new value owns.
    pub(crate) fn new(import: Arc<Import>, handle: Handle, descriptor: Descriptor, meta: FrameMeta) -> Self {
        Self { import, handle, descriptor, meta, settled: false }
    }

    /// The whole payload, as long as the layout says. Rows start where [`Acquired::layout`] says. Empty for a frame on a card, which
    /// only a client made with [`Client::with_cuda`](crate::Client::with_cuda) is given ([`Acquired::device`]).
    #[must_use]
    #[allow(unsafe_code)]
    pub fn bytes(&self) -> &[u8] {
        let d = &self.descriptor;
        // In bounds: `Import::check` found slot < slots and offset + len <= slot bytes, which fit usize.
        let start = d.slot as usize * self.import.geometry.slot_stride() + d.offset as usize;
        // SAFETY: the slot's lease bit of this process is set until `self` drops, and its word was found in the handle's
        // generation and PUBLISHED, so the producer does not begin to write; other processes have the memory read-only (sealed
        // against writable mappings). The slice borrows `self`, which keeps the mapping.
        let bytes = self.import.data.host().and_then(|data| unsafe { data.slice(start, d.len as usize) });
        bytes.unwrap_or_default()
    }

    /// The whole payload on the card; `None` for host memory. Work that reads it may be under way when the borrow ends: it is waited for
    /// by [`Acquired::ack_after`], [`Acquired::release_after`], and when this is dropped.
    #[must_use]
    pub fn device(&self) -> Option<DeviceSlice<'_>> {
        self.device_part(0, self.descriptor.len)
    }

    /// Rows of plane `index` on the card, as [`Acquired::plane`].
    #[must_use]
    pub fn device_plane(&self, index: usize) -> Option<DeviceSlice<'_>> {
        let plane = self.layout().as_image()?.planes().get(index)?;
        self.device_part(plane.offset, u64::from(plane.stride) * u64::from(plane.rows))
    }

    fn device_part(&self, offset: u64, len: u64) -> Option<DeviceSlice<'_>> {
        let d = &self.descriptor;
        // In bounds: as in `bytes`; planes lie in the payload by the layout's own check.
        let start = d.slot as usize * self.import.geometry.slot_stride() + (d.offset + offset) as usize;
        self.import.data.device()?.slice(start, len as usize).ok()
    }

    /// Rows of plane `index`: `rows * stride` bytes, padding included. `None` for a tensor or beyond the last plane.
    #[must_use]
    pub fn plane(&self, index: usize) -> Option<&[u8]> {
        let plane = self.layout().as_image()?.planes().get(index)?;
        let start = plane.offset as usize;
        self.bytes().get(start..start + plane.stride as usize * plane.rows as usize)
    }

    /// How the payload is to be read.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.descriptor.layout
    }

    /// Number of the frame in its pool.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.descriptor.seq
    }

    /// The handle that this was acquired with.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// When it was published, ns of the monotonic clock.
    #[must_use]
    pub fn published_ns(&self) -> u64 {
        self.descriptor.published_ns
    }

    /// What its producer said about the frame.
    #[must_use]
    pub fn frame_meta(&self) -> &FrameMeta {
        &self.meta
    }

    /// [`Acquired::ack`], once all work given to `stream` so far is done. Of several frames that one stream reads only the first waits.
    ///
    /// # Errors
    /// What the driver says when the work failed; the frame is given back and not acknowledged.
    pub fn ack_after(mut self, stream: &Stream) -> Result<(), CudaError> {
        self.wait_for(stream)?;
        self.ack();
        Ok(())
    }

    /// Gives the lease back without acknowledging, once all work given to `stream` so far is done. Dropping waits for the work of
    /// all streams of the process instead.
    ///
    /// # Errors
    /// What the driver says when the work failed; the frame is given back all the same.
    pub fn release_after(mut self, stream: &Stream) -> Result<(), CudaError> {
        self.wait_for(stream)
    }

    fn wait_for(&mut self, stream: &Stream) -> Result<(), CudaError> {
        if self.import.data.device().is_some_and(|memory| memory.context() != stream.context()) {
            return Err(CudaError::OtherDevice { operation: "ack_after" });
        }
        stream.synchronize()?;
        self.settled = true;
        Ok(())
    }

    /// Gives the lease back and acknowledges: this consumer's own output for the frame is out. Live: only gives back.
    pub fn ack(self) {
        if let Err(error) = self.import.ack(self.seq()) {
            // The seq was checked when it was acquired; only a scribbled descriptor page leads here.
            tracing::error!(pool = %self.descriptor.pool, seq = self.seq(), %error, "frame could not be acknowledged");
        }
    }
}

impl Drop for Acquired {
    fn drop(&mut self) {
        if !self.settled
            && let Err(error) = self.import.data.settle()
        {
            // The context is lost and with it all work that read the frame: the lease can go back.
            tracing::error!(seq = self.seq(), output = self.import.output, %error, hint = error.hint(), "a frame was given back by a failed card");
        }
        self.import.release(self.descriptor.slot);
    }
}

impl fmt::Debug for Acquired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acquired({} seq {} slot {})", self.descriptor.pool, self.seq(), self.descriptor.slot)
    }
}
