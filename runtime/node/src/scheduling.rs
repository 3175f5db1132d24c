//! How the kernel should share the processor between the nodes of a run.

use std::io;

/// Tells the kernel that this process is after throughput: a thread of it that wakes up does not push aside the one that is running
/// (`SCHED_BATCH`, sched(7)). In a lossless run a dozen nodes wake each other all the time and none is in a hurry; each
/// interruption would cost a model its caches. Threads that are started later inherit it, and `nice` counts as before.
///
/// # Errors
/// What the system answers; the run is slower then and otherwise the same.
#[allow(unsafe_code)]
pub(crate) fn prefer_throughput() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is that of a live, initialised `sched_param`, which the call reads and does not keep; 0 names the
    // calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_those_that_it_starts_are_batch() {
        let policy = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // Field 41, of which the first after the command's parenthesis is the third.
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse::<i32>().unwrap()
        };
        let before = policy();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                prefer_throughput().unwrap();
                assert_eq!(policy(), libc::SCHED_BATCH);
                std::thread::scope(|inner| drop(inner.spawn(|| assert_eq!(policy(), libc::SCHED_BATCH))));
            });
        });
        assert_eq!(policy(), before, "this thread was not asked");
    }
}
