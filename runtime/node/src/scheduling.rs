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

/// Lets the other nodes of a live graph go first (`setpriority`, sched(7)) by that many levels of niceness, each a fifth of the weight: for the stage that may
/// leave work out when the processor is full, and a little for the first stages. What is nearly read goes before what was just taken, so that frames get
/// through one after the other instead of all late; and what there is no time for is left out in one place and counted there.
///
/// It is for the calling thread and those that it starts from then on. Where the system refuses, the stage competes with the others as any, and the log says so.
pub fn give_way(levels: i32) {
    if let Err(error) = be_nicer(levels) {
        tracing::warn!(%error, levels, "this node competes with the others for the processor, which should go first");
    }
}

#[allow(unsafe_code)]
fn be_nicer(levels: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers only; 0 names the calling thread.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    // SAFETY: as above.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, (now + levels).min(19)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of this thread (proc(5), `stat`), by the number of the field.
    fn field(number: usize) -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The first after the command's parenthesis is the third.
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(number - 3).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_that_gives_way_is_nicer_than_the_others() {
        let niceness = || field(19);
        let before = niceness();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                give_way(5);
                assert_eq!(niceness(), (before + 5).min(19));
            });
        });
        assert_eq!(niceness(), before, "this thread was not asked");
    }

    #[test]
    fn a_thread_and_those_that_it_starts_are_batch() {
        let policy = || field(41);
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
