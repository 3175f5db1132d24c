//! Processes and shared memory, from /proc and /dev/shm.

use crate::MARK_ENV;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A living process of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its program.
    pub exe: PathBuf,
    /// Its command line.
    pub command: String,
}

impl Process {
    /// File name of the program.
    #[must_use]
    pub fn name(&self) -> &str {
        self.exe.file_name().and_then(|n| n.to_str()).unwrap_or_default()
    }

    /// Puts it on other processors, e.g. `0` or `0,1`.
    pub fn pin(&self, processors: &str) {
        let mut command = Command::new("taskset");
        let _ = command.args(["-a", "-p", "-c", processors]).arg(self.pid.to_string()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    /// Changes its priority; 19 is the lowest.
    pub fn renice(&self, nice: i32) {
        let mut command = Command::new("renice");
        let _ =
            command.args(["-n", &nice.to_string(), "-p"]).arg(self.pid.to_string()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    /// Sends `signal`, e.g. `KILL`.
    pub fn signal(&self, signal: &str) {
        send(self.pid, signal);
    }
}

/// `kill` of util-linux: no unsafe code.
pub(crate) fn send(pid: u32, signal: &str) {
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
}

/// Processes that carry `mark` in their environment, by id. Zombies have no environment any more and do not count.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK_ENV}={mark}");
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(environ) = std::fs::read(entry.path().join("environ")) else { continue };
        if pid == std::process::id() || !environ.split(|b| *b == 0).any(|v| v == wanted.as_bytes()) {
            continue;
        }
        let exe = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        all.push(Process { pid, exe, command });
    }
    all.sort_by_key(|p| p.pid);
    all
}

/// Files of /dev/shm that `processes` have mapped.
pub(crate) fn shared_memory(processes: &[Process]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for process in processes {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.pid)).unwrap_or_default();
        names.extend(maps.lines().filter_map(|l| l.split_whitespace().last()).filter(|n| n.starts_with("/dev/shm/")).map(str::to_owned));
    }
    names
}

/// Flags of `unshare` with which this user may mount: root, or a machine that allows user namespaces.
#[must_use]
pub fn may_mount() -> Option<Vec<&'static str>> {
    [vec!["--mount"], vec!["--mount", "--map-root-user"]].into_iter().find(|flags| {
        let mut test = Command::new("unshare");
        test.args(flags).args(["sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]);
        test.output().is_ok_and(|o| o.status.success())
    })
}
