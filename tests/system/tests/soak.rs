//! The short form of `cargo xtask soak`: what leaks with each frame or message shows within a minute.

use gantry_system_tests::{Limits, Soak};
use std::time::Duration;

#[test]
fn a_site_of_eight_cameras_does_not_grow() {
    // A frame leaked per second and camera would be more; allocators still fill their caches in the first minute.
    let limits = Limits { memory_share: 0.1, memory_kb: 8_000, handles: 4 };
    let seen = Soak { warm_up: Duration::from_secs(25), length: Duration::from_secs(35), limits }.run(|line| println!("{line}"));
    println!("{seen:#?}");
    assert!(seen.verdicts.len() >= 16 + 9, "two nodes per camera and nine for all, found {:?}", seen.verdicts.keys());
    assert_eq!(seen.complaints(), Vec::<String>::new());
}
