//! Events: two counters in a memfd, what was recorded and what was reached.

use std::ffi::c_uint;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cudarc::driver::sys::{CUevent, CUipcEventHandle, CUresult, CUstream};
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::memory::{opened, to_bytes};
use crate::streams::stream;
use crate::{CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OPERATING_SYSTEM, answer, current};

const PAGE: usize = 4096;
const INTERPROCESS_WITHOUT_TIMING: c_uint = 4 | 2;

struct Event {
    fd: OwnedFd,
    counters: usize,
    is_own: bool,
}

static EVENTS: Mutex<Vec<Option<Arc<Event>>>> = Mutex::new(Vec::new());

impl Event {
    fn new(fd: OwnedFd, is_own: bool) -> Result<Self, CUresult> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping of a whole page of a memfd that is as long; nothing that is mapped is replaced.
        let page = unsafe { rustix::mm::mmap(ptr::null_mut(), PAGE, protection, MapFlags::SHARED, &fd, 0) };
        let counters = page.map_err(|_| CUDA_ERROR_OPERATING_SYSTEM)?.expose_provenance();
        Ok(Self { fd, counters, is_own })
    }

    fn counter(&self, at: usize) -> &AtomicU64 {
        // SAFETY: the page is mapped for as long as `self` lives and starts on a page boundary; `at` is 0 or 1.
        unsafe { &*ptr::with_exposed_provenance::<AtomicU64>(self.counters + 8 * at) }
    }

    fn recorded(&self) -> &AtomicU64 {
        self.counter(0)
    }

    fn reached(&self) -> &AtomicU64 {
        self.counter(1)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the page that `new` mapped; nothing points into it after `self`.
        let _ = unsafe { rustix::mm::munmap(ptr::with_exposed_provenance_mut(self.counters), PAGE) };
    }
}

fn keep(event: Event) -> CUevent {
    let mut events = EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
    events.push(Some(Arc::new(event)));
    ptr::without_provenance_mut(events.len())
}

fn kept(raw: CUevent) -> Result<Arc<Event>, CUresult> {
    current()?;
    let events = EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
    raw.addr().checked_sub(1).and_then(|at| events.get(at)?.clone()).ok_or(CUDA_ERROR_INVALID_HANDLE)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(raw: *mut CUevent, flags: c_uint) -> CUresult {
    let create = || {
        current()?;
        if flags != INTERPROCESS_WITHOUT_TIMING {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let fd = rustix::fs::memfd_create("gantry-shim-event", MemfdFlags::CLOEXEC).map_err(|_| CUDA_ERROR_OPERATING_SYSTEM)?;
        rustix::fs::ftruncate(&fd, PAGE as u64).map_err(|_| CUDA_ERROR_OPERATING_SYSTEM)?;
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *raw = keep(Event::new(fd, true)?) };
        Ok(())
    };
    answer(create())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(raw: CUevent) -> CUresult {
    answer(kept(raw).map(|_| EVENTS.lock().unwrap_or_else(PoisonError::into_inner)[raw.addr() - 1] = None))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(raw: CUevent, on: CUstream) -> CUresult {
    let record = || {
        let (event, stream) = (kept(raw)?, stream(on)?);
        let number = event.recorded().fetch_add(1, Ordering::AcqRel) + 1;
        stream.give(Box::new(move || {
            event.reached().fetch_max(number, Ordering::AcqRel);
            Ok(())
        }));
        Ok(())
    };
    answer(record())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(on: CUstream, raw: CUevent, _flags: c_uint) -> CUresult {
    let wait = || {
        let (event, stream) = (kept(raw)?, stream(on)?);
        let number = event.recorded().load(Ordering::Acquire);
        stream.give(Box::new(move || {
            while event.reached().load(Ordering::Acquire) < number {
                std::thread::sleep(Duration::from_micros(50));
            }
            Ok(())
        }));
        Ok(())
    };
    answer(wait())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuIpcGetEventHandle(handle: *mut CUipcEventHandle, raw: CUevent) -> CUresult {
    let export = || {
        let event = kept(raw)?;
        if !event.is_own {
            return Err(CUDA_ERROR_INVALID_HANDLE);
        }
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { (*handle).reserved = to_bytes(event.fd.as_raw_fd()) };
        Ok(())
    };
    answer(export())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuIpcOpenEventHandle(raw: *mut CUevent, handle: CUipcEventHandle) -> CUresult {
    let open = || {
        current()?;
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *raw = keep(Event::new(opened(handle.reserved)?, false)?) };
        Ok(())
    };
    answer(open())
}
