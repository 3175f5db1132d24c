//! Where things lie: the project's folder, dora, ONNX Runtime.

use std::path::{Path, PathBuf};

/// Folder of downloaded tools, below the project's folder; not in git.
pub const TOOLS: &str = ".gantry";

/// The folder that holds `graphs/read.yml`: this folder or one above it, else one above the program itself.
pub fn project() -> Option<PathBuf> {
    let holds_graphs = |dir: &&Path| dir.join("graphs/read.yml").is_file();
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok().and_then(|p| p.canonicalize().ok());
    let from = |start: &Option<PathBuf>| start.as_ref().and_then(|d| d.ancestors().find(holds_graphs).map(Path::to_owned));
    from(&here).or_else(|| from(&program))
}

/// The `dora` program: the one that `cargo xtask setup` made, else the first on `PATH`.
pub fn dora() -> Option<PathBuf> {
    let ours = project().map(|p| p.join(TOOLS).join("dora/bin/dora")).filter(|p| p.is_file());
    ours.or_else(|| on_path("dora"))
}

/// A program on `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|d| d.join(name)).find(|p| p.is_file())
}

/// The ONNX Runtime library: `ORT_DYLIB_PATH`, else the one that `cargo xtask setup` fetched.
pub fn onnxruntime() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from) {
        return path.is_file().then_some(path);
    }
    let dir = project()?.join(TOOLS).join("onnxruntime");
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .ok()?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("libonnxruntime.so")))
        .collect();
    found.sort();
    found.pop()
}
