//! Loading real libraries: good ones, wrong ones, panicking ones, and one in C.

use gantry_operators::{Library, LoadError, OperatorError, Picture, PictureMut, library_file};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The examples of this crate are libraries; cargo builds them with the tests.
fn example(operator: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let folder = exe.ancestors().nth(2).unwrap().join("examples");
    folder.join(library_file(operator))
}

/// Compiles C with the linker driver that Rust itself needs.
fn c_library(folder: &Path, name: &str, defines: &[&str], source: &str) -> PathBuf {
    let file = folder.join(format!("{name}.c"));
    std::fs::write(&file, source).unwrap();
    let out = folder.join(format!("lib{name}.so"));
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-I", include])
        .args(defines)
        .arg(&file)
        .arg("-o")
        .arg(&out)
        .status();
    assert!(status.unwrap().success(), "cc failed");
    out
}

const C_OPERATOR: &str = r#"
#include "gantry_operator.h"
#include <stdlib.h>
#include <string.h>
#ifndef ABI
#define ABI GANTRY_OPERATOR_ABI
#endif
#ifndef EXTRA
#define EXTRA 0
#endif
#define TEXT(s) { (const uint8_t *)(s), sizeof(s) - 1 }
static int32_t describe(gantry_buffer *json) { if (ABI != 1 || EXTRA) abort(); memcpy(json->bytes, "[]", 2); json->len = 2; return GANTRY_OK; }
static int32_t create(gantry_text options, void **instance, gantry_buffer *message) {
    if (options.len) { memcpy(message->bytes, "no options", 10); message->len = 10; return GANTRY_REFUSED; }
    *instance = malloc(1); return GANTRY_OK; }
static int32_t run(void *instance, const gantry_picture *in, const gantry_picture_mut *out, gantry_buffer *message) {
    for (uint32_t y = 0; y < in->height; y++) for (uint32_t x = 0; x < in->width; x++)
        out->data[y * out->stride + x] = in->data[y * in->stride + (in->width - 1 - x)];
    return GANTRY_OK; }
static void destroy(void *instance) { free(instance); }
static const gantry_plugin plugin = {
    { GANTRY_OPERATOR_MAGIC, ABI, sizeof(gantry_plugin) + EXTRA, sizeof(gantry_picture), sizeof(gantry_buffer),
      TEXT("mirror"), TEXT("2.5.0"), TEXT("cc") }, describe, create, run, destroy };
const gantry_header *gantry_operator_v1(void) { return &plugin.header; }
"#;

#[test]
fn runs_a_library_with_its_options_and_outlives_the_handle() {
    let library = Library::open(&example("example")).unwrap();
    assert_eq!(library.name(), "example");
    assert_eq!(library.params().len(), 1);
    assert_eq!(library.params()[0].name, "strength");
    let mut full = library.create("").unwrap();
    let mut half = library.create("strength=0.5").unwrap();
    drop(library);
    // Strided on both sides; the padding stays.
    let input: Vec<u8> = (0..5 * 3).collect();
    let mut output = vec![9u8; 6 * 3];
    let picture = Picture::new(&input, 4, 3, 5).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| full.run(&picture, &mut PictureMut::new(&mut output, 4, 3, 6).unwrap()).unwrap());
    });
    assert_eq!(output, [255, 254, 253, 252, 9, 9, 250, 249, 248, 247, 9, 9, 245, 244, 243, 242, 9, 9]);
    half.run(&picture, &mut PictureMut::new(&mut output, 4, 3, 6).unwrap()).unwrap();
    assert_eq!(output[0], 128);
}

#[test]
fn refuses_unknown_options_and_values_out_of_range_with_a_hint() {
    let library = Library::open(&example("example")).unwrap();
    let refused = library.create("strenght=1").unwrap_err().to_string();
    assert!(refused.contains("did you mean `STRENGTH`?"), "{refused}");
    let refused = library.create("strength=2").unwrap_err();
    assert!(matches!(&refused, OperatorError::Options { why, .. } if why.contains("outside 0..=1")), "{refused}");
    assert!(matches!(library.create("strength"), Err(OperatorError::Options { .. })));
}

