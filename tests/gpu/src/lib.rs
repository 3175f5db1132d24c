//! What the checks of this package share: a device or the reason why there is none, and the same checks once more over the driver shim.
#![allow(clippy::disallowed_methods, clippy::expect_used, reason = "only tests use it")]

pub mod pictures;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use gantry_cuda::{Context, Device};

/// Set by run.sh, and for processes that run over the shim: a check without a device fails then.
pub const REQUIRED: &str = "GANTRY_GPU_REQUIRED";

/// The first device's context. Without a device says `skipped` and why.
///
/// # Panics
/// If there is no device and [`REQUIRED`] is set.
#[must_use]
pub fn context() -> Option<Context> {
    match Device::all().and_then(|devices| Context::primary(devices[0])) {
        Ok(context) => Some(context),
        Err(error) if std::env::var_os(REQUIRED).is_some() => panic!("{error}; {}", error.hint()),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

/// Runs the tests of this program whose names have one of `filters` in them over the driver shim, with cards of their own and
/// `environment`; those that skip themselves count as failed.
///
/// # Panics
/// If one fails, or there is none.
pub fn over_the_shim(filters: &[&str], environment: &[(&str, &str)]) {
    let output = run_over_the_shim(&[filters, &["--nocapture", "--test-threads=1"]].concat(), environment);
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("skipped: "), "{said}");
    let passed = said.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed > 0), "no test is called {filters:?}:\n{said}");
    println!("{} tests passed over the driver shim", passed.unwrap_or_default());
}

/// Runs this program with `arguments` where `libcuda.so.1` and `libnvcuvid.so.1` are the shim.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn run_over_the_shim(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let run = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(format!("gantry-shim-{run}"));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for name in ["libcuda.so.1", "libnvcuvid.so.1"] {
        std::os::unix::fs::symlink(library(), folder.join(name)).expect("a link to the shim");
    }
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command
        .args(arguments)
        .env("LD_LIBRARY_PATH", &folder)
        .env("GANTRY_SHIM_RUN", &run)
        .env(REQUIRED, "1")
        .envs(environment.iter().copied());
    let output = command.output().expect("this program starts");
    std::fs::remove_dir_all(folder).expect("the temporary folder goes");
    output
}

/// The shim, which cargo builds with the tests of this package.
fn library() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let library = program.ancestors().nth(2).map(|target| target.join("examples/libdriver_shim.so")).filter(|library| library.is_file());
    library.expect("cargo builds the example `driver_shim` with the tests: `cargo test -p gantry-gpu-checks`")
}
