//! `libnvcuvid.so.1`: a decoder that decodes nothing. Each picture that it is given stands, decoded beforehand, in a file that is named by the bytes of its
//! slices; bytes that nobody knows become grey, as a damaged picture does on a card.
//!
//! ```text
//! GANTRY_SHIM_VIDEO   folder with `<hash of the slices>`: width and height (u32), then the rows of Y and of UV without gaps
//! GANTRY_SHIM_LACKS   `nvdec`: no decoder is free
//! ```
//!
//! What is copied from NVIDIA's documentation: pictures are written into numbered surfaces; one that is mapped is a buffer of its own, of which there are as
//! many as were asked for, and its bytes are gone as soon as it is unmapped.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{CUdeviceptr, CUresult};

use crate::memory::{cuMemAlloc_v2, cuMemFree_v2, touch};
use crate::{
    CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_SUPPORTED, CUDA_ERROR_OUT_OF_MEMORY, CUDA_SUCCESS, answer, current,
    lacks,
};

/// Rows of a surface start at multiples of this.
const PITCH: usize = 512;
const GREY: u8 = 128;
/// What the bytes of a buffer become when it is unmapped.
const GONE: u8 = 0xEE;
const H264: c_int = 4;
const CHROMA_420: c_int = 1;

/// `CUVIDDECODECAPS`.
#[repr(C)]
pub struct Caps {
    codec: c_int,
    chroma: c_int,
    depth_minus_8: c_uint,
    reserved1: [c_uint; 3],
    is_supported: u8,
    decoders: u8,
    output_formats: u16,
    max_width: c_uint,
    max_height: c_uint,
    max_blocks: c_uint,
    min_width: u16,
    min_height: u16,
    reserved2: [c_uint; 11],
}

/// The start of `CUVIDDECODECREATEINFO`, up to the sizes that are asked for.
#[repr(C)]
pub struct CreateInfo {
    width: c_ulong,
    height: c_ulong,
    surfaces: c_ulong,
    codec: c_int,
    chroma: c_int,
    flags: c_ulong,
    depth_minus_8: c_ulong,
    intra_only: c_ulong,
    max_width: c_ulong,
    max_height: c_ulong,
    reserved1: c_ulong,
    display: [i16; 4],
    format: c_int,
    deinterlace: c_int,
    target_width: c_ulong,
    target_height: c_ulong,
    outputs: c_ulong,
}

/// The start of `CUVIDPICPARAMS`.
#[repr(C)]
pub struct PictureParams {
    width_in_blocks: c_int,
    height_in_blocks: c_int,
    current: c_int,
    field: c_int,
    bottom: c_int,
    second: c_int,
    len: c_uint,
    bytes: *const u8,
}

struct Decoder {
    width: usize,
    height: usize,
    pitch: usize,
    surfaces: Vec<Option<Arc<Vec<u8>>>>,
    outputs: usize,
    mapped: BTreeMap<CUdeviceptr, usize>,
    /// Buffers that were unmapped and are used again.
    spare: Vec<CUdeviceptr>,
}

