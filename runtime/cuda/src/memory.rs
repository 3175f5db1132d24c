//! Device memory that another process can map: exported as a file descriptor (VMM) or as 64 bytes (legacy IPC).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fmt;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use cudarc::driver::sys::{
    self, CUdeviceptr, CUipcMem_flags, CUipcMemHandle, CUmemAccess_flags, CUmemAccessDesc, CUmemAllocationGranularity_flags,
    CUmemAllocationHandleType, CUmemAllocationProp, CUmemAllocationProp_st__bindgen_ty_1, CUmemAllocationType,
    CUmemGenericAllocationHandle, CUmemLocation, CUmemLocationType,
};

use crate::driver::{check, log_drop};
use crate::{Context, CudaError};

/// Bytes of the handle of [`DeviceMemory::ipc_handle`].
pub const IPC_HANDLE_BYTES: usize = 64;
/// The driver's own unit for `cuMemAlloc`. Whole units keep a neighbour's allocation out of what another process maps.
const IPC_UNIT: usize = 2 << 20;
const POSIX_FD: CUmemAllocationHandleType = CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

/// What this process may do with a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    Write,
    /// Only read, enforced by the card's page tables.
    Read,
    /// Only read by agreement: the back end maps writable or not at all.
    ReadByAgreement,
}

/// One allocation or one import, mapped at one device address.
///
/// Other processes that imported it keep VMM memory alive after this is dropped; memory of the legacy IPC is gone for them then.
pub struct DeviceMemory {
    context: Context,
    base: CUdeviceptr,
    /// Bytes that were asked for.
    len: usize,
    access: Access,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Vmm { handle: CUmemGenericAllocationHandle, mapped: usize },
    IpcOwned,
    IpcOpened,
}

/// Part of a [`DeviceMemory`], to read. Device memory is touched by the device alone, so a race gives wrong pixels and is never undefined
/// behaviour of this process.
#[derive(Debug, Clone, Copy)]
pub struct DeviceSlice<'a> {
    memory: &'a DeviceMemory,
    start: usize,
    len: usize,
}

/// Part of a [`DeviceMemory`], to write.
#[derive(Debug)]
pub struct DeviceSliceMut<'a>(DeviceSlice<'a>);

/// Takes a VMM allocation apart again when a later step fails; `Vmm::keep` hands it over.
struct Vmm {
    handle: CUmemGenericAllocationHandle,
    base: CUdeviceptr,
    len: usize,
    is_mapped: bool,
}

impl DeviceMemory {
    /// Allocates at least `len` bytes that [`DeviceMemory::export_fd`] can hand over. Bytes are not zeroed.
    ///
    /// # Errors
    /// What the driver says: no memory, or a card or container without this kind of handle.
    pub fn create_vmm(context: &Context, len: usize) -> Result<Self, CudaError> {
        context.bind()?;
        let prop = properties(context);
        let size = whole_units(context, len)?;
        let mut handle = 0;
        // SAFETY: `prop` is complete, with unused fields zero; `size` is a multiple of the granularity; writes one handle.
        check("cuMemCreate", unsafe { sys::cuMemCreate(&mut handle, size, &prop, 0) })?;
        let vmm = Vmm::map(handle, size)?;
        vmm.allow(context, CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE)?;
        Ok(vmm.keep(context, len, Access::Write))
    }

    /// A descriptor of VMM memory, for [`DeviceMemory::import_vmm`] in another process; close-on-exec.
    ///
    /// # Errors
    /// [`CudaError::Refused`] for memory of the legacy IPC, or what the driver says.
    pub fn export_fd(&self) -> Result<OwnedFd, CudaError> {
        self.context.bind()?;
        let Kind::Vmm { handle, .. } = self.kind else {
            return Err(CudaError::Refused {
                operation: "cuMemExportToShareableHandle",
                why: "the memory is of the legacy IPC".to_owned(),
            });
        };
        let mut fd: i32 = -1;
        let at = (&raw mut fd).cast::<c_void>();
        // SAFETY: `handle` lives as long as `self`; for this type the function writes one int.
        check("cuMemExportToShareableHandle", unsafe { sys::cuMemExportToShareableHandle(at, handle, POSIX_FD, 0) })?;
        // SAFETY: a descriptor that the driver just opened for the caller, who is to close it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // The driver's flags are not documented: the copy is close-on-exec for certain, and the first one is closed here.
        fd.try_clone().map_err(|error| CudaError::Refused { operation: "F_DUPFD_CLOEXEC", why: error.to_string() })
    }

