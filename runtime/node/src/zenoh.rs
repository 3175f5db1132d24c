//! Settings of the zenoh session that dora opens in every node.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};

/// Where dora looks for them.
pub const ZENOH_OVERLAY_ENV: &str = "DORA_ZENOH_CONFIG_OVERLAY";
/// Where zenoh itself looks; dora takes one of both.
const ZENOH_CONFIG_ENV: &str = "ZENOH_CONFIG";

/// No message of ours goes over zenoh: edges with `backpressure` take the daemon's path. What is left is what its sessions do while idle: every node
/// tells every other that it lives, every 2.5 s. With these settings an idle node wakes 15 times a second and not 68, and takes 1.3 ms of CPU and not
/// 4.6 (2 cores, one camera, 11 processes); in a site of four cameras its threads took 7 % of a core. The end of a process closes its links at once,
/// whatever the lease. zenoh's shared memory (10 MB locked per node) is never used, and a killed node leaves its segments in /dev/shm.
pub const ZENOH_OVERLAY: &str = "{transport: {link: {tx: {lease: 60000, keep_alive: 2}}, shared_memory: {enabled: false}}}\n";

/// Has dora find [`ZENOH_OVERLAY`], unless whoever started this process has settings of their own. The session can be opened while the file that is
/// returned is open: it has no name, so that nobody else can change it and nothing is left of it.
///
/// # Safety
/// To be called while the process has one thread: it changes the environment.
///
/// # Errors
/// No file; the session then has dora's settings and works as well.
#[allow(unsafe_code)]
pub(crate) unsafe fn settle() -> std::io::Result<Option<OwnedFd>> {
    if [ZENOH_OVERLAY_ENV, ZENOH_CONFIG_ENV].iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(None);
    }
    let file = rustix::fs::memfd_create("zenoh.json5", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(ZENOH_OVERLAY.as_bytes())?;
    let file = OwnedFd::from(file);
    // SAFETY: there is no other thread that could read the environment.
    unsafe { std::env::set_var(ZENOH_OVERLAY_ENV, format!("/proc/self/fd/{}", file.as_raw_fd())) };
    Ok(Some(file))
}
