//! The reader's half of buffer handles as C functions, for nodes in other languages: `include/gantry_frames.h` is the reference,
//! `python/gantry_frames.py` uses them from Python.
//!
//! Leases, checks of handles and joining are those of [`gantry_frames::Client`]; here are only pointers. No call unwinds into the
//! caller: a panic, which would be a bug, becomes an error.

// The boundary to C is what this crate is for; each block says what it relies on.
#![allow(unsafe_code)]

mod view;

pub use view::{Plane, View};

use gantry_frames::{AcquireError, Acquired, Client, ClientConfig, HANDLE_BYTES, Handle, Mode};
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Version of the functions and structs.
pub const VERSION: u32 = 1;
/// The frame was taken, the acknowledgement given.
pub const OK: i32 = 0;
/// Live mode: overwritten before it was read.
pub const STALE: i32 = 1;
/// The producer has ended.
pub const CLOSED: i32 = 2;
/// See the text.
pub const ERROR: i32 = 3;

/// Opaque to C: one node's reader.
pub struct Reader {
    client: Client,
}

/// Opaque to C: a frame that is held.
pub struct Frame {
    /// Its lease, and the mapping that `View::data` points into.
    _acquired: Acquired,
}

/// [`VERSION`].
#[unsafe(no_mangle)]
pub extern "C" fn gantry_frames_version() -> u32 {
    VERSION
}

/// See the header.
///
/// # Safety
/// `folder` is null or, like `run` and `node`, a text ended by 0; `error` is null or has `error_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gantry_reader_open(
    folder: *const c_char,
    run: *const c_char,
    node: *const c_char,
    max_held: u32,
    lossless: u32,
    error: *mut c_char,
    error_bytes: usize,
) -> *mut Reader {
    // SAFETY: the caller's promise about the three texts.
    let (folder, run, node) = unsafe { (text(folder), text(run), text(node)) };
    let opened = guarded(|| {
        let (Some(run), Some(node)) = (run, node) else { return Err("`run` and `node` must be texts in UTF-8".to_owned()) };
        let base = folder.map_or_else(gantry_frames::runtime_base, PathBuf::from);
        let config =
            ClientConfig { runtime_dir: Path::new(&base).join(run), name: node, max_held: max_held.clamp(1, gantry_frames::NODE_MAX_HELD) };
        let client = Client::new(config);
        client.require(if lossless == 0 { Mode::Live } else { Mode::Lossless });
        Ok(Reader { client })
    });
    match opened {
        Ok(reader) => Box::into_raw(Box::new(reader)),
        Err(why) => {
            // SAFETY: the caller's promise about `error`.
            unsafe { tell(&why, error, error_bytes) };
            std::ptr::null_mut()
        }
    }
}

/// See the header.
///
/// # Safety
/// `reader` is null or came from [`gantry_reader_open`] and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gantry_reader_close(reader: *mut Reader) {
    if !reader.is_null() {
        // SAFETY: made by `Box::into_raw` in `gantry_reader_open`, given back once.
        let reader = unsafe { Box::from_raw(reader) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(reader)));
    }
}

/// See the header.
///
/// # Safety
/// `reader` came from [`gantry_reader_open`], `handle` has 192 bytes, `frame` and `view` can be written, `error` is null or has
/// `error_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gantry_frame_acquire(
    reader: *const Reader,
    handle: *const u8,
    frame: *mut *mut Frame,
    view: *mut View,
    error: *mut c_char,
    error_bytes: usize,
) -> i32 {
    // SAFETY: the caller's promise about reader and handle.
    let (Some(reader), Some(handle)) = (unsafe { reader.as_ref() }, unsafe { copied(handle) }) else { return ERROR };
    if frame.is_null() || view.is_null() {
        return ERROR;
    }
    let taken = guarded(|| match reader.client.acquire(&handle) {
        Ok(acquired) => Ok(Ok((View::of(&acquired), Box::new(Frame { _acquired: acquired })))),
        Err(AcquireError::Stale { .. }) => Ok(Err(STALE)),
        Err(AcquireError::Closed { .. }) => Ok(Err(CLOSED)),
        Err(other) => Err(other.to_string()),
    });
    match taken {
        Ok(Ok((found, taken))) => {
            // SAFETY: neither is null, and the caller promises that they can be written.
            unsafe { (view.write(found), frame.write(Box::into_raw(taken))) };
            OK
        }
        Ok(Err(code)) => code,
        Err(why) => {
            // SAFETY: the caller's promise about `error`.
            unsafe { tell(&why, error, error_bytes) };
            ERROR
        }
    }
}

/// See the header.
///
/// # Safety
/// `frame` is null or came from [`gantry_frame_acquire`]; it and its view are not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gantry_frame_release(frame: *mut Frame) {
    if !frame.is_null() {
        // SAFETY: made by `Box::into_raw` in `gantry_frame_acquire`, given back once.
        let frame = unsafe { Box::from_raw(frame) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(frame)));
    }
}

/// See the header.
///
/// # Safety
/// As [`gantry_frame_acquire`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gantry_frame_done(reader: *const Reader, handle: *const u8, error: *mut c_char, error_bytes: usize) -> i32 {
    // SAFETY: the caller's promise about reader and handle.
    let (Some(reader), Some(handle)) = (unsafe { reader.as_ref() }, unsafe { copied(handle) }) else { return ERROR };
    match guarded(|| match reader.client.ack(&handle) {
        Ok(()) => Ok(OK),
        Err(AcquireError::Closed { .. }) => Ok(CLOSED),
        Err(other) => Err(other.to_string()),
    }) {
        Ok(code) => code,
        Err(why) => {
            // SAFETY: the caller's promise about `error`.
            unsafe { tell(&why, error, error_bytes) };
            ERROR
        }
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("a bug in the reader: it panicked".to_owned()))
}

/// The handle's bytes; it is checked when it is used.
///
/// # Safety
/// `handle` is null or has [`HANDLE_BYTES`] bytes.
unsafe fn copied(handle: *const u8) -> Option<Handle> {
    if handle.is_null() {
        return None;
    }
    let mut bytes = [0; HANDLE_BYTES];
    // SAFETY: the caller promises that many bytes; the two do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(handle, bytes.as_mut_ptr(), HANDLE_BYTES) };
    Some(Handle::from_bytes(bytes))
}

/// # Safety
/// `text` is null or ended by 0.
unsafe fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().ok().map(str::to_owned)
}

/// Writes `why`, as far as it fits, and a 0.
///
/// # Safety
/// `error` is null or has `error_bytes` bytes.
unsafe fn tell(why: &str, error: *mut c_char, error_bytes: usize) {
    if error.is_null() || error_bytes == 0 {
        return;
    }
    let len = why.len().min(error_bytes - 1);
    // SAFETY: `len + 1 <= error_bytes`, which the caller promises to be there.
    unsafe {
        std::ptr::copy_nonoverlapping(why.as_ptr().cast(), error, len);
        error.add(len).write(0);
    }
}
