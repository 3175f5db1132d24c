//! Streams: a thread each, that does what it is told later and in order.

use std::collections::VecDeque;
use std::ffi::{c_uchar, c_uint, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cudarc::driver::sys::{CUdeviceptr, CUresult, CUstream};

use crate::memory::touch;
use crate::{CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_UNKNOWN, answer, current};

/// How long a piece of work is under way before it is done: long enough that whoever does not wait for it is found out.
const UNDER_WAY: Duration = Duration::from_micros(100);
/// Bytes between two pauses of a copy: a frame is written in several steps, as by a kernel.
const STEP: usize = 64 << 10;

type Work = Box<dyn FnOnce() -> Result<(), CUresult> + Send>;

/// One stream. The handle given out is the index in `STREAMS`, plus one.
pub struct Stream {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    is_busy: bool,
    is_over: bool,
}

static STREAMS: Mutex<Vec<Option<Arc<Stream>>>> = Mutex::new(Vec::new());
static SPOILED: AtomicU32 = AtomicU32::new(0);

/// The error after which nothing works any more in this process.
pub fn spoiled() -> Option<CUresult> {
    match SPOILED.load(Ordering::Acquire) {
        0 => None,
        code if code == CUresult::CUDA_ERROR_ILLEGAL_ADDRESS as u32 => Some(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS),
        _ => Some(CUDA_ERROR_UNKNOWN),
    }
}

/// A test wants the card to fail from here on.
fn is_spoiled_from_outside() -> bool {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| std::env::var_os("GANTRY_SHIM_SPOIL").map(PathBuf::from)).as_ref().is_some_and(|file| file.exists())
}

impl Stream {
    pub fn give(&self, work: Work) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(work);
        self.changed.notify_all();
    }

    fn finish(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = self.changed.wait_while(queue, |queue| queue.is_busy || !queue.waiting.is_empty());
        drop(idle.unwrap_or_else(PoisonError::into_inner));
    }

    fn run(&self) {
        loop {
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let found = self.changed.wait_while(queue, |queue| queue.waiting.is_empty() && !queue.is_over);
            let mut queue = found.unwrap_or_else(PoisonError::into_inner);
            let Some(work) = queue.waiting.pop_front() else { return };
            queue.is_busy = true;
            drop(queue);
            std::thread::sleep(UNDER_WAY);
            if is_spoiled_from_outside() {
                SPOILED.store(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS as u32, Ordering::Release);
            }
            if spoiled().is_none()
                && let Err(error) = work()
            {
                SPOILED.store(error as u32, Ordering::Release);
            }
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_busy = false;
            self.changed.notify_all();
        }
    }
}

pub fn stream(raw: CUstream) -> Result<Arc<Stream>, CUresult> {
    current()?;
    let streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    raw.addr().checked_sub(1).and_then(|at| streams.get(at)?.clone()).ok_or(CUDA_ERROR_INVALID_HANDLE)
}

/// Works through `len` bytes in steps, looking the address up anew for each.
fn in_steps(at: u64, len: usize, writes: bool, mut step: impl FnMut(*mut u8, usize, usize)) -> Result<(), CUresult> {
    for from in (0..len).step_by(STEP) {
        let part = STEP.min(len - from);
        touch(at + from as u64, part, writes, |bytes| step(bytes, from, part))?;
        std::thread::yield_now();
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(raw: *mut CUstream, _flags: c_uint) -> CUresult {
    let create = || {
        current()?;
        let stream = Arc::new(Stream { queue: Mutex::default(), changed: Condvar::new() });
        let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push(Some(stream.clone()));
        // SAFETY: the caller gives a place for the answer that can be written, as the driver's documentation demands.
        unsafe { *raw = std::ptr::without_provenance_mut(streams.len()) };
        let started = std::thread::Builder::new().name("shim-stream".into()).spawn(move || stream.run());
        started.map(drop).map_err(|_| CUDA_ERROR_UNKNOWN)
    };
    answer(create())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(raw: CUstream) -> CUresult {
    answer(stream(raw).map(|stream| stream.finish()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(raw: CUstream) -> CUresult {
    let destroy = || {
        let stream = stream(raw)?;
        stream.queue.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        stream.changed.notify_all();
        STREAMS.lock().unwrap_or_else(PoisonError::into_inner)[raw.addr() - 1] = None;
        Ok(())
    };
    answer(destroy())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> CUresult {
    let all: Vec<_> = STREAMS.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect();
    answer(current().map(|_| all.iter().for_each(|stream| stream.finish())))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(at: CUdeviceptr, value: c_uchar, len: usize, raw: CUstream) -> CUresult {
    // SAFETY: `in_steps` gives `part` bytes that stay mapped writable during the step.
    let fill = move || in_steps(at, len, true, |bytes, _, part| unsafe { bytes.write_bytes(value, part) });
    answer(stream(raw).map(|stream| stream.give(Box::new(fill))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const c_void, len: usize, raw: CUstream) -> CUresult {
    let from = from.expose_provenance();
    let copy = move || {
        // SAFETY: `in_steps` gives `part` bytes that stay mapped writable during the step; the caller keeps `len` bytes from `from` on readable until then.
        in_steps(to, len, true, |bytes, done, part| unsafe {
            bytes.copy_from_nonoverlapping(std::ptr::with_exposed_provenance(from + done), part);
        })
    };
    answer(stream(raw).map(|stream| stream.give(Box::new(copy))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: CUdeviceptr, len: usize, raw: CUstream) -> CUresult {
    let to = to.expose_provenance();
    let copy = move || {
        // SAFETY: `in_steps` gives `part` bytes that stay mapped during the step; the caller keeps `len` bytes from `to` on writable until then.
        in_steps(from, len, false, |bytes, done, part| unsafe {
            bytes.copy_to_nonoverlapping(std::ptr::with_exposed_provenance_mut(to + done), part);
        })
    };
    answer(stream(raw).map(|stream| stream.give(Box::new(copy))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, len: usize, raw: CUstream) -> CUresult {
    answer(stream(raw).map(|stream| stream.give(Box::new(move || copy_row(to, from, len)))))
}

/// By way of the host, as a range is touched under a lock.
fn copy_row(to: CUdeviceptr, from: CUdeviceptr, len: usize) -> Result<(), CUresult> {
    let mut bytes = vec![0u8; len];
    let at = bytes.as_mut_ptr();
    // SAFETY: `in_steps` gives `part` bytes that stay mapped during the step, and `done + part` is at most `len`, the length of `bytes`.
    in_steps(from, len, false, |source, done, part| unsafe { source.copy_to_nonoverlapping(at.add(done), part) })?;
    // SAFETY: as above, and they are mapped writable.
    in_steps(to, len, true, |target, done, part| unsafe { target.copy_from_nonoverlapping(bytes.as_ptr().add(done), part) })
}