static DECODERS: Mutex<Option<HashMap<usize, Decoder>>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut HashMap<usize, Decoder>) -> T) -> T {
    work(DECODERS.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuvidGetDecoderCaps(caps: *mut Caps) -> CUresult {
    // SAFETY: the caller gives capabilities that can be read and written, as the decoder's documentation demands.
    let caps = unsafe { &mut *caps };
    caps.is_supported = u8::from(caps.codec == H264 && caps.chroma == CHROMA_420 && caps.depth_minus_8 == 0);
    (caps.max_width, caps.max_height, caps.max_blocks, caps.min_width, caps.min_height) = (4096, 4096, 65_536, 48, 16);
    answer(current().map(drop))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuvidCreateDecoder(decoder: *mut *mut c_void, info: *const CreateInfo) -> CUresult {
    // SAFETY: the caller gives a complete description that can be read.
    let info = unsafe { &*info };
    let create = || {
        current()?;
        if lacks("nvdec") {
            return Err(CUDA_ERROR_OUT_OF_MEMORY);
        }
        if info.codec != H264 || info.surfaces == 0 || info.surfaces > 32 || info.outputs == 0 || info.format != 0 {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        let (width, height) = (info.target_width as usize, info.target_height as usize);
        let made = Decoder {
            width,
            height,
            pitch: width.next_multiple_of(PITCH),
            surfaces: vec![None; info.surfaces as usize],
            outputs: info.outputs as usize,
            mapped: BTreeMap::new(),
            spare: Vec::new(),
        };
        let handle = with(|all| {
            let handle = all.keys().max().unwrap_or(&0) + 1;
            all.insert(handle, made);
            handle
        });
        // SAFETY: the caller gives a place for the answer that can be written.
        unsafe { *decoder = std::ptr::without_provenance_mut(handle) };
        Ok(())
    };
    answer(create())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidDestroyDecoder(decoder: *mut c_void) -> CUresult {
    let removed = with(|all| all.remove(&decoder.addr()));
    let destroy = || {
        let decoder = removed.ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        // FFmpeg unmaps all pictures first, as they hold the decoder.
        if !decoder.mapped.is_empty() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        decoder.spare.iter().try_for_each(|buffer| match cuMemFree_v2(*buffer) {
            CUDA_SUCCESS => Ok(()),
            refused => Err(refused),
        })
    };
    answer(destroy())
}

/// Name of the file with the picture of these slices.
fn file_name(slices: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(slices);
    format!("{:016x}", hasher.finish())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuvidDecodePicture(decoder: *mut c_void, params: *const PictureParams) -> CUresult {
    // SAFETY: the caller gives parameters that can be read, and as many bytes of slices as they say.
    let (params, slices) = unsafe { (&*params, std::slice::from_raw_parts((*params).bytes, (*params).len as usize)) };
    let decode = || {
        current()?;
        let folder = std::env::var_os("GANTRY_SHIM_VIDEO").ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
        let picture = std::fs::read(std::path::Path::new(&folder).join(file_name(slices))).ok().map(Arc::new);
        with(|all| {
            let decoder = all.get_mut(&decoder.addr()).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
            let surface = usize::try_from(params.current).ok().and_then(|at| decoder.surfaces.get_mut(at));
            *surface.ok_or(CUDA_ERROR_INVALID_VALUE)? = picture;
            Ok(())
        })
    };
    answer(decode())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuvidMapVideoFrame64(
    raw: *mut c_void,
    index: c_int,
    at: *mut CUdeviceptr,
    pitch: *mut c_uint,
    _params: *const c_void,
) -> CUresult {
    let map = || {
        current()?;
        let found = with(|all| {
            let decoder = all.get_mut(&raw.addr()).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
            if decoder.mapped.len() >= decoder.outputs {
                return Err(CUDA_ERROR_OUT_OF_MEMORY);
            }
            let picture = usize::try_from(index).ok().and_then(|at| decoder.surfaces.get(at)).ok_or(CUDA_ERROR_INVALID_VALUE)?.clone();
            Ok((picture, decoder.width, decoder.height, decoder.pitch, decoder.spare.pop()))
        })?;
        let (picture, width, height, stride, spare) = found;
        let len = stride * (height + height.div_ceil(2));
        let mut address = spare.unwrap_or_default();
        if spare.is_none() {
            // SAFETY: a place for the answer.
            match unsafe { cuMemAlloc_v2(&mut address, len) } {
                CUDA_SUCCESS => {}
                refused => return Err(refused),
            }
        }
        let bytes = laid_out(picture.as_deref(), (width, height), stride, len);
        // SAFETY: `touch` gives `len` writable bytes, and `bytes` has as many.
        touch(address, len, true, |to| unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), len) })?;
        with(|all| {
            if let Some(decoder) = all.get_mut(&raw.addr()) {
                decoder.mapped.insert(address, len);
            }
        });
        // SAFETY: the caller gives places for the answers that can be written.
        unsafe { (*at, *pitch) = (address, stride as c_uint) };
        Ok(())
    };
    answer(map())
}

/// The bytes of a surface: the file's picture at the upper left, the rest grey.
fn laid_out(file: Option<&Vec<u8>>, (width, height): (usize, usize), stride: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![GREY; len];
    let Some(file) = file.filter(|file| file.len() > 8) else { return bytes };
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| file[at + i])) as usize;
    let (w, h) = (word(0), word(4));
    let chroma_row = 2 * w.div_ceil(2);
    let mut rows = file[8..].iter().copied();
    if w > width || h > height {
        return bytes;
    }
    for y in 0..h {
        bytes[y * stride..][..w].iter_mut().zip(&mut rows).for_each(|(to, from)| *to = from);
    }
    for y in 0..h.div_ceil(2) {
        bytes[(height + y) * stride..][..chroma_row].iter_mut().zip(&mut rows).for_each(|(to, from)| *to = from);
    }
    bytes
}

#[unsafe(no_mangle)]
pub extern "C" fn cuvidUnmapVideoFrame64(raw: *mut c_void, at: CUdeviceptr) -> CUresult {
    let unmap = || {
        let len = with(|all| all.get_mut(&raw.addr()).and_then(|decoder| decoder.mapped.remove(&at))).ok_or(CUDA_ERROR_INVALID_HANDLE)?;
        // Whoever still copies from it gets this.
        // SAFETY: `touch` gives `len` writable bytes.
        touch(at, len, true, |to| unsafe { to.write_bytes(GONE, len) })?;
        // Works that were given before end first, as the decoder's own queue has them do.
        match crate::streams::cuCtxSynchronize() {
            CUDA_SUCCESS => {}
            spoiled => return Err(spoiled),
        }
        with(|all| {
            if let Some(decoder) = all.get_mut(&raw.addr()) {
                decoder.spare.push(at);
            }
        });
        Ok(())
    };
    answer(unmap())
}
