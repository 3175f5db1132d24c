//! From the kernels' text to functions on a card.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_cuda::{Code, Compiler, Context, Function, Module, driver_version};

use crate::cache::{Cache, Key};
use crate::{Kernel, KernelError, Source};

/// Where compiled kernels come from.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The NVRTC library; `None` leaves it to the loader's search path.
    pub nvrtc: Option<PathBuf>,
    /// Folder where compiled kernels are kept; `None` compiles at each start.
    pub cache: Option<PathBuf>,
    /// Folder made by `cargo xtask kernels`: machine code for this card, or PTX for the driver to compile. NVRTC is not needed then.
    pub ahead_of_time: Option<PathBuf>,
}

impl LoadOptions {
    /// What the environment and the machine say: `GANTRY_NVRTC` or `.gantry/nvrtc` in a folder above the program; `GANTRY_KERNELS`; the cache in
    /// `XDG_CACHE_HOME` or `~/.cache`, below it `gantry/kernels`.
    #[must_use]
    pub fn from_env() -> Self {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
        let nvrtc = named("GANTRY_NVRTC").or_else(|| std::env::current_exe().ok().and_then(|program| nvrtc_above(&program)));
        Self { nvrtc, cache: home.map(|folder| folder.join("gantry/kernels")), ahead_of_time: named("GANTRY_KERNELS") }
    }

    /// The code of `source` for an architecture (90 for `sm_90`) and a driver (12080 for 12.8), and whether it was there already.
    ///
    /// # Errors
    /// [`KernelError::Read`] if code made ahead of time is missing, [`KernelError::Cuda`] if there is no compiler or it refuses.
    pub fn code(&self, source: Source, architecture: u32, driver: i32) -> Result<(Vec<u8>, Origin), KernelError> {
        if let Some(folder) = &self.ahead_of_time {
            let made = Source::ARCHITECTURES.into_iter().filter(|made| folder.join(source.cubin_name(*made)).is_file());
            let path = match target(&made.collect::<Vec<_>>(), architecture) {
                Some((Code::Cubin, made)) => folder.join(source.cubin_name(made)),
                _ => folder.join(source.ptx_name()),
            };
            let code = fs::read(&path).map_err(|error| KernelError::Read { path, source: error })?;
            return Ok((code, Origin::AheadOfTime));
        }
        let compiler = Compiler::load(self.nvrtc.as_deref()).map_err(KernelError::cuda("kernels cannot be compiled"))?;
        let known = compiler.architectures();
        let (code, made_for) = target(&known, architecture).unwrap_or((Code::Cubin, architecture));
        let compile = || source.compile(&compiler, code, made_for);
        let Some(cache) = self.cache.clone().map(Cache::new) else {
            return Ok((compile()?, Origin::Compiled));
        };
        let key = key(source, architecture, driver, compiler.version());
        if let Some(code) = cache.get(&key) {
            return Ok((code, Origin::Cache));
        }
        let code = compile()?;
        cache.put(&key, &code);
        Ok((code, Origin::Compiled))
    }
}

/// Boards of the Jetson kind. Machine code of a desktop's card does not run there, nor the other way round (CUDA C++ Programming Guide, "Binary
/// Compatibility").
const TEGRA: [u32; 6] = [53, 62, 72, 87, 101, 110];

/// What is made for a card: machine code for itself or an older one of its major version, which it runs, or else the assembly of the newest that is older,
/// for the driver to compile; `None` if nothing is known that it runs.
fn target(known: &[u32], architecture: u32) -> Option<(Code, u32)> {
    let newest = known.iter().copied().filter(|known| *known <= architecture).max()?;
    let runs = newest == architecture || newest / 10 == architecture / 10 && ![newest, architecture].iter().any(|a| TEGRA.contains(a));
    Some((if runs { Code::Cubin } else { Code::Ptx }, newest))
}

fn key(source: Source, architecture: u32, driver: i32, (major, minor): (i32, i32)) -> Key {
    let versions = format!("sm_{architecture} driver {driver} nvrtc {major}.{minor}");
    let options = Source::OPTIONS.join(" ");
    let mut parts = vec![source.text().as_bytes(), versions.as_bytes(), options.as_bytes()];
    parts.extend(Source::HEADERS.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
    Key::new(source.cubin_name(architecture).trim_end_matches(".cubin"), &parts)
}

/// Where code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// NVRTC made it now.
    Compiled,
    /// An earlier start did.
    Cache,
    /// `cargo xtask kernels` did.
    AheadOfTime,
}

