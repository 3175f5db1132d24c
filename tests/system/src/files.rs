//! Where things lie.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's folder.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_owned(), Path::to_owned)
}

/// A program of `target/release`, found from the test's own place (`target/release/deps`).
///
/// # Panics
/// If it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    let folder = exe.ancestors().nth(2).expect("tests lie in target/release/deps");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `cargo build --release --workspace`", path.display());
    path
}

/// A shipped clip.
#[must_use]
pub fn clip(name: &str) -> PathBuf {
    root().join("tests/clips").join(name)
}

/// The folder of awkward inputs that `tests/render/odd_inputs.sh` makes, kept in the target folder until script or clip change.
///
/// # Panics
/// If the script fails; it needs ffmpeg and python3.
#[must_use]
pub fn odd_inputs() -> PathBuf {
    let script = root().join("tests/render/odd_inputs.sh");
    let source = clip("gate_day.mp4");
    let version = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        // FNV-1a: names a version of the file, nothing more.
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
    };
    let target = program("gantry").ancestors().nth(2).expect("target/release/gantry").join("tmp");
    let ready = target.join(format!("odd-{:016x}", version(&script) ^ version(&source).rotate_left(1)));
    if !ready.is_dir() {
        let partial = target.join(format!("odd-{}.part", std::process::id()));
        let status = Command::new("bash").arg(&script).arg(&partial).arg(&source).stdout(std::process::Stdio::null()).status();
        assert!(status.expect("bash runs").success(), "{} failed", script.display());
        std::fs::rename(&partial, &ready).expect("a folder in target can be renamed");
    }
    ready
}
