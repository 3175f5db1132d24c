//! Decoding and checking a handle.
#![no_main]

#[path = "../checks/handle.rs"]
mod handle;

use std::sync::LazyLock;

use gantry_frames as frames;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<handle::Target> =
    LazyLock::new(|| handle::Target::new(&std::env::temp_dir().join(format!("gantry-fuzz-{}", std::process::id()))));

fuzz_target!(|data: &[u8]| {
    TARGET.check(data);
});