    /// Maps `len` bytes of what another process exported, to read. The descriptor may be closed afterwards.
    ///
    /// # Errors
    /// What the driver says, also if the descriptor is no CUDA memory or has less than `len` bytes.
    pub fn import_vmm(context: &Context, fd: BorrowedFd<'_>, len: usize) -> Result<Self, CudaError> {
        context.bind()?;
        let size = whole_units(context, len)?;
        let mut handle = 0;
        let os = fd.as_raw_fd() as usize as *mut c_void;
        // SAFETY: for this type the pointer carries the descriptor's number, which the driver does not keep; writes one handle.
        check("cuMemImportFromShareableHandle", unsafe { sys::cuMemImportFromShareableHandle(&mut handle, os, POSIX_FD) })?;
        let vmm = Vmm::map(handle, size)?;
        let access = match vmm.allow(context, CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READ) {
            Ok(()) => Access::Read,
            Err(error) => {
                tracing::warn!(%error, "imported CUDA memory cannot be mapped read-only here, it is mapped writable");
                vmm.allow(context, CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE)?;
                Access::ReadByAgreement
            }
        };
        Ok(vmm.keep(context, len, access))
    }

    /// Allocates at least `len` bytes that [`DeviceMemory::ipc_handle`] can hand over. Bytes are not zeroed.
    ///
    /// # Errors
    /// What the driver says.
    pub fn create_ipc(context: &Context, len: usize) -> Result<Self, CudaError> {
        context.bind()?;
        let size = len.max(1).checked_next_multiple_of(IPC_UNIT).ok_or(CudaError::Bounds {
            operation: "cuMemAlloc_v2",
            asked: len,
            available: isize::MAX as usize,
        })?;
        let mut base = 0;
        // SAFETY: the context is current; writes one address; freed once, by `Drop`.
        check("cuMemAlloc_v2", unsafe { sys::cuMemAlloc_v2(&mut base, size) })?;
        Ok(Self { context: context.clone(), base, len, access: Access::Write, kind: Kind::IpcOwned })
    }

    /// Allocates at least `len` bytes for this process alone: what kernels hand to each other. Works where neither way of handing over does.
    ///
    /// # Errors
    /// What the driver says.
    pub fn create_private(context: &Context, len: usize) -> Result<Self, CudaError> {
        Self::create_ipc(context, len)
    }

    /// The 64 bytes that [`DeviceMemory::open_ipc`] takes in another process. Whoever knows them can map the memory.
    ///
    /// # Errors
    /// What the driver says; VMM memory is refused by it.
    pub fn ipc_handle(&self) -> Result<[u8; IPC_HANDLE_BYTES], CudaError> {
        self.context.bind()?;
        let mut handle = CUipcMemHandle { reserved: [0; IPC_HANDLE_BYTES] };
        // SAFETY: `base` is an address of this process's driver; writes 64 bytes.
        check("cuIpcGetMemHandle", unsafe { sys::cuIpcGetMemHandle(&mut handle, self.base) })?;
        Ok(handle.reserved.map(|byte| byte as u8))
    }

