//! Memory of one process read by another, on each way of handing it over. The second process is this program again: `peer_process`
//! with a role in its environment. Without a device each test says `skipped` and why, and all of them run over the driver shim;
//! `tests/gpu/run.sh` demands a device.
#![allow(clippy::disallowed_methods, reason = "processes of a test end with it")]

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use gantry_cuda::*;
use gantry_gpu_checks::{REQUIRED, context, over_the_shim};

const WAY: &str = "GANTRY_CUDA_TEST_WAY";
const HANDLE: &str = "GANTRY_CUDA_TEST_HANDLE";
const HOLD: &str = "GANTRY_CUDA_TEST_HOLD";
const LEN: usize = 5 << 20;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

fn peer(way: &str, memory: &DeviceMemory, holds: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "peer_process", "--ignored", "--nocapture"]).env(WAY, way).stdout(Stdio::piped());
    if holds {
        command.env(HOLD, "1");
    }
    match way {
        "ipc" => command.env(HANDLE, hex(&memory.ipc_handle().unwrap())).stdin(Stdio::null()),
        _ => command.stdin(memory.export_fd().unwrap()),
    };
    command.spawn().unwrap()
}

/// What the peer read: its first byte, whether all others are the same.
///
/// The pipe comes along: a test program whose output nobody takes fails.
fn said(child: &mut Child) -> (String, impl Sized + use<>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.split_once("peer: ").map(|(_, said)| said.to_owned()));
    (said.expect("the peer says something"), lines)
}

fn make(way: &str, context: &Context) -> DeviceMemory {
    let made = if way == "ipc" { DeviceMemory::create_ipc(context, LEN) } else { DeviceMemory::create_vmm(context, LEN) };
    made.unwrap_or_else(|error| panic!("{error}; {}", error.hint()))
}

#[test]
#[ignore = "run by the other tests as their second process"]
fn peer_process() {
    let Ok(way) = std::env::var(WAY) else { panic!("started without {WAY}: the other tests start it") };
    let context = context().expect("the first process has a device");
    let memory = match way.as_str() {
        "ipc" => DeviceMemory::open_ipc(&context, unhex(&std::env::var(HANDLE).unwrap()), LEN),
        _ => DeviceMemory::import_vmm(&context, std::io::stdin().as_fd(), LEN),
    };
    let memory = memory.unwrap_or_else(|error| panic!("{error}; {}", error.hint()));
    assert!(memory.slice_mut(0, 1).is_err(), "imported memory is only for reading");
    assert!(memory.slice(1, LEN).is_err());
    let mut bytes = vec![0; LEN];
    Stream::new(&context).unwrap().download(&memory.slice(0, LEN).unwrap(), &mut bytes).unwrap();
    let same = bytes.iter().all(|byte| *byte == bytes[0]);
    println!("peer: {} {same} {:?}", bytes[0], memory.access());
    if std::env::var_os(HOLD).is_some() {
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
}

#[test]
fn these_checks_pass_over_the_driver_shim() {
    if std::env::var_os(REQUIRED).is_none() {
        over_the_shim(&["device_"], &[]);
    }
}

fn another_process_reads(way: &str) {
    let Some(context) = context() else { return };
    let memory = make(way, &context);
    let stream = Stream::new(&context).unwrap();
    for value in [7, 200] {
        // Many fills under way, the last one counts: what the peer reads must be what was there when the stream was synchronised.
        for other in 0..=200 {
            let last = if other == 200 { value } else { other };
            stream.fill(&mut memory.slice_mut(0, LEN).unwrap(), last).unwrap();
        }
        stream.synchronize().unwrap();
        let mut child = peer(way, &memory, false);
        let (said, _pipe) = said(&mut child);
        println!("{way}: the peer read {said}");
        assert!(said.starts_with(&format!("{value} true")), "{said}");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn device_another_process_reads_vmm_memory() {
    another_process_reads("vmm");
}

#[test]
fn device_another_process_reads_ipc_memory() {
    another_process_reads("ipc");
}

fn killed_readers_leave_nothing_behind(way: &str) {
    let Some(context) = context() else { return };
    let memory = make(way, &context);
    let (before, _) = context.memory_info().unwrap();
    for _ in 0..5 {
        let mut child = peer(way, &memory, true);
        let _pipe = said(&mut child).1;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // The driver may take a moment to tear a killed process down. What it keeps for itself is less than one process's share of the card.
    const ITS_OWN: u64 = 32 << 20;
    let mut free = 0;
    for _ in 0..100 {
        free = context.memory_info().unwrap().0;
        if free + ITS_OWN >= before {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{} bytes are still taken after five killed readers", before - free);
}

#[test]
fn device_killed_readers_leave_no_vmm_memory_behind() {
    killed_readers_leave_nothing_behind("vmm");
}

#[test]
fn device_killed_readers_leave_no_ipc_memory_behind() {
    killed_readers_leave_nothing_behind("ipc");
}

#[test]
fn device_what_is_no_memory_is_refused() {
    let Some(context) = context() else { return };
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(DeviceMemory::import_vmm(&context, file.as_fd(), LEN).unwrap_err().code().is_some());
    assert!(DeviceMemory::open_ipc(&context, [7; IPC_HANDLE_BYTES], LEN).unwrap_err().code().is_some());
    let small = DeviceMemory::create_vmm(&context, 1).unwrap();
    let fd = small.export_fd().unwrap();
    assert!(DeviceMemory::import_vmm(&context, fd.as_fd(), 1 << 30).is_err(), "a length that lies");
    assert!(small.ipc_handle().is_err());
}
