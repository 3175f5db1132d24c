//! What a fresh machine lacks: Debian packages, the dora CLI, the libraries ONNX Runtime and NVRTC.

use crate::steps::{Step, cargo, root, run, say};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The dora CLI must be the version of the dora crates (Cargo.toml): both check it when they meet.
const DORA: &str = "dora-rs-cli==1.1.0";
/// Any ONNX Runtime from 1.22 on fits the `ort` crate as it is configured; this one was measured.
const ONNXRUNTIME: &str = "onnxruntime==1.32.0";
/// Compiles the CUDA kernels, without a GPU. Its code runs on drivers of CUDA 12 from that of 12.0 on.
const NVRTC: &str = "nvidia-cuda-nvrtc-cu12==12.8.93";
/// A workspace of its own, as those of other people are; the tests put its node into a graph. In our target folder only our own crates are
/// compiled again for it.
const OUTSIDE_RUST: &str = "examples/outside-rust/Cargo.toml";
/// FFmpeg to build and run, clang for its bindings, cmake and nasm for libjpeg-turbo, a C++ compiler for the kernels' tests, the ffmpeg command for the tests' odd files,
/// GStreamer's RTSP server for the tests of cameras, Chromium for that of the page, librdkafka for `kafka_sink`, mosquitto and openssl for the tests
/// of `mqtt_sink`, libfaketime for that of a clock that is set.
const PACKAGES: &[&str] = &[
    "chromium",
    "clang",
    "cmake",
    "ffmpeg",
    "g++",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "libavcodec-dev",
    "libavdevice-dev",
    "libavfilter-dev",
    "libavformat-dev",
    "libavutil-dev",
    "libclang-dev",
    "libfaketime",
    "librdkafka-dev",
    "libswresample-dev",
    "libswscale-dev",
    "mosquitto",
    "nasm",
    "openssl",
    "pkg-config",
    "python3-gi",
];

/// Installs what is missing.
pub fn all() -> Result<(), String> {
    debian_packages()?;
    dora()?;
    onnxruntime()?;
    nvrtc()
}

/// The programs and operators, and the example of a node from outside.
pub fn build() -> Result<(), String> {
    say("cargo build --release (the first time 10 to 20 minutes on 2 cores)");
    run(cargo("build").args(["--release", "--workspace"]))?;
    run(cargo("build").args(["--release", "--quiet", "--manifest-path", OUTSIDE_RUST, "--target-dir", "target"]))
}

fn debian_packages() -> Result<(), String> {
    let missing: Vec<&str> = PACKAGES.iter().copied().filter(|p| !is_installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("this is no Debian: install the equivalents of {} by hand", missing.join(" ")));
    }
    say(&format!("installing Debian packages: {}", missing.join(" ")));
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], missing.as_slice()].concat())
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0"));
    let step = if is_root { Step::new("apt-get") } else { Step::new("sudo").arg("apt-get") };
    run(step.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_installed(package: &str) -> bool {
    let output = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).stderr(Stdio::null()).output();
    output.is_ok_and(|o| o.stdout.ends_with(b"install ok installed"))
}

/// A virtual environment of its own: the command is a Python entry script around dora's Rust code.
fn dora() -> Result<(), String> {
    let dir = root().join(".gantry/dora");
    let program = dir.join("bin/dora");
    let wanted = DORA.rsplit('=').next().unwrap_or_default();
    let found = Command::new(&program).arg("--version").stderr(Stdio::null()).output();
    if found.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(wanted)) {
        return Ok(());
    }
    say(&format!("installing {DORA} into .gantry/dora"));
    run(Step::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))
        .map_err(|e| format!("{e}; dora's wheel needs Python 3.11 or newer with venv (Debian: python3-venv)"))?;
    run(Step::new(dir.join("bin/pip")).args(["install", "--quiet", DORA]))
}

/// The library out of the wheel; the rest of the wheel is Python.
fn onnxruntime() -> Result<(), String> {
    from_wheel(ONNXRUNTIME, "onnxruntime", "libonnxruntime")
}

/// The library and its built-in functions; `libnvrtc*.alt.so` of the wheel are for other uses.
fn nvrtc() -> Result<(), String> {
    from_wheel(NVRTC, "nvrtc", "libnvrtc")
}

/// Fetches a wheel and unpacks the libraries whose names start with `prefix` into `.gantry/FOLDER`.
fn from_wheel(package: &str, folder: &str, prefix: &str) -> Result<(), String> {
    let dir = root().join(".gantry").join(folder);
    if library_in(&dir, prefix).is_some() {
        return Ok(());
    }
    say(&format!("fetching the library of {package} into .gantry/{folder}"));
    let wheel = root().join(".gantry/wheel");
    // What an interrupted set-up left would be taken for this package's.
    if wheel.exists() {
        std::fs::remove_dir_all(&wheel).map_err(|e| format!("{}: {e}", wheel.display()))?;
    }
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    run(Step::new(root().join(".gantry/dora/bin/pip"))
        .args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"])
        .arg(&wheel)
        .arg(package))?;
    // The main library comes last, as it shows that all are there.
    let unpack = "import glob, os, shutil, sys, zipfile
wheel, out, prefix = sys.argv[1:]
with zipfile.ZipFile(glob.glob(os.path.join(wheel, '*.whl'))[0]) as z:
    libraries = [(os.path.basename(n), n) for n in z.namelist()]
    libraries = [(b, n) for b, n in libraries if b.startswith(prefix) and '.so' in b and '.alt.' not in b]
    for base, name in sorted(libraries, key=lambda l: l[0].startswith(prefix + '.so')):
        part = os.path.join(out, '.' + base)
        with z.open(name) as source, open(part, 'wb') as target:
            shutil.copyfileobj(source, target)
        os.rename(part, os.path.join(out, base))
";
    run(Step::new("python3").arg("-c").arg(unpack).arg(&wheel).arg(&dir).arg(prefix))?;
    std::fs::remove_dir_all(&wheel).map_err(|e| format!("{}: {e}", wheel.display()))?;
    library_in(&dir, prefix).map(|_| ()).ok_or_else(|| format!("{package}: no {prefix}.so in the wheel for this machine"))
}

/// The library of that name in that folder.
pub fn library_in(dir: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    let start = format!("{prefix}.so");
    let is_library = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&start));
    entries.filter_map(|e| Some(e.ok()?.path())).find(is_library)
}
