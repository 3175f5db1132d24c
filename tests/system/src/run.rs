//! Runs programs in a sandbox, with a watchdog.

use crate::processes::{Process, marked, send, shared_memory};
use crate::{MARK_ENV, Stats, files, stats};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long what a run started may outlive it: dora's own grace for nodes is below that.
const AFTER_END: Duration = Duration::from_secs(20);

/// Folders of one run and the mark of its processes; what still runs when it is dropped is killed.
pub struct Sandbox {
    dir: tempfile::TempDir,
    /// Files of /dev/shm that its processes were seen to have mapped.
    shared: RefCell<BTreeSet<String>>,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for process in self.processes() {
            process.signal("KILL");
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// Empty folders. The path is short: socket paths end at 108 bytes.
    ///
    /// # Panics
    /// If the temporary folder cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("gst-").tempdir().expect("the temporary folder can be written");
        for name in ["tmp", "sockets", "out"] {
            std::fs::create_dir(dir.path().join(name)).expect("a new folder can be written");
        }
        Self { dir, shared: RefCell::default() }
    }

    /// A path in the sandbox.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where [`Sandbox::read`] puts the readings.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.path("out/readings.jsonl")
    }

    /// `program`, to be run in the project's folder with the sandbox's folders and mark.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env(MARK_ENV, self.dir.path()).env("TMPDIR", self.path("tmp")).env("GANTRY_RUNTIME_DIR", self.path("sockets"));
        command.current_dir(files::root()).stdin(Stdio::null());
        command
    }

    /// `gantry` with `arguments`.
    pub fn gantry<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(files::program("gantry"));
        // It keeps the sockets in the folder of the run.
        command.env_remove("GANTRY_RUNTIME_DIR");
        command.args(arguments);
        command
    }

    /// `gantry read SOURCES --out ...`; further arguments may be added.
    pub fn read<S: AsRef<OsStr>>(&self, sources: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.gantry(["read"]);
        command.args(sources).arg("--out").arg(self.out());
        command
    }

    /// The dora CLI of `cargo xtask setup`.
    ///
    /// # Panics
    /// If it is missing.
    #[must_use]
    pub fn dora(&self) -> Command {
        let path = files::root().join(".gantry/dora/bin/dora");
        assert!(path.is_file(), "{} is missing: run `cargo xtask setup`", path.display());
        // A bare `dora run` of 1.1 now and then leaves a zenoh segment in /dev/shm when it ends. `gantry read` switches that memory
        // off for its runs; after a bare `dora run` the next zenoh process that ends sweeps it up.
        let overlay = self.path("zenoh.json5");
        std::fs::write(&overlay, "{ transport: { shared_memory: { enabled: false } } }").expect("the sandbox can be written");
        let mut command = self.command(path);
        command.env("DORA_ZENOH_CONFIG_OVERLAY", overlay).env("DORA_NODE_SHM_POOL_SIZE", "0");
        // nextest asks for it, and dora's error would end in a page of Python's stack.
        command.env("RUST_BACKTRACE", "0");
        command
    }

    /// Starts `command`; its output goes to files of the sandbox.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(&self, mut command: Command) -> Running<'_> {
        let file = |name: &str| std::fs::File::create(self.path(name)).expect("the sandbox can be written");
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn();
        let child = child.unwrap_or_else(|e| panic!("{:?}: {e}", command.get_program()));
        Running { sandbox: self, child, started: Instant::now(), observed: Instant::now() }
    }

    /// Runs `command` to its end; the test fails if it takes longer than `limit_s`.
    #[must_use]
    pub fn run(&self, command: Command, limit_s: u64) -> Finished {
        self.start(command).end(limit_s)
    }

    /// Living processes of this sandbox.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        marked(&self.dir.path().to_string_lossy())
    }

    /// Statistics of the nodes, while a run goes on or after `--keep-run`.
    #[must_use]
    pub fn stats(&self) -> Stats {
        stats(&self.path("tmp"))
    }

    /// No process, no socket and no shared memory of this sandbox is left, at the latest after some seconds.
    ///
    /// # Panics
    /// If something is left.
    pub fn assert_nothing_left(&self) {
        let mut left = self.left();
        let started = Instant::now();
        while !left.is_empty() && started.elapsed() < AFTER_END {
            std::thread::sleep(Duration::from_millis(100));
            left = self.left();
        }
        assert!(left.is_empty(), "{} s after the end there are still:\n  {}\n{}", AFTER_END.as_secs(), left.join("\n  "), self.output());
    }

    fn observe(&self) {
        self.shared.borrow_mut().extend(shared_memory(&self.processes()));
    }

    fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = self.processes().iter().map(|p| format!("process {}: {}", p.pid, p.command)).collect();
        left.extend(files_below(&self.path("sockets")).iter().map(|f| format!("socket {}", f.display())));
        let is_socket = |p: &PathBuf| std::fs::symlink_metadata(p).is_ok_and(|m| m.file_type().is_socket());
        left.extend(files_below(&self.path("tmp")).iter().filter(|p| is_socket(p)).map(|f| format!("socket {}", f.display())));
        left.extend(self.shared.borrow().iter().filter(|f| Path::new(f).exists()).cloned());
        left
    }

    /// Nothing is left in the temporary folder either: the run folder of a successful run is removed.
    ///
    /// # Panics
    /// If something is left.
    pub fn assert_temporary_folder_is_empty(&self) {
        assert_eq!(files_below(&self.path("tmp")), Vec::<PathBuf>::new());
    }

    fn output(&self) -> String {
        let text = |name: &str| String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned();
        let mut all = format!("--- stdout\n{}--- stderr\n{}", text("stdout"), text("stderr"));
        for run in std::fs::read_dir(self.path("tmp")).into_iter().flatten().flatten() {
            let log = std::fs::read(run.path().join("dora.log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let from = log.char_indices().rev().nth(6000).map_or(0, |(i, _)| i);
            all.push_str(&format!("--- end of dora.log\n{}\n", &log[from..]));
        }
        all
    }
}

/// Everything below `dir` that is no folder.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() { all.extend(files_below(&path)) } else { all.push(path) }
    }
    all
}