impl Source {
    /// Those that `cargo xtask kernels` makes machine code for: Turing, Ampere (server, desktop), Ada, Hopper, Blackwell.
    pub const ARCHITECTURES: [u32; 6] = [75, 80, 86, 89, 90, 100];

    /// File name of its PTX.
    #[must_use]
    pub fn ptx_name(self) -> String {
        format!("{}-{}.ptx", self.name().trim_end_matches(".cu"), self.fingerprint())
    }

    /// File name of its machine code for an architecture.
    #[must_use]
    pub fn cubin_name(self, architecture: u32) -> String {
        format!("{}-{}-sm_{architecture}.cubin", self.name().trim_end_matches(".cu"), self.fingerprint())
    }

    /// Of all that its code is made from: files of another version's kernels, which may take other arguments, have other names.
    fn fingerprint(self) -> String {
        let options = Self::OPTIONS.join(" ");
        let mut parts = vec![self.text().as_bytes(), options.as_bytes()];
        parts.extend(Self::HEADERS.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
        crate::cache::hash(&parts).chars().take(12).collect()
    }

    /// Compiles it.
    ///
    /// # Errors
    /// [`KernelError::Cuda`] with the compiler's messages.
    pub fn compile(self, compiler: &Compiler, code: Code, architecture: u32) -> Result<Vec<u8>, KernelError> {
        compiler.compile(&self.program(), code, architecture, &Self::OPTIONS).map_err(KernelError::cuda("kernels cannot be compiled"))
    }
}

/// The newest NVRTC in `.gantry/nvrtc` of a folder above `program`.
fn nvrtc_above(program: &Path) -> Option<PathBuf> {
    let folders = program.ancestors().skip(1).map(|folder| folder.join(".gantry/nvrtc"));
    let library = |folder: PathBuf| {
        let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let is_library = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libnvrtc.so"));
        entries.filter(is_library).max()
    };
    folders.into_iter().find_map(library)
}

/// All kernels, loaded into the context of one card.
#[derive(Clone, Debug)]
pub struct Kernels {
    context: Context,
    functions: Arc<HashMap<Kernel, Function>>,
}

impl Kernels {
    /// Compiles what is not compiled yet (about a second) and loads it.
    ///
    /// # Errors
    /// [`KernelError::Cuda`] if there is no compiler or the driver refuses the code, [`KernelError::Read`].
    pub fn load(context: &Context, options: &LoadOptions) -> Result<Self, KernelError> {
        let device = context.device();
        let (major, minor) = device.compute_capability().map_err(KernelError::cuda("the card's architecture is unknown"))?;
        let architecture = (10 * major + minor).unsigned_abs();
        let driver = driver_version().map_err(KernelError::cuda("the driver's version is unknown"))?;
        let mut modules = HashMap::new();
        for source in Source::ALL {
            let (code, origin) = options.code(source, architecture, driver)?;
            let module = Module::load(context, &code).map_err(KernelError::cuda(format!("`{}` is not loaded", source.name())))?;
            tracing::debug!(source = source.name(), architecture, ?origin, bytes = code.len(), "kernels loaded");
            modules.insert(source, Arc::new(module));
        }
        let mut functions = HashMap::new();
        for kernel in Kernel::ALL {
            let found = modules[&kernel.source()].function(kernel.name());
            functions.insert(*kernel, found.map_err(KernelError::cuda(format!("kernel {:?} is not in its module", kernel.name())))?);
        }
        Ok(Self { context: context.clone(), functions: Arc::new(functions) })
    }

    /// The context that they are loaded in.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn function(&self, kernel: Kernel) -> Option<&Function> {
        self.functions.get(&kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_gets_code_that_it_runs() {
        let known = [75, 80, 86, 90, 100];
        let wanted = [
            (90, Some((Code::Cubin, 90))),
            (89, Some((Code::Cubin, 86))),
            (103, Some((Code::Cubin, 100))),
            (120, Some((Code::Ptx, 100))),
            // Orin and Thor.
            (87, Some((Code::Ptx, 86))),
            (101, Some((Code::Ptx, 100))),
            (70, None),
        ];
        for (architecture, code) in wanted {
            assert_eq!(target(&known, architecture), code, "sm_{architecture}");
        }
        assert_eq!(target(&[80, 87], 87), Some((Code::Cubin, 87)));
        assert_eq!(target(&[80, 87], 89), Some((Code::Ptx, 87)));
    }
}
