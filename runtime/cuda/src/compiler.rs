//! NVRTC: CUDA C++ to code for one architecture, at run time and without a GPU.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use crate::CudaError;
use crate::nvrtc::{Get, Nvrtc, Program as Raw, SUCCESS, Size};

/// The NVRTC library, loaded once per process.
#[derive(Debug, Clone, Copy)]
pub struct Compiler {
    nvrtc: &'static Nvrtc,
    version: (i32, i32),
}

/// What is to be compiled.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Name for messages, as in `resample.cu`.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// What it includes: name and text.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Machine code for one architecture, as in `sm_90`: loads on cards of that major version with at least that minor one.
    Cubin,
    /// Portable assembly for an architecture and all later ones: the driver compiles it, and must know this version of PTX.
    Ptx,
}

static LOADED: OnceLock<Result<Compiler, CudaError>> = OnceLock::new();

impl Compiler {
    /// Loads the library at the first call; later calls repeat the first answer: `file`, or without one what the loader's search path has.
    ///
    /// # Errors
    /// [`CudaError::NoCompiler`].
    pub fn load(file: Option<&Path>) -> Result<Self, CudaError> {
        LOADED.get_or_init(|| Self::open(file)).clone()
    }

    fn open(file: Option<&Path>) -> Result<Self, CudaError> {
        let no_compiler = |why: String| CudaError::NoCompiler { file: file.map(PathBuf::from), why };
        // For the life of the process.
        let nvrtc: &'static Nvrtc = Box::leak(Box::new(Nvrtc::open(file).map_err(no_compiler)?));
        let (mut major, mut minor) = (0, 0);
        // SAFETY: writes two ints.
        match unsafe { (nvrtc.version)(&mut major, &mut minor) } {
            SUCCESS => Ok(Self { nvrtc, version: (major, minor) }),
            other => Err(no_compiler(format!("nvrtcVersion: {}", nvrtc.name(other)))),
        }
    }

    /// The architectures that it makes machine code for, as 90 for `sm_90`, in rising order; empty if it does not say.
    #[must_use]
    pub fn architectures(&self) -> Vec<u32> {
        let mut count = 0;
        // SAFETY: writes one int.
        if unsafe { (self.nvrtc.count_architectures)(&mut count) } != SUCCESS {
            return Vec::new();
        }
        let mut all = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: writes as many ints as it said.
        if unsafe { (self.nvrtc.architectures)(all.as_mut_ptr()) } != SUCCESS {
            return Vec::new();
        }
        all.into_iter().filter_map(|number| u32::try_from(number).ok()).collect()
    }

    /// Major and minor version, as in (12, 8).
    #[must_use]
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Compiles for `architecture`: its number, as 90 for `sm_90`.
    ///
    /// # Errors
    /// [`CudaError::Compile`] with the compiler's messages.
    pub fn compile(&self, program: &Program<'_>, code: Code, architecture: u32, options: &[&str]) -> Result<Vec<u8>, CudaError> {
        let target = match code {
            Code::Cubin => format!("--gpu-architecture=sm_{architecture}"),
            Code::Ptx => format!("--gpu-architecture=compute_{architecture}"),
        };
        let refused = |why: String| CudaError::Compile { name: program.name.to_owned(), target: target.clone(), why };
        let all = ended(std::iter::once(target.as_str()).chain(options.iter().copied()), &refused)?;
        let at = pointers(&all);
        let unit = Unit::new(self.nvrtc, program, &refused)?;
        // SAFETY: a program; as many options as are counted, each ending with 0.
        let result = unsafe { (self.nvrtc.compile)(unit.raw, at.len() as i32, at.as_ptr()) };
        if result != SUCCESS {
            // SAFETY: the functions write one size and then as many bytes.
            let said = unsafe { unit.bytes(self.nvrtc.log_size, self.nvrtc.log) };
            let said = said.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\0').trim().to_owned());
            return Err(refused(format!("{}\n{}", self.nvrtc.name(result), said.unwrap_or_default())));
        }
        let made = match code {
            // SAFETY: as above.
            Code::Cubin => unsafe { unit.bytes(self.nvrtc.cubin_size, self.nvrtc.cubin) },
            // SAFETY: as above.
            Code::Ptx => unsafe { unit.bytes(self.nvrtc.ptx_size, self.nvrtc.ptx) },
        };
        made.map_err(|result| refused(self.nvrtc.name(result)))
    }
}

/// Texts with the 0 that C wants.
fn ended<'a>(texts: impl Iterator<Item = &'a str>, refused: &dyn Fn(String) -> CudaError) -> Result<Vec<CString>, CudaError> {
    texts.map(|text| CString::new(text).map_err(|error| refused(error.to_string()))).collect()
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).collect()
}

/// A program of NVRTC.
struct Unit {
    nvrtc: &'static Nvrtc,
    raw: Raw,
}

impl Unit {
    fn new(nvrtc: &'static Nvrtc, program: &Program<'_>, refused: &dyn Fn(String) -> CudaError) -> Result<Self, CudaError> {
        let own = ended([program.text, program.name].into_iter(), refused)?;
        let names = ended(program.headers.iter().map(|header| header.0), refused)?;
        let texts = ended(program.headers.iter().map(|header| header.1), refused)?;
        let (names_at, texts_at) = (pointers(&names), pointers(&texts));
        let (text_at, name_at, count) = (own[0].as_ptr(), own[1].as_ptr(), names.len() as i32);
        let mut raw = ptr::null_mut();
        // SAFETY: texts that end with 0; as many headers as are counted; NVRTC copies them; writes one pointer; destroyed once, by `Drop`.
        let result = unsafe { (nvrtc.create)(&mut raw, text_at, name_at, count, texts_at.as_ptr(), names_at.as_ptr()) };
        if result == SUCCESS { Ok(Self { nvrtc, raw }) } else { Err(refused(format!("nvrtcCreateProgram: {}", nvrtc.name(result)))) }
    }

    /// What a pair of functions of NVRTC gives.
    ///
    /// # Safety
    /// The first writes how many bytes there are, the second writes as many.
    unsafe fn bytes(&self, size: Size, get: Get) -> Result<Vec<u8>, c_int> {
        let mut count = 0;
        let ok = |result| if result == SUCCESS { Ok(()) } else { Err(result) };
        // SAFETY: a program; the caller's promise.
        ok(unsafe { size(self.raw, &mut count) })?;
        let mut bytes = vec![0u8; count];
        // SAFETY: as above.
        ok(unsafe { get(self.raw, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        let result = unsafe { (self.nvrtc.destroy)(&mut self.raw) };
        if result != SUCCESS {
            tracing::error!(error = self.nvrtc.name(result), "NVRTC program could not be given back");
        }
    }
}
