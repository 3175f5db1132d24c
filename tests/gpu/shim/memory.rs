//! Addresses, what lies behind them, and who may touch it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{
    CUdeviceptr, CUipcMemHandle, CUmemAccess_flags, CUmemAccessDesc, CUmemAllocationGranularity_flags, CUmemAllocationHandleType,
    CUmemAllocationProp, CUmemGenericAllocationHandle, CUmemLocationType, CUresult,
};
use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::card::{self, Block, TOTAL};
use crate::{
    CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_INVALID_CONTEXT, CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_SUPPORTED,
    CUDA_ERROR_OPERATING_SYSTEM, CUDA_ERROR_OUT_OF_MEMORY, answer, current, lacks,
};

const UNIT: usize = 2 << 20;
/// Added to the place in the host's address space where the shim and its kernels find the bytes. No address of the host: the kernel gives none above 2^47.
const OFFSET: u64 = 1 << 52;
const IPC_MAGIC: u64 = 0x6761_6e74_7279_6970;

#[derive(PartialEq, Eq)]
enum Kind {
    Reserved,
    Allocated,
    Opened,
}

struct Range {
    len: usize,
    kind: Kind,
    block: Option<Arc<Block>>,
    // Before the space that it lies in.
    view: Option<View>,
    space: Space,
}

/// Addresses that nobody else gets.
struct Space {
    base: usize,
    len: usize,
}

/// Where the host's side of the shim touches a range.
struct View {
    base: usize,
    len: usize,
    is_writable: bool,
}

#[derive(Default)]
struct State {
    ranges: BTreeMap<u64, Range>,
    handles: HashMap<u64, Arc<Block>>,
    next_handle: u64,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    let mut state: MutexGuard<'_, Option<State>> = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    work(state.get_or_insert_default())
}

impl Space {
    fn new(len: usize) -> Result<Self, CUresult> {
        // SAFETY: a new mapping; nothing that is mapped is replaced.
        let base = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE) };
        Ok(Self { base: base.map_err(|_| CUDA_ERROR_OUT_OF_MEMORY)?.expose_provenance(), len })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: the range that this reserved; it goes with `self`.
        let _ = unsafe { rustix::mm::munmap(ptr::with_exposed_provenance_mut(self.base), self.len) };
    }
}

impl View {
    /// At the start of `space`, in whose place it lies until it is dropped.
    fn new(space: &Space, block: &Block, is_writable: bool) -> Result<Self, CUresult> {
        let protection = if is_writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let (at, len) = (ptr::with_exposed_provenance_mut(space.base), space.len.min(block.size));
        // SAFETY: `at` lies in the range that this reserved and `len` ends in it; nothing of the host points there.
        let mapped = unsafe { rustix::mm::mmap(at, len, protection, MapFlags::SHARED | MapFlags::FIXED, &block.fd, 0) };
        mapped.map_err(|_| CUDA_ERROR_OPERATING_SYSTEM)?;
        Ok(Self { base: space.base, len, is_writable })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let at = ptr::with_exposed_provenance_mut(self.base);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the range that this reserved, which becomes inaccessible again and stays reserved.
        let _ = unsafe { rustix::mm::mmap_anonymous(at, self.len, ProtFlags::empty(), flags) };
    }
}

impl State {
    fn reserve(&mut self, len: usize, kind: Kind) -> Result<u64, CUresult> {
        let space = Space::new(len)?;
        let at = OFFSET + space.base as u64;
        self.ranges.insert(at, Range { len, kind, block: None, view: None, space });
        Ok(at)
    }

    fn map(&mut self, kind: Kind, block: Arc<Block>) -> Result<u64, CUresult> {
        let at = self.reserve(block.size, kind)?;
        let range = self.ranges.get_mut(&at).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        range.view = Some(View::new(&range.space, &block, true)?);
        range.block = Some(block);
        Ok(at)
    }

