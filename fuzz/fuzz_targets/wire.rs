//! What comes over a pool's socket: nothing, or what encodes to the same bytes.
#![no_main]

use gantry_frames::proofs::{decode_reply, decode_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(again) = decode_request(data) {
        assert_eq!(again, data);
    }
    if let Some(again) = decode_reply(data) {
        assert_eq!(decode_reply(&again).as_ref(), Some(&again));
    }
});