/// A command under way.
pub struct Running<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    started: Instant,
    observed: Instant,
}

impl Running<'_> {
    /// Waits a little, and looks now and then at what the processes use.
    fn pause(&mut self) {
        if self.observed.elapsed() > Duration::from_millis(400) {
            self.sandbox.observe();
            self.observed = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Sends a signal to the command, not to what it started.
    pub fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    /// Waits until `what` holds of the run.
    ///
    /// # Panics
    /// If the command ends before that, or it takes longer than `limit_s`.
    pub fn wait_until(&mut self, what: &str, limit_s: u64, holds: impl Fn(&Sandbox) -> bool) {
        let started = Instant::now();
        while !holds(self.sandbox) {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("ended with {status} before {what}\n{}", self.sandbox.output());
            }
            assert!(started.elapsed().as_secs() < limit_s, "after {limit_s} s still not: {what}\n{}", self.sandbox.output());
            self.pause();
        }
    }

    /// Waits for the end and calls `disturb` every 20 ms until then.
    ///
    /// # Panics
    /// As [`Running::end`].
    #[must_use]
    pub fn end_disturbed(mut self, limit_s: u64, mut disturb: impl FnMut(&Sandbox)) -> Finished {
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && started.elapsed().as_secs() < limit_s {
            disturb(self.sandbox);
            self.pause();
        }
        self.end(limit_s.saturating_sub(started.elapsed().as_secs()).max(1))
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come within `limit_s` seconds from now; everything is killed then.
    #[must_use]
    pub fn end(mut self, limit_s: u64) -> Finished {
        let waiting = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let text = |name: &str| String::from_utf8_lossy(&std::fs::read(self.sandbox.path(name)).unwrap_or_default()).into_owned();
                let seconds = self.started.elapsed().as_secs_f64();
                return Finished { status, stdout: text("stdout"), stderr: text("stderr"), seconds, all: self.sandbox.output() };
            }
            if waiting.elapsed().as_secs() >= limit_s {
                let alive: Vec<String> = self.sandbox.processes().iter().map(|p| format!("{} {}", p.pid, p.command)).collect();
                let output = self.sandbox.output();
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("still running after {limit_s} s; alive:\n  {}\n{output}", alive.join("\n  "));
            }
            self.pause();
        }
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Finished {
    status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its error output.
    pub stderr: String,
    /// How long it ran.
    pub seconds: f64,
    all: String,
}

impl Finished {
    /// The exit code; 128 + the signal if one ended it, as shells say it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// The command ended with `code`.
    ///
    /// # Panics
    /// If not; with all it said.
    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.code(), code, "exit code\n{}", self.all);
    }

    /// The error output has each of `parts`.
    ///
    /// # Panics
    /// If not; with all it said.
    #[track_caller]
    pub fn assert_says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "nothing about `{part}`\n{}", self.all);
        }
    }

    /// Frames, from the summary line of `gantry read`.
    ///
    /// # Panics
    /// If there is no such line.
    #[must_use]
    #[track_caller]
    pub fn frames(&self) -> u64 {
        let words: Vec<&str> = self.stdout.split_whitespace().collect();
        let found = words.windows(3).find(|w| w[0] == "from" && w[2] == "frames").and_then(|w| w[1].parse().ok());
        found.unwrap_or_else(|| panic!("no summary\n{}", self.all))
    }
}
