//! Running programs and saying so.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program with its arguments, run in the project's folder.
pub struct Step {
    command: Command,
    shown: String,
}

impl Step {
    /// The program.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(&program);
        command.current_dir(root());
        let ort = root().join(".gantry/onnxruntime");
        if let (None, Some(library)) = (std::env::var_os("ORT_DYLIB_PATH"), crate::setup::library_in(&ort, "libonnxruntime")) {
            command.env("ORT_DYLIB_PATH", library);
        }
        let shown = Path::new(program.as_ref()).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Self { command, shown }
    }

    /// One argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Several arguments.
    pub fn args<S: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = S>) -> Self {
        arguments.into_iter().fold(self, |step, a| step.arg(a))
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }
}

/// `cargo SUBCOMMAND`.
pub fn cargo(subcommand: &str) -> Step {
    let mut step = Step::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).arg(subcommand);
    // `cargo xtask` describes this package to us. Build scripts look at such variables (ring's does), so that a build from here and
    // one by hand in turn would compile ring, zenoh and dora again each time: 3 minutes on 2 cores.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            step.command.env_remove(name);
        }
    }
    step
}

/// Runs a step to its end.
pub fn run(mut step: Step) -> Result<(), String> {
    let status = step.command.status().map_err(|e| format!("`{}` could not be started: {e}", step.shown))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", step.shown)) }
}

/// A line about what happens now.
pub fn say(text: &str) {
    eprintln!("xtask: {text}");
}

/// The project's folder.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}
