//! tests/gpu/parts.sh and the join.sh that it writes, and what pack.sh takes along.

use crate::{path_with, program, read, said, script, write};
use gantry_repository_tests::root;
use std::path::Path;
use std::process::{Command, Output};

/// A folder of 3 MB that nothing makes smaller, with a link and a program, in parts of 1 MiB.
fn parts(at: &Path) {
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((state >> 24) as u8)
    })
    .take(3_000_000)
    .collect();
    write(&at.join("made/deep/text"), "text");
    std::fs::write(at.join("made/noise"), noise).unwrap();
    program(&at.join("made/run.sh"), "echo ran\n");
    std::os::unix::fs::symlink("deep", at.join("made/link")).unwrap();
    let output = Command::new(script("parts.sh")).arg(at.join("made")).arg("1").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// As on a machine without xz.
fn join(at: &Path) -> Output {
    program(&at.join("tools/xz"), "#!/bin/sh\necho 'xz: not found' >&2\nexit 127\n");
    Command::new("bash")
        .arg(at.join("made.parts/join.sh"))
        .arg(at.join("there"))
        .env("PATH", path_with(&at.join("tools")))
        .output()
        .unwrap()
}

fn bring(at: &Path) {
    std::fs::create_dir_all(at.join("there")).unwrap();
    for part in at.join("made.parts").read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        std::fs::copy(&part, at.join("there").join(part.file_name().unwrap())).unwrap();
    }
}

#[test]
fn parts_join_to_the_same_bytes_without_xz() {
    let at = tempfile::tempdir().unwrap();
    parts(at.path());
    bring(at.path());
    let sizes: Vec<u64> = at.path().join("made.parts").read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() >= 4 && sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");
    let output = join(at.path());
    assert!(output.status.success(), "{}", said(&output));
    let same = Command::new("diff").arg("-r").arg("--no-dereference").args(["made", "there/made"]).current_dir(&at).output().unwrap();
    assert!(same.status.success(), "{}", said(&same));
    let ran = Command::new(at.path().join("there/made/run.sh")).output();
    assert!(ran.is_err() || ran.is_ok_and(|ran| ran.status.success()), "what could be executed still can");
    assert_eq!(read(&at.path().join("there/made/link/text")), "text");
}

#[test]
fn a_missing_part_and_a_damaged_one_are_told_and_nothing_is_unpacked() {
    let at = tempfile::tempdir().unwrap();
    parts(at.path());
    bring(at.path());
    let first = at.path().join("there/part.00");
    let bytes = std::fs::read(&first).unwrap();
    std::fs::remove_file(&first).unwrap();
    let output = join(at.path());
    assert!(output.status.code() == Some(4) && said(&output).contains("parts are here"), "{}", said(&output));
    std::fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
    let output = join(at.path());
    assert!(output.status.code() == Some(1) && said(&output).contains("part.00: FAILED"), "{}", said(&output));
    assert!(!at.path().join("there/made").exists());
}

#[test]
fn the_onnx_runtime_that_is_packed_is_the_one_of_the_docs() {
    let pack = read(&script("pack.sh"));
    let wanted = pack.split("\nonnxruntime_gpu=").nth(1).and_then(|rest| rest.lines().next()).expect("a version");
    let page = read(&root().join("docs/gpu.md"));
    assert!(page.contains(&format!("onnxruntime-gpu=={wanted}")), "docs/gpu.md does not install {wanted}");
}
