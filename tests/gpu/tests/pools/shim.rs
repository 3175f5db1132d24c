//! The device's part of the suite over the driver shim, and what only the shim can be told to do. run.sh leaves these out on a card.

use gantry_frames::Mode;
use gantry_gpu_checks::{REQUIRED, over_the_shim};

use crate::choice::EXPECTED;
use crate::peers::Peer;
use crate::rig::{Dir, Kind, Rig};

#[test]
fn the_suite_passes_over_the_driver_shim() {
    // On a card it runs there.
    if std::env::var_os(REQUIRED).is_none() {
        over_the_shim(&["device_vmm::", "device_ipc::"], &[]);
    }
}

#[test]
fn a_reader_that_sees_another_card_is_told_so() {
    if std::env::var_os(REQUIRED).is_none() {
        over_the_shim(&["shim::only_"], &[]);
    }
}

#[test]
fn the_round_trip_decides_and_not_what_a_card_says_of_itself() {
    if std::env::var_os(REQUIRED).is_some() {
        return;
    }
    for (lacks, expected) in [
        ("", "CUDA memory (VMM descriptor)"),
        ("vmm-create", "CUDA memory (legacy IPC)"),
        // The card makes and exports the memory, and says it can; only another process finds that it cannot be had.
        ("vmm-import", "CUDA memory (legacy IPC)"),
        ("vmm-import,ipc-open", "host memory"),
        ("vmm-create,ipc-export", "host memory"),
    ] {
        over_the_shim(&["choice::device_round_trip"], &[("GANTRY_SHIM_LACKS", lacks), (EXPECTED, expected)]);
    }
}

/// Does nothing but over the shim, where the test above calls it.
#[test]
fn only_the_card_of_the_pool_will_do() {
    if std::env::var_os("GANTRY_SHIM_RUN").is_none() {
        return;
    }
    for kind in [Kind::CudaVmmFd, Kind::CudaIpcLegacy] {
        let Some(rig) = Rig::new(kind) else { return };
        let dir = Dir::new();
        let pool = rig.pool(&dir.0, Mode::Live, 6);
        let said = Peer::start_with("join", kind, &dir, &[("GANTRY_SHIM_CARDS", "9,7")]).line();
        assert!(said.contains("lies on device GPU-07070707-") && said.contains("works on GPU-09090909-"), "{said}");
        assert_eq!(Peer::start("join", kind, &dir).line(), "joined true");
        drop(pool);
    }
}
