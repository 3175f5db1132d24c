//! Where things lie.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's folder.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_owned(), Path::to_owned)
}

/// A program of `target/release`, found from the place of the test (`target/release/deps`) or program (`target/release`) that asks.
///
/// # Panics
/// If it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    let mut folders = exe.ancestors().skip(1).take(2);
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()));
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --release --workspace`"))
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

/// `graphs/read.yml` with `unreliable` between `detect` and `track`, which does `faults` to the messages.
///
/// # Panics
/// If the graph cannot be read or written.
#[must_use]
pub fn unreliable_graph(sandbox: &crate::Sandbox, faults: &str) -> PathBuf {
    let text = std::fs::read_to_string(root().join("graphs/read.yml")).expect("graphs/read.yml can be read");
    let programs = program("gantry").parent().expect("programs lie in a folder").display().to_string();
    let shim = format!(
        "  - id: shim\n    path: {programs}/unreliable\n    inputs:\n      tick: dora/timer/millis/500\n      detections: {{ source: detect/detections, queue_size: 256, \
         queue_policy: backpressure }}\n    outputs: [detections]\n    env: {{ FAULTS: {faults} }}\n\n  - id: track\n"
    );
    let text = text
        .replace("path: bin/", &format!("path: {programs}/"))
        .replace("../models", &root().join("models").display().to_string())
        .replace("  - id: track\n", &shim)
        .replace(
            "detections: { source: detect/detections, queue_size: 256, queue_policy: backpressure }\n    outputs: [tracks]",
            "detections: { source: shim/detections, queue_size: 256, queue_policy: backpressure }\n    outputs: [tracks]",
        );
    let graph = sandbox.path("graph.yml");
    std::fs::write(&graph, text).expect("the sandbox can be written");
    graph
}