    /// Maps what another process exported. Not for the exporting process itself, which has the memory already.
    ///
    /// # Errors
    /// What the driver says, and [`CudaError::Bounds`] if the allocation has less than `len` bytes.
    pub fn open_ipc(context: &Context, handle: [u8; IPC_HANDLE_BYTES], len: usize) -> Result<Self, CudaError> {
        context.bind()?;
        let raw = CUipcMemHandle { reserved: handle.map(|byte| byte as _) };
        let lazy = CUipcMem_flags::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS as u32;
        let mut base = 0;
        // SAFETY: the context is current; the driver checks the 64 bytes; writes one address; closed once, by `Drop`.
        check("cuIpcOpenMemHandle_v2", unsafe { sys::cuIpcOpenMemHandle_v2(&mut base, raw, lazy) })?;
        let memory = Self { context: context.clone(), base, len, access: Access::ReadByAgreement, kind: Kind::IpcOpened };
        let (mut start, mut size) = (0, 0);
        // SAFETY: `base` was just mapped; writes one address and one size.
        check("cuMemGetAddressRange_v2", unsafe { sys::cuMemGetAddressRange_v2(&mut start, &mut size, base) })?;
        // Counted from where the handle points, so that a handle into the middle cannot reach beyond the end.
        let available = start.saturating_add(size as u64).saturating_sub(base) as usize;
        if available < len {
            return Err(CudaError::Bounds { operation: "cuIpcOpenMemHandle_v2", asked: len, available });
        }
        Ok(memory)
    }

    /// Bytes that were asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What this process may do with it.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// The context that it is mapped in.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// `len` bytes from `start`, to read.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] beyond the end.
    pub fn slice(&self, start: usize, len: usize) -> Result<DeviceSlice<'_>, CudaError> {
        DeviceSlice { memory: self, start: 0, len: self.len }.part(start, len)
    }

    /// `len` bytes from `start`, to write. Who writes when is agreed between the users of the memory.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] beyond the end, [`CudaError::Refused`] if this process may only read.
    pub fn slice_mut(&self, start: usize, len: usize) -> Result<DeviceSliceMut<'_>, CudaError> {
        if self.access != Access::Write {
            return Err(CudaError::Refused { operation: "slice_mut", why: "imported memory is only for reading".to_owned() });
        }
        self.slice(start, len).map(DeviceSliceMut)
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // Work that still reads or writes it ends first; after a failed kernel the driver stops all work of the context.
        log_drop(self.context.synchronize());
        match self.kind {
            Kind::Vmm { handle, mapped } => drop(Vmm { handle, base: self.base, len: mapped, is_mapped: true }),
            // SAFETY: allocated by `create_ipc`, freed once.
            Kind::IpcOwned => log_drop(check("cuMemFree_v2", unsafe { sys::cuMemFree_v2(self.base) })),
            // SAFETY: mapped by `open_ipc`, closed once.
            Kind::IpcOpened => log_drop(check("cuIpcCloseMemHandle", unsafe { sys::cuIpcCloseMemHandle(self.base) })),
        }
    }
}

impl fmt::Debug for DeviceMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceMemory({} bytes on {}, {:?})", self.len, self.context.device().uuid(), self.kind)
    }
}

impl Vmm {
    /// Maps all of `handle`; releases it if that fails.
    fn map(handle: CUmemGenericAllocationHandle, len: usize) -> Result<Self, CudaError> {
        let mut vmm = Self { handle, base: 0, len, is_mapped: false };
        // SAFETY: `len` is a multiple of the granularity, alignment 0 means the driver's own; writes one address.
        check("cuMemAddressReserve", unsafe { sys::cuMemAddressReserve(&mut vmm.base, len, 0, 0, 0) })?;
        // SAFETY: the whole reserved range, at offset 0; the driver refuses a handle with fewer bytes.
        check("cuMemMap", unsafe { sys::cuMemMap(vmm.base, len, 0, handle, 0) })?;
        vmm.is_mapped = true;
        Ok(vmm)
    }

    fn allow(&self, context: &Context, flags: CUmemAccess_flags) -> Result<(), CudaError> {
        let access = CUmemAccessDesc { location: location(context), flags };
        // SAFETY: the range is mapped in full; one description.
        check("cuMemSetAccess", unsafe { sys::cuMemSetAccess(self.base, self.len, &access, 1) })
    }

