//! What a buffer pool promises, on every back end: the same suite for host memory and for both kinds of device memory, in real processes.
//!
//! A frame is written as a card writes it, in pieces that are under way for a while, and most of what is written is overwritten again before it is
//! published: a frame that is read before its work is done is found out. The second process is this program again, `peer_process`.
#![allow(clippy::disallowed_methods, reason = "processes and threads of a test end with it")]

mod choice;
mod peers;
mod rig;
mod shim;
mod suite;

use rig::Kind;

/// One test per promise and back end. The device's run on a card, and over the driver shim where there is none.
macro_rules! suite {
    ($($promise:ident)*) => {
        mod host {
            $(#[test] fn $promise() { super::suite::$promise(super::Kind::Host); })*
        }
        mod device_vmm {
            $(#[test] fn $promise() { super::suite::$promise(super::Kind::CudaVmmFd); })*
        }
        mod device_ipc {
            $(#[test] fn $promise() { super::suite::$promise(super::Kind::CudaIpcLegacy); })*
        }
    };
}

suite! {
    a_frame_is_read_as_it_was_written
    another_process_reads_complete_frames_and_maps_the_pool_once
    live_never_overwrites_what_a_reader_holds
    lossless_reaches_a_reader_once_and_in_order_across_kills
    a_killed_readers_leases_and_mappings_are_free
    a_stopped_reader_keeps_its_frames
    a_killed_producer_leaves_no_memory_behind
    memory_goes_when_a_pool_is_closed_and_readers_live_on
    memory_stays_under_a_reader_that_does_not_let_go
    a_loan_that_is_dropped_ends_its_work_first
    a_handle_of_another_device_is_refused
    a_reader_without_the_device_is_refused_and_may_come_back_with_it
}

#[test]
#[ignore = "run by the other tests as their second process"]
fn peer_process() {
    peers::run();
}

#[test]
#[ignore = "run by the choice of a memory as its second process"]
fn probe_process() {
    choice::second();
}
