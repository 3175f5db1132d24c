//! Operator libraries that are missing, of another ABI version, that panic or that break memory.

use gantry_system_tests::{Finished, Sandbox, clip, program, root};
use std::path::Path;
use std::process::Command;

/// An operator in C whose `run` writes where it may not.
const SEGFAULTS: &str = r#"
#include "gantry_operator.h"
#include <string.h>
#ifndef ABI
#define ABI GANTRY_OPERATOR_ABI
#endif
#define TEXT(s) { (const uint8_t *)(s), sizeof(s) - 1 }
static int state;
static int32_t describe(gantry_buffer *json) { memcpy(json->bytes, "[]", 2); json->len = 2; return GANTRY_OK; }
static int32_t create(gantry_text options, void **instance, gantry_buffer *message) { *instance = &state; return GANTRY_OK; }
static int32_t run(void *instance, const gantry_picture *in, const gantry_picture_mut *out, gantry_buffer *message) {
    *(volatile int *)8 = 1; return GANTRY_OK; }
static void destroy(void *instance) {}
static const gantry_plugin plugin = {
    { GANTRY_OPERATOR_MAGIC, ABI, sizeof(gantry_plugin), sizeof(gantry_picture), sizeof(gantry_buffer),
      TEXT(NAME), TEXT("1.0.0"), TEXT("cc") }, describe, create, run, destroy };
const gantry_header *gantry_operator_v1(void) { return &plugin.header; }
"#;

fn c_operator(folder: &Path, name: &str, abi: u32) {
    let source = folder.join(format!("{name}.c"));
    std::fs::write(&source, SEGFAULTS).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", &format!("-DABI={abi}u"), &format!("-DNAME=\"{name}\""), "-I"])
        .arg(root().join("runtime/operators/include"))
        .arg(&source)
        .arg("-o")
        .arg(folder.join(format!("libgantry_operator_{name}.so")))
        .status();
    assert!(status.expect("cc runs").success());
}

fn read_with(sandbox: &Sandbox, operator: &str, folder: &Path) -> Finished {
    let mut command = sandbox.read([clip("gate_day.mp4")]);
    command.arg("--set").arg(format!("enhance.OPERATORS={operator}"));
    command.arg("--set").arg(format!("enhance.OPERATOR_PATH={}", folder.display()));
    let done = sandbox.run(command, 60);
    sandbox.assert_nothing_left();
    done
}

#[test]
fn an_operator_of_another_abi_version_is_refused_and_both_versions_are_shown() {
    let sandbox = Sandbox::new();
    c_operator(&sandbox.path("out"), "newer", 7);
    let done = read_with(&sandbox, "newer", &sandbox.path("out"));
    done.assert_code(1);
    done.assert_says(&["node `enhance`", "libgantry_operator_newer.so", "operator ABI 1", "operator ABI 7", "hint: "]);
    assert!(done.seconds < 15.0, "took {:.1} s", done.seconds);
}

#[test]
fn an_operator_that_is_not_there_is_named_with_the_place_looked_at() {
    let sandbox = Sandbox::new();
    let done = read_with(&sandbox, "sharpne", &sandbox.path("out"));
    assert!((1..=2).contains(&done.code()), "{}", done.stderr);
    done.assert_says(&["enhance", "sharpne", "hint: "]);
}

#[test]
fn an_operator_that_panics_ends_the_run_with_its_words() {
    // The example beside these tests; cargo builds it with them.
    let folder = program("gantry").with_file_name("examples");
    let sandbox = Sandbox::new();
    let done = read_with(&sandbox, "alarm", &folder);
    done.assert_code(1);
    done.assert_says(&["node `enhance`", "operator `alarm`", "panicked", "columns are too many", "camera `gate_day`"]);
}

#[test]
fn an_operator_that_breaks_memory_takes_its_node_along_and_the_run_says_so() {
    let sandbox = Sandbox::new();
    c_operator(&sandbox.path("out"), "wild", 1);
    let done = read_with(&sandbox, "wild", &sandbox.path("out"));
    done.assert_code(1);
    done.assert_says(&["error: ", "enhance", "signal", "hint: "]);
}
