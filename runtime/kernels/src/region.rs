//! Bytes of the memory that kernels run in.

use gantry_cuda::{DeviceSlice, DeviceSliceMut};
use gantry_images::PixelsError;

use crate::KernelError;

/// Kernels find everything at multiples of this.
const ALIGN: u64 = 256;

/// A range of addresses. A plan only computes with it; whoever runs the plan answers for the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub address: u64,
    /// Bytes.
    pub len: u64,
}

impl From<&DeviceSlice<'_>> for Region {
    fn from(slice: &DeviceSlice<'_>) -> Self {
        Self { address: slice.address(), len: slice.len() as u64 }
    }
}

impl From<&DeviceSliceMut<'_>> for Region {
    fn from(slice: &DeviceSliceMut<'_>) -> Self {
        Self { address: slice.address(), len: slice.len() as u64 }
    }
}

impl Region {
    /// The rest from `offset` on; nothing where that is beyond the end.
    #[must_use]
    pub fn from_offset(self, offset: u64) -> Self {
        let offset = offset.min(self.len);
        Self { address: self.address + offset, len: self.len - offset }
    }

    /// The address, if `rows` rows of `row_bytes` bytes, `stride` apart, lie in the region.
    ///
    /// # Errors
    /// [`PixelsError`] if they do not, or if there are none.
    pub(crate) fn rows(self, what: &'static str, row_bytes: u64, rows: u64, stride: u64) -> Result<u64, KernelError> {
        if row_bytes == 0 || rows == 0 {
            return Err(PixelsError::Empty { width: row_bytes as usize, height: rows as usize }.into());
        }
        let needed = stride.checked_mul(rows - 1).and_then(|n| n.checked_add(row_bytes));
        if stride < row_bytes || needed.is_none_or(|n| n > self.len) {
            let [found, rows, row_bytes, stride] = [self.len, rows, row_bytes, stride].map(|n| n as usize);
            return Err(PixelsError::TooShort { what, found, rows, row_bytes, stride }.into());
        }
        Ok(self.address)
    }

    /// The address, if `bytes` bytes lie in the region.
    ///
    /// # Errors
    /// As [`Region::rows`].
    pub(crate) fn bytes(self, what: &'static str, bytes: u64) -> Result<u64, KernelError> {
        self.rows(what, bytes, 1, bytes)
    }
}

/// Memory for what kernels hand to each other, given out from the front.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    region: Region,
    used: u64,
}

impl Scratch {
    /// Gives out `region`, which starts at a multiple of 256.
    #[must_use]
    pub fn new(region: Region) -> Self {
        Self { region, used: 0 }
    }

    /// Gives out nothing and finds out how much a plan takes.
    #[must_use]
    pub fn counting() -> Self {
        Self::new(Region { address: 0, len: u64::MAX })
    }

    /// Bytes given out.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The next `bytes` bytes.
    ///
    /// # Errors
    /// [`KernelError::Scratch`] if they are not there.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<Region, KernelError> {
        let end = self.used.checked_add(bytes).and_then(|end| end.checked_next_multiple_of(ALIGN)).filter(|end| *end <= self.region.len);
        let end = end.ok_or(KernelError::Scratch { needed: self.used.saturating_add(bytes), found: self.region.len })?;
        let taken = Region { address: self.region.address + self.used, len: bytes };
        self.used = end;
        Ok(taken)
    }
}
