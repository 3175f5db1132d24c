//! What comes over a pool's socket.
#![no_main]

#[path = "../checks/wire.rs"]
mod wire;

use gantry_frames as frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    wire::check(data);
});
