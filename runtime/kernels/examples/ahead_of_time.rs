//! Compiles all kernels for `GANTRY_KERNELS`: `cargo xtask kernels [FOLDER]`, by default `out/kernels`.
//!
//! Machine code for the architectures of [`Source::ARCHITECTURES`], which any driver of CUDA 12 loads, and PTX for all others, which the driver
//! compiles and must be as new as this NVRTC for.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gantry_cuda::{Code, Compiler};
use gantry_kernels::{KernelError, LoadOptions, Source};

fn main() -> ExitCode {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "out/kernels".to_owned()));
    match make(&folder) {
        Ok(files) => {
            println!("{files} files for GANTRY_KERNELS={}", folder.display());
            ExitCode::SUCCESS
        }
        Err((error, hint)) => {
            eprintln!("error: {error}\nhint: {hint}");
            ExitCode::FAILURE
        }
    }
}

fn make(folder: &Path) -> Result<usize, (String, &'static str)> {
    let compiler = Compiler::load(LoadOptions::from_env().nvrtc.as_deref()).map_err(|e| (e.to_string(), e.hint()))?;
    let refused = |e: KernelError| (std::error::Error::source(&e).map_or_else(|| e.to_string(), |why| format!("{e}: {why}")), e.hint());
    let file = |e: std::io::Error| (format!("`{}`: {e}", folder.display()), "name another folder");
    std::fs::create_dir_all(folder).map_err(file)?;
    let mut files = 0;
    for source in Source::ALL {
        let mut keep = |name: String, code: Vec<u8>| {
            files += 1;
            std::fs::write(folder.join(name), code).map_err(file)
        };
        keep(source.ptx_name(), source.compile(&compiler, Code::Ptx, Source::ARCHITECTURES[0]).map_err(refused)?)?;
        for architecture in Source::ARCHITECTURES {
            keep(source.cubin_name(architecture), source.compile(&compiler, Code::Cubin, architecture).map_err(refused)?)?;
        }
    }
    Ok(files)
}
