//! CPU time, memory.

use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeSet;
use std::path::Path;

/// Stages of the straight line; their names are the kinds of the nodes that do the same, but for the first.
pub const STAGES: [&str; 9] = ["start", "decode", "resize", "detect", "track", "crop", "enhance", "recognize", "vote"];

fn seconds(clock: ClockId) -> f64 {
    let t = clock_gettime(clock);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// CPU seconds of this process, all threads.
pub fn process_cpu_s() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// CPU time of this thread, split over stages. A look at the clock is a system call of about 0.3 us.
pub struct Laps {
    last: f64,
    /// Per stage.
    pub seconds: [f64; STAGES.len()],
}

impl Laps {
    /// Starts counting.
    pub fn start() -> Self {
        Self { last: seconds(ClockId::ThreadCPUTime), seconds: [0.0; STAGES.len()] }
    }

    /// What has passed since the last call goes to `stage`.
    pub fn lap(&mut self, stage: usize) {
        let now = seconds(ClockId::ThreadCPUTime);
        self.seconds[stage] += now - self.last;
        self.last = now;
    }
}

/// User and system seconds of all children that have ended and were waited for, and of theirs: ticks of 10 ms.
pub fn children_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 16 and 17, `cutime` and `cstime`; the command, which may hold spaces, is field 2.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after.split_whitespace().skip(13).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// Memory of `pid` and all processes below it, in bytes: the sum of their `Pss`, in which a page that several of them map counts
/// once. Adds what is running.
pub fn tree_pss_bytes(pid: u32) -> u64 {
    let mut todo = vec![pid];
    let mut seen = BTreeSet::new();
    let mut total = 0;
    while let Some(pid) = todo.pop() {
        if !seen.insert(pid) {
            continue;
        }
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kb = rollup.lines().find_map(|l| l.strip_prefix("Pss:")).and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
        total += kb.unwrap_or(0) * 1024;
        for task in Path::new(&format!("/proc/{pid}/task")).read_dir().into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            todo.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn laps_count_the_cpu_time_of_their_stage_and_nothing_while_sleeping() {
        let mut laps = Laps::start();
        let mut x = 1u64;
        while laps.seconds[1] < 0.02 {
            for i in 0..100_000u64 {
                x = std::hint::black_box(x.wrapping_mul(i | 1));
            }
            laps.lap(1);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        laps.lap(2);
        assert!(laps.seconds[2] < 0.02, "sleeping took {} s of CPU", laps.seconds[2]);
        assert!(process_cpu_s() >= laps.seconds[1]);
    }

    #[test]
    fn the_cpu_time_and_memory_of_grandchildren_are_seen() {
        let before = children_cpu_s();
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; sleep 0.3' & wait; exit 0"])
            .stdout(Stdio::null())
            .spawn()
            .expect("sh starts");
        std::thread::sleep(std::time::Duration::from_millis(100));
        let alone = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id())).expect("the child runs");
        assert!(alone.contains("Pss:"));
        assert!(tree_pss_bytes(child.id()) > 100_000);
        child.wait().expect("the child ends");
        assert!(children_cpu_s() - before > 0.05, "{} s", children_cpu_s() - before);
    }
}
