//! The short run of the chaos harness: `cargo xtask prove` runs the long one.

use std::process::Command;

#[test]
fn sixty_kills_at_armed_points_tear_lose_and_leave_nothing() {
    let run = Command::new(env!("CARGO_BIN_EXE_gantry-chaos")).args(["--kills", "60", "--seconds", "60", "--seed", "7"]).output().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{said}{failed}");
    assert!(run.status.success(), "{failed}");
    assert!(said.contains("every armed fault fired"));
}