    fn keep(self, context: &Context, len: usize, access: Access) -> DeviceMemory {
        let vmm = std::mem::ManuallyDrop::new(self);
        let kind = Kind::Vmm { handle: vmm.handle, mapped: vmm.len };
        DeviceMemory { context: context.clone(), base: vmm.base, len, access, kind }
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        if self.is_mapped {
            // SAFETY: mapped by `map` with this range, unmapped once; the context's work is done (see `DeviceMemory`).
            log_drop(check("cuMemUnmap", unsafe { sys::cuMemUnmap(self.base, self.len) }));
        }
        if self.base != 0 {
            // SAFETY: reserved by `map` with this range and not mapped any more.
            log_drop(check("cuMemAddressFree", unsafe { sys::cuMemAddressFree(self.base, self.len) }));
        }
        // SAFETY: from cuMemCreate or cuMemImportFromShareableHandle, released once.
        log_drop(check("cuMemRelease", unsafe { sys::cuMemRelease(self.handle) }));
    }
}

fn location(context: &Context) -> CUmemLocation {
    CUmemLocation { type_: CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE, id: context.device().raw }
}

fn properties(context: &Context) -> CUmemAllocationProp {
    CUmemAllocationProp {
        type_: CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED,
        requestedHandleTypes: POSIX_FD,
        location: location(context),
        win32HandleMetaData: std::ptr::null_mut(),
        allocFlags: CUmemAllocationProp_st__bindgen_ty_1 { compressionType: 0, gpuDirectRDMACapable: 0, usage: 0, reserved: [0; 4] },
    }
}

/// `len` rounded up to what the driver maps; the same in all processes that see the same device.
fn whole_units(context: &Context, len: usize) -> Result<usize, CudaError> {
    let mut unit = 0;
    let minimum = CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_MINIMUM;
    // SAFETY: complete properties; writes one size.
    check("cuMemGetAllocationGranularity", unsafe { sys::cuMemGetAllocationGranularity(&mut unit, &properties(context), minimum) })?;
    let available = isize::MAX as usize;
    let whole = (unit != 0).then(|| len.max(1).checked_next_multiple_of(unit)).flatten();
    whole.ok_or(CudaError::Bounds { operation: "cuMemGetAllocationGranularity", asked: len, available })
}

impl<'a> DeviceSlice<'a> {
    /// Address on the device, for kernels and for libraries that take one. Valid while the memory lives.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.memory.base + self.start as u64
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `len` of its bytes from `start`.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] beyond its end.
    pub fn part(&self, start: usize, len: usize) -> Result<Self, CudaError> {
        match start.checked_add(len) {
            Some(end) if end <= self.len => Ok(Self { start: self.start + start, len, ..*self }),
            _ => Err(CudaError::Bounds { operation: "part", asked: start.saturating_add(len), available: self.len }),
        }
    }

    pub(crate) fn context(&self) -> &'a Context {
        &self.memory.context
    }
}

impl<'a> DeviceSliceMut<'a> {
    /// The same bytes, to read.
    #[must_use]
    pub fn as_slice(&self) -> DeviceSlice<'a> {
        self.0
    }

    /// `len` bytes from `start`, to write.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] beyond the end.
    pub fn part(&mut self, start: usize, len: usize) -> Result<DeviceSliceMut<'_>, CudaError> {
        self.0.part(start, len).map(DeviceSliceMut)
    }

    /// The first `at` bytes, and the others.
    ///
    /// # Errors
    /// [`CudaError::Bounds`] beyond the end.
    pub fn split(self, at: usize) -> Result<(Self, Self), CudaError> {
        let rest = self.0.len.checked_sub(at).ok_or(CudaError::Bounds { operation: "split", asked: at, available: self.0.len })?;
        Ok((Self(self.0.part(0, at)?), Self(self.0.part(at, rest)?)))
    }
}

impl<'a> Deref for DeviceSliceMut<'a> {
    type Target = DeviceSlice<'a>;
    fn deref(&self) -> &DeviceSlice<'a> {
        &self.0
    }
}
