//! `memory: auto | cuda | host`: which memory is chosen, over cards that lack one thing or another.

use std::ffi::OsString;
use std::process::Command;

use gantry_frames::choice::{Choice, ChoiceError, Wish, answer, choose};
use gantry_frames::{Backend, Mode};

use crate::rig::{Dir, Kind, Rig};

const ARGUMENTS: [&str; 3] = ["GANTRY_PROBE_DIR", "GANTRY_PROBE_OUTPUT", "GANTRY_PROBE_DEVICE"];
pub const EXPECTED: &str = "GANTRY_POOLS_EXPECTED";

/// The second process of `choose`.
pub fn second() {
    let argument = |name| std::env::var_os(name).unwrap_or_else(|| panic!("started without {name}: the other tests start it"));
    if let Err(why) = answer(&ARGUMENTS.map(argument)) {
        eprintln!("{why}");
        std::process::exit(1);
    }
}

fn command(arguments: &[OsString; 3]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "probe_process", "--ignored", "--nocapture"]).envs(ARGUMENTS.iter().zip(arguments));
    command
}

fn chosen(wish: Wish, dir: &Dir) -> Result<Choice, ChoiceError> {
    choose(wish, &dir.0, command)
}

#[test]
fn without_a_device_auto_is_host_memory_and_cuda_an_error_with_the_reason() {
    let dir = Dir::new();
    let asked = chosen(Wish::Host, &dir).unwrap();
    assert_eq!((asked.memory.backend(), asked.reason.as_str()), (Backend::HostMemfd, "the graph asks for host memory"));
    if let Err(error) = gantry_cuda::Device::all() {
        let auto = chosen(Wish::Auto, &dir).unwrap();
        assert_eq!((auto.memory.backend(), auto.reason), (Backend::HostMemfd, error.to_string()));
        let refused = chosen(Wish::Cuda, &dir).unwrap_err();
        assert_eq!(refused.to_string(), format!("no CUDA memory for buffer pools: {error}"));
        assert_eq!(refused.hint, error.hint());
    }
}

#[test]
fn device_round_trip_chooses_memory_that_another_process_reads() {
    // Over the shim the test below says what is expected; a card has one of the two, whatever its attributes say.
    if gantry_gpu_checks::context().is_none() {
        return;
    }
    let dir = Dir::new();
    let expected = std::env::var(EXPECTED).unwrap_or_else(|_| "CUDA".to_owned());
    let choice = chosen(Wish::Auto, &dir).unwrap();
    println!("chosen: {}: {}", choice.memory.backend(), choice.reason);
    assert!(choice.memory.backend().to_string().starts_with(&expected), "{choice:?}");
    let cuda = chosen(Wish::Cuda, &dir);
    match choice.memory.backend() {
        Backend::HostMemfd => {
            let error = cuda.unwrap_err();
            // Both back ends, each with its own reason.
            assert!(error.why.contains("VMM") && error.why.contains("legacy IPC"), "{error}");
        }
        backend => {
            assert_eq!(cuda.unwrap().memory.backend(), backend);
            // What was chosen carries frames.
            let kind = if backend == Backend::CudaVmmFd { Kind::CudaVmmFd } else { Kind::CudaIpcLegacy };
            let rig = Rig::new(kind).unwrap();
            let pool = rig.pool(&dir.0, Mode::Lossless, 4);
            let frame = rig.client(&dir.0).acquire(&rig.publish(&pool).handle).unwrap();
            rig.assert_intact(&frame);
        }
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0, "the round trips left files behind");
}