    fn remove(&mut self, at: u64, kind: Kind) -> Result<Range, CUresult> {
        match self.ranges.get(&at) {
            Some(range) if range.kind == kind => self.ranges.remove(&at).ok_or(CUDA_ERROR_INVALID_VALUE),
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    fn holding(&self, at: u64) -> Option<(u64, &Range)> {
        let (start, range) = self.ranges.range(..=at).next_back()?;
        (at < start + range.len as u64).then_some((*start, range))
    }
}

/// Does `work` on the bytes at `at`, now: whoever unmapped them meanwhile gets the error that a card gives.
pub fn touch(at: u64, len: usize, writes: bool, work: impl FnOnce(*mut u8)) -> Result<(), CUresult> {
    with(|state| {
        let (start, range) = state.holding(at).ok_or(CUDA_ERROR_ILLEGAL_ADDRESS)?;
        let offset = (at - start) as usize;
        match &range.view {
            Some(view) if offset + len <= view.len && (view.is_writable || !writes) => {
                work(ptr::with_exposed_provenance_mut(view.base + offset));
                Ok(())
            }
            _ => Err(CUDA_ERROR_ILLEGAL_ADDRESS),
        }
    })
}

/// Does `work` while nothing is mapped or unmapped.
pub fn with_everything_in_place<T>(work: impl FnOnce() -> T) -> T {
    with(|_| work())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    answer(current().map(|card| unsafe { (*free, *total) = (TOTAL - card::used(card), TOTAL) }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetAllocationGranularity(
    unit: *mut usize,
    _prop: *const CUmemAllocationProp,
    _option: CUmemAllocationGranularity_flags,
) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    unsafe { *unit = UNIT };
    answer(Ok(()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemCreate(
    handle: *mut CUmemGenericAllocationHandle,
    size: usize,
    prop: *const CUmemAllocationProp,
    flags: c_ulonglong,
) -> CUresult {
    let create = || {
        // SAFETY: the caller gives readable properties.
        let prop = unsafe { *prop };
        let is_fd = prop.requestedHandleTypes == CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
        let on_device = prop.location.type_ == CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
        if flags != 0 || size == 0 || !size.is_multiple_of(UNIT) || !is_fd || !on_device {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if lacks("vmm-create") {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let block = Arc::new(Block::new(prop.location.id as usize, size)?);
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *handle = keep(block) };
        Ok(())
    };
    answer(create())
}

fn keep(block: Arc<Block>) -> u64 {
    with(|state| {
        state.next_handle += 1;
        state.handles.insert(state.next_handle, block);
        state.next_handle
    })
}

fn kept(handle: u64) -> Result<Arc<Block>, CUresult> {
    with(|state| state.handles.get(&handle).cloned().ok_or(CUDA_ERROR_INVALID_HANDLE))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemExportToShareableHandle(
    out: *mut c_void,
    handle: CUmemGenericAllocationHandle,
    _type: CUmemAllocationHandleType,
    _flags: c_ulonglong,
) -> CUresult {
    let export = || {
        // As the driver may do it: without close-on-exec.
        let fd = rustix::io::dup(&kept(handle)?.fd).map_err(|_| CUDA_ERROR_OPERATING_SYSTEM)?;
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *out.cast::<c_int>() = fd.into_raw_fd() };
        Ok(())
    };
    answer(export())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemImportFromShareableHandle(
    handle: *mut CUmemGenericAllocationHandle,
    os: *mut c_void,
    _type: CUmemAllocationHandleType,
) -> CUresult {
    let import = || {
        if lacks("vmm-import") {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        // SAFETY: the caller gives an open descriptor, borrowed for this call and duplicated below.
        let fd = unsafe { BorrowedFd::borrow_raw(os.addr() as c_int) };
        let own = rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *handle = keep(Arc::new(Block::import(own, current()?)?)) };
        Ok(())
    };
    answer(import())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRelease(handle: CUmemGenericAllocationHandle) -> CUresult {
    answer(with(|state| state.handles.remove(&handle).map(drop).ok_or(CUDA_ERROR_INVALID_HANDLE)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAddressReserve(
    at: *mut CUdeviceptr,
    size: usize,
    _alignment: usize,
    _wish: CUdeviceptr,
    _flags: c_ulonglong,
) -> CUresult {
    // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
    answer(with(|state| state.reserve(size, Kind::Reserved)).map(|address| unsafe { *at = address }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAddressFree(at: CUdeviceptr, _size: usize) -> CUresult {
    answer(with(|state| match state.remove(at, Kind::Reserved)? {
        Range { block: None, .. } => Ok(()),
        // Still mapped.
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemMap(
    at: CUdeviceptr,
    size: usize,
    offset: usize,
    handle: CUmemGenericAllocationHandle,
    _flags: c_ulonglong,
) -> CUresult {
    let map = || {
        let block = kept(handle)?;
        with(|state| match state.ranges.get_mut(&at) {
            Some(range) if range.len == size && range.block.is_none() && offset == 0 && size <= block.size => {
                range.block = Some(block);
                Ok(())
            }
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        })
    };
    answer(map())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemSetAccess(at: CUdeviceptr, size: usize, access: *const CUmemAccessDesc, count: usize) -> CUresult {
    // SAFETY: the caller gives a readable description of one access.
    let is_writable = unsafe { (*access).flags } == CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    answer(with(|state| match state.ranges.get_mut(&at) {
        Some(Range { len, block: Some(block), view, space, .. }) if *len == size && count == 1 => {
            // The one before would take the new one's place with it.
            *view = None;
            *view = Some(View::new(space, block, is_writable)?);
            Ok(())
        }
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemUnmap(at: CUdeviceptr, size: usize) -> CUresult {
    answer(with(|state| match state.ranges.get_mut(&at) {
        Some(range) if range.kind == Kind::Reserved && range.len == size && range.block.is_some() => {
            (range.block, range.view) = (None, None);
            Ok(())
        }
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(at: *mut CUdeviceptr, size: usize) -> CUresult {
    let allocate = || {
        let block = Arc::new(Block::new(current()?, size)?);
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *at = with(|state| state.map(Kind::Allocated, block))? };
        Ok(())
    };
    answer(allocate())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(at: CUdeviceptr) -> CUresult {
    let range = with(|state| state.remove(at, Kind::Allocated));
    if let Ok(Range { block: Some(block), .. }) = &range
        && card::is_mapped_elsewhere(block)
    {
        eprintln!("driver shim: memory was freed while another process had it mapped, which the driver does not define");
        std::process::abort();
    }
    answer(range.map(drop))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuIpcGetMemHandle(handle: *mut CUipcMemHandle, at: CUdeviceptr) -> CUresult {
    let export = || {
        if lacks("ipc-export") {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let fd = with(|state| match state.ranges.get(&at) {
            Some(Range { kind: Kind::Allocated, block: Some(block), .. }) => Ok(block.fd.as_raw_fd()),
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        })?;
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { (*handle).reserved = to_bytes(fd) };
        Ok(())
    };
    answer(export())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuIpcOpenMemHandle_v2(at: *mut CUdeviceptr, handle: CUipcMemHandle, flags: c_uint) -> CUresult {
    let open = || {
        if lacks("ipc-open") || flags != 1 {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let block = Arc::new(Block::import(opened(handle.reserved)?, current()?)?);
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *at = with(|state| state.map(Kind::Opened, block))? };
        Ok(())
    };
    answer(open())
}

/// The 64 bytes of a handle of ours.
pub fn to_bytes(fd: RawFd) -> [c_char; 64] {
    let words = [IPC_MAGIC, u64::from(std::process::id()), fd as u64];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0) as c_char)
}

/// The descriptor that a handle of another process names.
pub fn opened(bytes: [c_char; 64]) -> Result<OwnedFd, CUresult> {
    let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[8 * at + i] as u8));
    if word(0) != IPC_MAGIC {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if word(1) == u64::from(std::process::id()) {
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    }
    let path = format!("/proc/{}/fd/{}", word(1), word(2));
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|_| CUDA_ERROR_INVALID_VALUE)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuIpcCloseMemHandle(at: CUdeviceptr) -> CUresult {
    answer(with(|state| state.remove(at, Kind::Opened)).map(drop))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetAddressRange_v2(start: *mut CUdeviceptr, size: *mut usize, at: CUdeviceptr) -> CUresult {
    answer(with(|state| {
        let (found, range) = state.holding(at).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { (*start, *size) = (found, range.len) };
        Ok(())
    }))
}
