//! The scripts that check a card (tests/gpu), without one: over folders whose programs are stand-ins. What they must never do is to call something checked
//! that was not.
#![allow(clippy::disallowed_methods, reason = "commands of a test end with it")]

mod dry_run;
mod parts;
mod plates;
mod run;
mod streams;

use gantry_repository_tests::root;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

/// A script of tests/gpu.
fn script(name: &str) -> PathBuf {
    root().join("tests/gpu").join(name)
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A program of a few lines of shell or Python.
fn program(path: &Path, text: &str) {
    write(path, text);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A path that stands before all others in `PATH`.
fn path_with(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// What a command said, both ways.
fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Looks again and again whether `done`; a minute is a watchdog.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: not after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn terminate(child: &mut Child) -> ExitStatus {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let mut status = None;
    wait_until("the script ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Whether a process with the id in this file runs.
fn runs(pid_file: &Path) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", read(pid_file).trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}
