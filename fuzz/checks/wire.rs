//! What comes over a pool's socket is nothing, or what encodes to the same bytes. For the fuzz target and for the replay of its
//! seeds (tests/chaos/tests/seeds.rs); `crate::frames` is the crate under test.

use crate::frames::proofs::{decode_reply, decode_request};

/// Decodes `data` as both ends would; what it is. Panics if it is something, and not all of it means something.
pub fn check(data: &[u8]) -> &'static str {
    if let Some(again) = decode_request(data) {
        assert_eq!(again, data);
        assert_eq!(decode_reply(data), None, "a request is no reply");
        return "request";
    }
    match decode_reply(data) {
        // A refusal has a number that means something only in some refusals.
        Some(again) => {
            assert_eq!(decode_reply(&again).as_ref(), Some(&again));
            "reply"
        }
        None => "nothing",
    }
}
