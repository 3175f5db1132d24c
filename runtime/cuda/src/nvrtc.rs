//! The functions of NVRTC's library, out of the very file that is asked for: a search by name could find another version.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_NOW};

/// `nvrtcProgram`.
pub(crate) type Program = *mut c_void;
/// `NVRTC_SUCCESS` of `nvrtcResult`, which is an `int`: newer versions have results that no list here could be complete for.
pub(crate) const SUCCESS: c_int = 0;
pub(crate) type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
pub(crate) type Get = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
type Texts = *const *const c_char;

/// Where no file is named. Those of CUDA 12 first: every driver that Gantry runs with loads what they make.
const NAMES: [&str; 3] = ["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so"];

/// The library and its functions, as `nvrtc.h` declares them.
#[derive(Debug)]
pub(crate) struct Nvrtc {
    pub version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int,
    pub count_architectures: unsafe extern "C" fn(*mut c_int) -> c_int,
    pub architectures: unsafe extern "C" fn(*mut c_int) -> c_int,
    pub create: unsafe extern "C" fn(*mut Program, *const c_char, *const c_char, c_int, Texts, Texts) -> c_int,
    pub destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    pub compile: unsafe extern "C" fn(Program, c_int, Texts) -> c_int,
    pub log_size: Size,
    pub log: Get,
    pub cubin_size: Size,
    pub cubin: Get,
    pub ptx_size: Size,
    pub ptx: Get,
    error: unsafe extern "C" fn(c_int) -> *const c_char,
    /// Last: the functions lie in it.
    _library: Library,
}

impl Nvrtc {
    /// Loads `file`, or what the loader's search path has.
    ///
    /// # Errors
    /// The loader's words.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, String> {
        // SAFETY: NVIDIA's library, whose initialisers are its own.
        let load = |name: &Path| unsafe { Library::open(Some(name), RTLD_NOW) }.map_err(|error| error.to_string());
        let library = match file {
            Some(file) => load(file)?,
            None => NAMES.iter().find_map(|name| load(Path::new(name)).ok()).ok_or("the loader finds no `libnvrtc.so.12`")?,
        };
        /// # Safety
        /// `T` is the type of that function.
        unsafe fn function<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
            // SAFETY: the caller's promise.
            unsafe { library.get::<T>(name.as_bytes()) }.map(|found| *found).map_err(|error| error.to_string())
        }
        // SAFETY: the types are those of `nvrtc.h`, the same from CUDA 11.2 to 13.
        unsafe {
            Ok(Self {
                version: function(&library, "nvrtcVersion")?,
                count_architectures: function(&library, "nvrtcGetNumSupportedArchs")?,
                architectures: function(&library, "nvrtcGetSupportedArchs")?,
                create: function(&library, "nvrtcCreateProgram")?,
                destroy: function(&library, "nvrtcDestroyProgram")?,
                compile: function(&library, "nvrtcCompileProgram")?,
                log_size: function(&library, "nvrtcGetProgramLogSize")?,
                log: function(&library, "nvrtcGetProgramLog")?,
                cubin_size: function(&library, "nvrtcGetCUBINSize")?,
                cubin: function(&library, "nvrtcGetCUBIN")?,
                ptx_size: function(&library, "nvrtcGetPTXSize")?,
                ptx: function(&library, "nvrtcGetPTX")?,
                error: function(&library, "nvrtcGetErrorString")?,
                _library: library,
            })
        }
    }

    /// The library's own name for a result.
    pub(crate) fn name(&self, result: c_int) -> String {
        // SAFETY: takes any number; gives a static text or null.
        let text = unsafe { (self.error)(result) };
        if text.is_null() {
            return format!("nvrtcResult {result}");
        }
        // SAFETY: a static text that ends with 0.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}
