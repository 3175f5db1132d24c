//! The host's side: loading.

use crate::abi::{ABI, Buffer, Entry, Header, MAGIC, OK, PictureC, Plugin, SYMBOL, Text};
use crate::{Instance, LoadError, OperatorError};
use gantry_contract::Param;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest name, version or description that is believed.
const MAX_TEXT_BYTES: usize = 1 << 16;

/// File name of an operator: `clahe` is `libgantry_operator_clahe.so`.
#[must_use]
pub fn library_file(operator: &str) -> String {
    format!("{}gantry_operator_{operator}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// A loaded operator library that passed the handshake. Clones share it; it is unloaded when the last clone and the last
/// [`Instance`] are gone.
#[derive(Clone, Debug)]
pub struct Library(pub(crate) Arc<Loaded>);

#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) plugin: Plugin,
    pub(crate) name: String,
    version: String,
    pub(crate) params: Vec<Param>,
    path: PathBuf,
    // Last: `plugin` points into it.
    _library: libloading::Library,
}

// SAFETY: the raw pointers in `plugin` are to constant data of the library, which `_library` keeps loaded; the functions may be
// called from any thread, one at a time per instance (include/gantry_operator.h).
unsafe impl Send for Loaded {}
// SAFETY: as above; nothing in it is written after `open`.
unsafe impl Sync for Loaded {}

impl Library {
    /// Loads `path` and shakes hands: symbol, magic, ABI version and struct sizes are checked before any function of the operator
    /// is called. Loading runs the library's initialisers: load only files that you would run.
    ///
    /// # Errors
    /// [`LoadError`]; for another version it shows host and library side by side.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let path = path.to_owned();
        // SAFETY: runs the initialisers of a file that the graph's author named; Rust cannot check them, the documentation says so.
        let library = unsafe { libloading::Library::new(&path) }.map_err(|source| LoadError::Open { path: path.clone(), source })?;
        // SAFETY: a library that exports this symbol promises this signature (include/gantry_operator.h).
        let entry =
            unsafe { library.get::<Entry>(SYMBOL.as_bytes()) }.map_err(|_| LoadError::NoEntry { path: path.clone(), symbol: SYMBOL })?;
        // SAFETY: takes nothing and returns a pointer, by the same promise.
        let header: *const Header = unsafe { entry() };
        if header.is_null() || !header.cast::<Plugin>().is_aligned() {
            return Err(LoadError::Description { path, why: "its header is null or not aligned".to_owned() });
        }
        // SAFETY: not null and aligned (checked); the first eight bytes are readable in every version.
        let magic = unsafe { header.cast::<u64>().read() };
        if magic != MAGIC {
            return Err(LoadError::Magic { path, found: magic, wanted: MAGIC });
        }
        // SAFETY: the magic says that a header of this layout is here; the layout never changes.
        let header = unsafe { header.cast::<Plugin>().cast::<Header>().read() };
        let said = |text: Text, what: &str| -> Result<String, LoadError> {
            if text.bytes.is_null() || text.len > MAX_TEXT_BYTES {
                return Err(LoadError::Description { path: path.clone(), why: format!("its {what} is null or too long") });
            }
            // SAFETY: not null and short (checked); constant data of the library by the header's promise.
            let bytes = unsafe { std::slice::from_raw_parts(text.bytes, text.len) };
            Ok(String::from_utf8_lossy(bytes).into_owned())
        };
        let (name, version) = (said(header.name, "name")?, said(header.version, "version")?);
        let wanted = (ABI, size_of::<Plugin>() as u32, size_of::<PictureC>() as u32, size_of::<Buffer>() as u32);
        let found = (header.abi, header.plugin_bytes, header.picture_bytes, header.buffer_bytes);
        if found != wanted {
            let side = |(abi, plugin, picture, buffer): (u32, u32, u32, u32)| {
                format!("operator ABI {abi}, struct sizes {plugin}/{picture}/{buffer} bytes")
            };
            let built_with = said(header.built_with, "builder")?;
            return Err(LoadError::Abi {
                host: format!("{} (gantry-operators {})", side(wanted), env!("CARGO_PKG_VERSION")),
                library: format!("{} (`{name}` {version}, built with {built_with})", side(found)),
                path,
            });
        }
        // SAFETY: version and size agree, so a `Plugin` of this layout is here; it is constant data and copied.
        let plugin = unsafe { entry().cast::<Plugin>().read() };
        let mut json = vec![0u8; MAX_TEXT_BYTES];
        let mut buffer = Buffer { bytes: json.as_mut_ptr(), capacity: json.len(), len: 0 };
        // SAFETY: the buffer is valid for its capacity.
        let code = unsafe { (plugin.describe)(&raw mut buffer) };
        let described = json.get(..buffer.len).unwrap_or_default();
        if code != OK {
            let why = format!("code {code}: {}", String::from_utf8_lossy(described));
            return Err(LoadError::Description { path, why });
        }
        let params =
            serde_json::from_slice(described).map_err(|e| LoadError::Description { path: path.clone(), why: format!("options: {e}") })?;
        Ok(Self(Arc::new(Loaded { plugin, name, version, params, path, _library: library })))
    }

    /// Name of the operator.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Version of the operator.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The options that [`Library::create`] takes.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.0.params
    }

    /// Where it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Makes an instance; `options` is `key=value;key=value` or empty.
    ///
    /// # Errors
    /// [`OperatorError::Options`] for unknown names and values out of range.
    pub fn create(&self, options: &str) -> Result<Instance, OperatorError> {
        Instance::create(Arc::clone(&self.0), options)
    }
}
