//! NVRTC: CUDA C++ to code for one architecture, at run time and without a GPU.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use cudarc::nvrtc::sys::{self, nvrtcProgram, nvrtcResult};

use crate::CudaError;

/// The NVRTC library, loaded once per process.
#[derive(Debug, Clone, Copy)]
pub struct Compiler {
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
    /// Loads the library at the first call; later calls repeat the first answer. `file` is looked at first, then the loader's search path.
    ///
    /// # Errors
    /// [`CudaError::NoCompiler`].
    pub fn load(file: Option<&Path>) -> Result<Self, CudaError> {
        LOADED.get_or_init(|| Self::open(file)).clone()
    }

    fn open(file: Option<&Path>) -> Result<Self, CudaError> {
        let no_compiler = |why: String| CudaError::NoCompiler { file: file.map(PathBuf::from), why };
        if let Some(file) = file {
            // cudarc asks the loader for a library by name; one that is loaded already has it.
            // SAFETY: loads NVRTC, whose initialisers are those of NVIDIA's library.
            let library = unsafe { libloading::os::unix::Library::open(Some(file), libloading::os::unix::RTLD_NOW) };
            // Stays for the life of the process, as cudarc's own does.
            std::mem::forget(library.map_err(|error| no_compiler(error.to_string()))?);
        }
        // SAFETY: looks for NVRTC in the loader's search path and loads it.
        if !unsafe { sys::is_culib_present() } {
            return Err(no_compiler("the loader finds no `libnvrtc.so.12`".to_owned()));
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: the library is there; writes two ints.
        let result = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
        match result {
            nvrtcResult::NVRTC_SUCCESS => Ok(Self { version: (major, minor) }),
            other => Err(no_compiler(format!("nvrtcVersion: {other:?}"))),
        }
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
        let unit = Unit::new(program, &refused)?;
        // SAFETY: a program; as many options as are counted, each ending with 0.
        let result = unsafe { sys::nvrtcCompileProgram(unit.0, at.len() as i32, at.as_ptr()) };
        if result != nvrtcResult::NVRTC_SUCCESS {
            // SAFETY: the functions write one size and then as many bytes.
            let said = unit.bytes(|p, n| unsafe { sys::nvrtcGetProgramLogSize(p, n) }, |p, b| unsafe { sys::nvrtcGetProgramLog(p, b) });
            let said = said.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\0').trim().to_owned());
            return Err(refused(format!("{result:?}\n{}", said.unwrap_or_default())));
        }
        let made = match code {
            // SAFETY: as above.
            Code::Cubin => unit.bytes(|p, n| unsafe { sys::nvrtcGetCUBINSize(p, n) }, |p, b| unsafe { sys::nvrtcGetCUBIN(p, b) }),
            // SAFETY: as above.
            Code::Ptx => unit.bytes(|p, n| unsafe { sys::nvrtcGetPTXSize(p, n) }, |p, b| unsafe { sys::nvrtcGetPTX(p, b) }),
        };
        made.map_err(|result| refused(format!("{result:?}")))
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
struct Unit(nvrtcProgram);

impl Unit {
    fn new(program: &Program<'_>, refused: &dyn Fn(String) -> CudaError) -> Result<Self, CudaError> {
        let own = ended([program.text, program.name].into_iter(), refused)?;
        let names = ended(program.headers.iter().map(|header| header.0), refused)?;
        let texts = ended(program.headers.iter().map(|header| header.1), refused)?;
        let (names_at, texts_at) = (pointers(&names), pointers(&texts));
        let (text_at, name_at, count) = (own[0].as_ptr(), own[1].as_ptr(), names.len() as i32);
        let mut raw = ptr::null_mut();
        // SAFETY: texts that end with 0; as many headers as are counted; NVRTC copies them; writes one pointer; destroyed once, by `Drop`.
        let result = unsafe { sys::nvrtcCreateProgram(&mut raw, text_at, name_at, count, texts_at.as_ptr(), names_at.as_ptr()) };
        if result == nvrtcResult::NVRTC_SUCCESS { Ok(Self(raw)) } else { Err(refused(format!("nvrtcCreateProgram: {result:?}"))) }
    }

    /// What a pair of functions of NVRTC gives: the first says how many bytes, the second writes them.
    fn bytes(
        &self,
        size: impl Fn(nvrtcProgram, *mut usize) -> nvrtcResult,
        get: impl Fn(nvrtcProgram, *mut c_char) -> nvrtcResult,
    ) -> Result<Vec<u8>, nvrtcResult> {
        let mut count = 0;
        let ok = |result| if result == nvrtcResult::NVRTC_SUCCESS { Ok(()) } else { Err(result) };
        ok(size(self.0, &mut count))?;
        let mut bytes = vec![0u8; count];
        ok(get(self.0, bytes.as_mut_ptr().cast()))?;
        Ok(bytes)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        let result = unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
        if result != nvrtcResult::NVRTC_SUCCESS {
            // SAFETY: the library is loaded; a static text for every result.
            let name = unsafe { CStr::from_ptr(sys::nvrtcGetErrorString(result)) };
            tracing::error!(error = %name.to_string_lossy(), "NVRTC program could not be given back");
        }
    }
}