#[test]
fn a_panic_stops_at_the_boundary_and_the_instance_is_not_used_again() {
    let library = Library::open(&example("panics")).unwrap();
    let mut instance = library.create("").unwrap();
    let mut out = vec![0u8; 200 * 200];
    let input = vec![0u8; 200 * 200];
    let run = |i: &mut gantry_operators::Instance, w: usize, h: usize, out: &mut [u8]| {
        i.run(&Picture::new(&input, w, h, w).unwrap(), &mut PictureMut::new(out, w, h, w).unwrap())
    };
    run(&mut instance, 50, 50, &mut out).unwrap();
    assert_eq!(out[0], 1);
    assert!(matches!(run(&mut instance, 50, 150, &mut out), Err(OperatorError::Failed { why, .. }) if why == "150 rows are too many"));
    run(&mut instance, 50, 50, &mut out).unwrap();
    let panicked = run(&mut instance, 150, 50, &mut out).unwrap_err().to_string();
    assert_eq!(panicked, "operator `panics` panicked: 150 columns are too many");
    assert!(matches!(run(&mut instance, 50, 50, &mut out), Err(OperatorError::Panicked { .. })));
    // A new instance of the same library works.
    run(&mut library.create("").unwrap(), 50, 50, &mut out).unwrap();
}

#[test]
fn another_abi_version_is_refused_before_anything_is_called_and_shows_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    // `describe` of these aborts the process: it must not be called.
    let newer = c_library(folder.path(), "newer", &["-DABI=7"], C_OPERATOR);
    let said = Library::open(&newer).unwrap_err().to_string();
    assert!(said.contains("host:    operator ABI 1, struct sizes 104/24/24"), "{said}");
    assert!(said.contains("library: operator ABI 7, struct sizes 104/24/24 bytes (`mirror` 2.5.0, built with cc)"), "{said}");
    let larger = c_library(folder.path(), "larger", &["-DEXTRA=8"], C_OPERATOR);
    let error = Library::open(&larger).unwrap_err();
    assert!(matches!(&error, LoadError::Abi { library, .. } if library.contains("112/24/24")), "{error}");
    assert!(error.hint().contains("rebuild"));
}

#[test]
fn an_operator_in_c_works_through_the_same_loader() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(&c_library(folder.path(), "mirror", &[], C_OPERATOR)).unwrap();
    assert!(matches!(library.create("a=1"), Err(OperatorError::Options { why, .. }) if why == "no options"));
    let mut out = [0u8; 6];
    library
        .create("")
        .unwrap()
        .run(&Picture::new(&[1, 2, 3, 4, 5, 6], 3, 2, 3).unwrap(), &mut PictureMut::new(&mut out, 3, 2, 3).unwrap())
        .unwrap();
    assert_eq!(out, [3, 2, 1, 6, 5, 4]);
}

#[test]
fn files_that_are_no_operators_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("libnone.so");
    assert!(matches!(Library::open(&missing), Err(LoadError::Open { path, .. }) if path == missing));
    let text = folder.path().join("libtext.so");
    std::fs::write(&text, "no library").unwrap();
    assert!(matches!(Library::open(&text), Err(LoadError::Open { .. })));
    let plain = c_library(folder.path(), "plain", &[], "int answer(void) { return 42; }");
    assert!(matches!(Library::open(&plain), Err(LoadError::NoEntry { .. })));
    let other = c_library(
        folder.path(),
        "other",
        &[],
        "#include <stdint.h>\nstatic const uint64_t x[16] = {5}; const void *gantry_operator_v1(void) { return x; }",
    );
    assert!(matches!(Library::open(&other), Err(LoadError::Magic { found: 5, .. })));
}
