//! Short runs of the chaos harness: `cargo xtask prove` runs the long one, `tests/gpu/run.sh` those on a card.

use std::path::Path;
use std::process::Command;

fn chaos(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry-chaos"));
    let run = command.args(arguments).envs(environment.iter().copied()).output().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    println!("{said}{failed}");
    assert!(run.status.success(), "{failed}");
    assert!(said.contains("every armed fault fired"));
    said.into_owned()
}

/// The same in memory of a card, where `libcuda.so.1` is the driver shim.
fn chaos_over_the_shim(memory: &str) {
    let name = format!("gantry-chaos-shim-{}-{memory}", std::process::id());
    let folder = std::env::temp_dir().join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    let shim = Path::new(env!("CARGO_BIN_EXE_gantry-chaos")).with_file_name("examples").join("libchaos_driver_shim.so");
    assert!(shim.is_file(), "cargo builds the example `chaos_driver_shim` with the tests: `cargo test -p gantry-chaos`");
    std::os::unix::fs::symlink(shim, folder.join("libcuda.so.1")).unwrap();
    let arguments = ["--kills", "30", "--seconds", "60", "--seed", "7", "--memory", memory];
    let said = chaos(&arguments, &[("LD_LIBRARY_PATH", folder.to_str().unwrap()), ("GANTRY_SHIM_RUN", &name)]);
    std::fs::remove_dir_all(folder).unwrap();
    assert!(said.contains(&format!("memory {memory}: ")));
}

#[test]
fn sixty_kills_at_armed_points_tear_lose_and_leave_nothing() {
    chaos(&["--kills", "60", "--seconds", "60", "--seed", "7"], &[]);
}

#[test]
fn kills_leave_nothing_in_vmm_memory_over_the_driver_shim() {
    chaos_over_the_shim("cuda_vmm");
}

#[test]
fn kills_leave_nothing_in_legacy_ipc_memory_over_the_driver_shim() {
    chaos_over_the_shim("cuda_ipc");
}
