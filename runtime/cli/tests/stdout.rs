//! Standard output that nobody reads, or that cannot be written.

use std::process::{Command, Stdio};

fn doctor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.arg("doctor").stderr(Stdio::piped());
    command
}

#[test]
fn a_reader_that_has_gone_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = doctor().stdout(writer).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_full_disk_behind_it_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = doctor().stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("error: standard output: "), "{said}");
}
