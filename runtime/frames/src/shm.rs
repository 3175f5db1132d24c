//! Memory shared between processes: memfds and their mappings. The one place that maps.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// Seals that a consumer insists on: without them a shrunk file would turn a read into SIGBUS.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A mapped memfd. The pages are committed when they are first touched.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    base: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: the mapping belongs to this value until drop and is reachable from any thread; access goes through atomics, or through
// `slice`, `slice_mut` and `pointer`, whose callers answer for races.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

/// Who may write to a memfd once it was mapped by its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Only the maker: every later writable mapping is refused by the kernel.
    MakerWrites,
    /// Whoever has the descriptor.
    AllWrite,
}

impl SharedMemory {
    /// Makes a memfd of `len` zero bytes, maps it writable and seals it.
    pub(crate) fn create(name: &str, len: usize, sharing: Sharing) -> io::Result<(Self, OwnedFd)> {
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING))?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        let memory = Self::map(fd.as_fd(), len, true)?;
        let seals = match sharing {
            // FUTURE_WRITE leaves the mapping just made writable.
            Sharing::MakerWrites => SIZE_SEALS | SealFlags::FUTURE_WRITE,
            Sharing::AllWrite => SIZE_SEALS,
        };
        rustix::fs::fcntl_add_seals(&fd, seals)?;
        Ok((memory, fd))
    }

    /// Maps a memfd that came from another process, after checking size and seals.
    pub(crate) fn import(fd: &OwnedFd, len: usize, sharing: Sharing) -> io::Result<Self> {
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        if !rustix::fs::fcntl_get_seals(fd)?.contains(SIZE_SEALS) {
            return Err(invalid("memory is not sealed against shrinking"));
        }
        if rustix::fs::fstat(fd)?.st_size as u64 != len as u64 {
            return Err(invalid("memory has another size than announced"));
        }
        Self::map(fd.as_fd(), len, sharing == Sharing::AllWrite)
    }

    fn map(fd: BorrowedFd<'_>, len: usize, writable: bool) -> io::Result<Self> {
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address that the kernel picks replaces nothing; `len` is the file's size and the file
        // cannot shrink (sealed here or checked by `import`), so every byte stays backed.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, fd, 0) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { base, len, writable })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The memory as words, for pages that are touched only through atomics.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the base is page-aligned, `len / 8` words lie inside the mapping, which lives as long as `self`; any bits are a
        // valid word; a read-only mapping is only loaded from (the descriptor page's readers have no store).
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast::<AtomicU64>(), self.len / 8) }
    }

    /// Half of word `index`, for futexes. That word is used in no other way.
    pub(crate) fn futex(&self, index: usize) -> &AtomicU32 {
        assert!(index < self.len / 8);
        // SAFETY: inside the mapping by the check above, aligned to 8 bytes, alive as long as `self`.
        unsafe { &*self.base.as_ptr().add(8 * index).cast::<AtomicU32>() }
    }

    /// Bytes `start..start + len`; `None` outside the mapping.
    ///
    /// # Safety
    /// Nobody writes to these bytes while the slice lives: the caller holds the slot's lease, or is its only writer.
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> Option<&[u8]> {
        let at = self.pointer(start, len)?;
        // SAFETY: in bounds by `pointer`; bytes of any value are valid; no writer by the caller's promise.
        Some(unsafe { std::slice::from_raw_parts(at, len) })
    }

    /// Bytes `start..start + len` to write; `None` outside the mapping or when it is read-only.
    ///
    /// # Safety
    /// Nobody else reads or writes these bytes through a reference while the slice lives: the caller has the slot in WRITING and
    /// gives out one slice at a time.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice_mut(&self, start: usize, len: usize) -> Option<&mut [u8]> {
        let at = self.pointer(start, len).filter(|_| self.writable)?;
        // SAFETY: in bounds by `pointer`, writable by the check; exclusive by the caller's promise.
        Some(unsafe { std::slice::from_raw_parts_mut(at, len) })
    }

    /// Address of byte `start`, if `len` bytes from there lie in the mapping.
    pub(crate) fn pointer(&self, start: usize, len: usize) -> Option<*mut u8> {
        let end = start.checked_add(len)?;
        if end > self.len {
            return None;
        }
        Some(self.base.as_ptr().wrapping_add(start))
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this address and length, unmapped once; every reference borrowed `self`.
        if let Err(error) = unsafe { rustix::mm::munmap(self.base.as_ptr().cast::<c_void>(), self.len) } {
            tracing::error!(%error, len = self.len, "shared memory could not be unmapped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_cannot_map_the_data_writable_nor_resize_it() {
        let (maker, fd) = SharedMemory::create("test", 8192, Sharing::MakerWrites).unwrap();
        assert!(SharedMemory::import(&fd, 8192, Sharing::AllWrite).is_err(), "sealed against new writers");
        assert!(rustix::fs::ftruncate(&fd, 4096).is_err() && rustix::fs::ftruncate(&fd, 16384).is_err());
        assert!(SharedMemory::import(&fd, 4096, Sharing::MakerWrites).is_err(), "announced size differs");
        let reader = SharedMemory::import(&fd, 8192, Sharing::MakerWrites).unwrap();
        maker.words()[3].store(7, std::sync::atomic::Ordering::Release);
        assert_eq!(reader.words()[3].load(std::sync::atomic::Ordering::Acquire), 7);
        assert!(reader.pointer(8192, 0).is_some() && reader.pointer(8192, 1).is_none());
        assert!(reader.pointer(usize::MAX, 2).is_none());
    }

    #[test]
    fn an_unsealed_file_is_not_imported() {
        let fd = rustix::fs::memfd_create("plain", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, 4096).unwrap();
        assert!(SharedMemory::import(&fd, 4096, Sharing::MakerWrites).is_err());
    }
}
