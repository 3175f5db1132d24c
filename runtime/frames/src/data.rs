//! The slots themselves: one mapped memfd, or memory of a card. The one module that knows what a back end is made of.
//!
//! ```text
//! first descriptor of a join:  HostMemfd      the memfd of the slots
//!                              CudaVmmFd      the driver's descriptor of the allocation
//!                              CudaIpcLegacy  a sealed memfd with the 64 bytes of cuIpcGetMemHandle
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gantry_cuda::{Context, CudaError, DeviceMemory, DeviceUuid, IPC_HANDLE_BYTES};

use crate::pages::Geometry;
use crate::shm::{SharedMemory, Sharing};
use crate::{Backend, JoinError, PoolError, PoolId};

/// Where a new pool's slots are to lie.
#[derive(Debug, Clone)]
pub enum Memory {
    /// [`Backend::HostMemfd`].
    Host,
    /// [`Backend::CudaVmmFd`], on the context's device.
    CudaVmmFd(Context),
    /// [`Backend::CudaIpcLegacy`], on the context's device.
    CudaIpcLegacy(Context),
}

impl Memory {
    /// The back end.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match self {
            Self::Host => Backend::HostMemfd,
            Self::CudaVmmFd(_) => Backend::CudaVmmFd,
            Self::CudaIpcLegacy(_) => Backend::CudaIpcLegacy,
        }
    }

    /// The context, for memory of a card.
    #[must_use]
    pub fn context(&self) -> Option<&Context> {
        match self {
            Self::Host => None,
            Self::CudaVmmFd(context) | Self::CudaIpcLegacy(context) => Some(context),
        }
    }

    /// What handles name the device by; zeros for host memory.
    pub(crate) fn device_uuid(&self) -> [u8; 16] {
        self.context().map_or([0; 16], |context| context.device().uuid().0)
    }
}

/// The slots of a pool, in its producer or in a process that joined it.
#[derive(Debug)]
pub(crate) enum Data {
    Host(SharedMemory),
    Device(Arc<DeviceMemory>),
}

/// The device pools that were made in this process. A consumer beside its producer takes the same mapping: the legacy IPC cannot be
/// opened by the process that exported it.
static LOCAL: Mutex<Vec<(PoolId, Weak<DeviceMemory>)>> = Mutex::new(Vec::new());

impl Data {
    /// Makes the slots, and the descriptor that a consumer imports them from.
    pub(crate) fn create(memory: &Memory, geometry: &Geometry, output: &str) -> Result<(Self, OwnedFd), PoolError> {
        let system = |source: io::Error| PoolError::System { output: output.to_owned(), step: "making shared memory", source };
        let cuda = |step: &'static str| {
            move |source: CudaError| PoolError::Cuda { output: output.to_owned(), step, hint: source.hint(), source: source.into() }
        };
        let name = |what: &str| format!("gantry-{what}-{}", geometry.id);
        let (memory, fd) = match memory {
            Memory::Host => {
                let (memory, fd) = SharedMemory::create(&name("data"), geometry.data_len(), Sharing::MakerWrites).map_err(system)?;
                return Ok((Self::Host(memory), fd));
            }
            Memory::CudaVmmFd(context) => {
                let memory = DeviceMemory::create_vmm(context, geometry.data_len()).map_err(cuda("making device memory"))?;
                let fd = memory.export_fd().map_err(cuda("exporting device memory"))?;
                (memory, fd)
            }
            Memory::CudaIpcLegacy(context) => {
                let memory = DeviceMemory::create_ipc(context, geometry.data_len()).map_err(cuda("making device memory"))?;
                let handle = memory.ipc_handle().map_err(cuda("exporting device memory"))?;
                let (page, fd) = SharedMemory::create(&name("ipc"), IPC_HANDLE_BYTES, Sharing::MakerWrites).map_err(system)?;
                for (word, bytes) in page.words().iter().zip(handle.chunks_exact(8)) {
                    word.store(u64::from_ne_bytes(bytes.try_into().unwrap_or_default()), Ordering::Release);
                }
                (memory, fd)
            }
        };
        let memory = Arc::new(memory);
        let mut local = local();
        local.retain(|(_, memory)| memory.strong_count() != 0);
        local.push((geometry.id, Arc::downgrade(&memory)));
        Ok((Self::Device(memory), fd))
    }

    /// Maps what a producer handed over, to read.
    pub(crate) fn import(
        fd: &OwnedFd,
        geometry: &Geometry,
        output: &str,
        consumer: &str,
        context: Option<&Context>,
    ) -> Result<Self, JoinError> {
        let pool = geometry.id;
        let system = |source: io::Error| JoinError::System { pool, step: "mapping its memory", source };
        let len = geometry.data_len();
        if geometry.backend == Backend::HostMemfd {
            return Ok(Self::Host(SharedMemory::import(fd, len, Sharing::MakerWrites).map_err(system)?));
        }
        let Some(context) = context else {
            return Err(JoinError::NeedsCuda { output: output.to_owned(), consumer: consumer.to_owned(), backend: geometry.backend });
        };
        let (its, own) = (DeviceUuid(geometry.device_uuid), context.device().uuid());
        if its != own {
            return Err(JoinError::OtherDevice { output: output.to_owned(), consumer: consumer.to_owned(), its, own });
        }
        if let Some(memory) = local().iter().find(|(id, _)| *id == pool).and_then(|(_, memory)| memory.upgrade()) {
            return Ok(Self::Device(memory));
        }
        let imported = if geometry.backend == Backend::CudaVmmFd {
            DeviceMemory::import_vmm(context, fd.as_fd(), len)
        } else {
            let page = SharedMemory::import(fd, IPC_HANDLE_BYTES, Sharing::MakerWrites).map_err(system)?;
            let mut handle = [0; IPC_HANDLE_BYTES];
            for (bytes, word) in handle.chunks_exact_mut(8).zip(page.words()) {
                bytes.copy_from_slice(&word.load(Ordering::Acquire).to_ne_bytes());
            }
            DeviceMemory::open_ipc(context, handle, len)
        };
        match imported {
            Ok(memory) => Ok(Self::Device(Arc::new(memory))),
            Err(source) => Err(JoinError::Cuda { pool, output: output.to_owned(), hint: source.hint(), source: source.into() }),
        }
    }

    /// The memory, if the host can touch it.
    pub(crate) fn host(&self) -> Option<&SharedMemory> {
        match self {
            Self::Host(memory) => Some(memory),
            Self::Device(_) => None,
        }
    }

    /// The memory, if it lies on a card.
    pub(crate) fn device(&self) -> Option<&Arc<DeviceMemory>> {
        match self {
            Self::Host(_) => None,
            Self::Device(memory) => Some(memory),
        }
    }

    /// Keeps device memory until this process ends: somebody has it mapped who would be left with nothing.
    pub(crate) fn keep_for_ever(&self) {
        std::mem::forget(self.device().cloned());
    }

    /// Waits until nothing that this process asked of the card reads or writes the slots. Host memory: nothing to wait for.
    pub(crate) fn settle(&self) -> Result<(), CudaError> {
        self.device().map_or(Ok(()), |memory| memory.context().synchronize())
    }
}

fn local() -> MutexGuard<'static, Vec<(PoolId, Weak<DeviceMemory>)>> {
    LOCAL.lock().unwrap_or_else(PoisonError::into_inner)
}
