//! Starts `dora run`, shows progress, ends it cleanly.

pub use super::deaths::Death;
use super::deaths::Deaths;
use super::interrupts::Interrupts;
use super::plan::Plan;
use super::progress::Progress;
use crate::failure::Failure;
use crate::report::stages::Load;
use gantry_node::NodeStats;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// After a node failed, the others get this long to end by themselves.
const AFTER_FAULT: Duration = Duration::from_secs(3);
/// How often the progress bar takes new numbers.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// dora asks for 10 s and kills after 15 s; then we end dora itself.
const AFTER_STOP: Duration = Duration::from_secs(20);

/// A fault that a node wrote into the run folder.
#[derive(serde::Deserialize)]
struct NodeFault {
    node: String,
    message: String,
    hint: Option<String>,
}

/// How the run ended.
pub struct Outcome {
    status: ExitStatus,
    /// The user ended it, and nothing had failed before that.
    pub interrupted: bool,
    /// In the order in which they were written: the first is the cause, the others often its consequences.
    faults: Vec<NodeFault>,
    /// Nodes that ended before anybody asked the run to stop, and did not say why.
    deaths: Vec<Death>,
    /// Things that people should know although the run went on: damaged input, lost messages.
    pub warnings: Vec<String>,
    stats: BTreeMap<String, NodeStats>,
    seconds: f64,
}

impl Outcome {
    /// The node that a signal ended while the run went on, if nobody had asked for its end.
    pub fn death(&self) -> Option<&Death> {
        self.deaths.iter().find(|death| death.is_by_signal()).filter(|_| !self.interrupted)
    }

    /// The failure that the command ends with, if the run did not succeed.
    pub fn failure(&self, plan: &Plan) -> Option<Failure> {
        if self.interrupted {
            return Some(Failure::interrupted(format!("interrupted; what was read until then is in {}", plan.out.display())));
        }
        let logs = format!("logs: {}", plan.run_dir.display());
        // A node that a signal ended, or one from outside that gave up, makes others fail that wait for it.
        if let Some(death) = self.deaths.iter().find(|death| self.is_cause(death)) {
            return Some(Failure::failed(death.message()).hint(format!("{}\n{logs}", death.hint())));
        }
        if let Some(fault) = self.faults.first() {
            let more = if self.faults.len() > 1 { format!(" (and {} more)", self.faults.len() - 1) } else { String::new() };
            let failure = Failure::failed(format!("{}{more}", fault.message));
            return Some(match &fault.hint {
                Some(hint) => failure.hint(format!("{hint}\n{logs}")),
                None => failure.hint(logs),
            });
        }
        if !self.status.success() {
            return Some(
                Failure::failed(format!("dora ended with {}", self.status))
                    .hint(format!("see {}", plan.run_dir.join("dora.log").display())),
            );
        }
        None
    }

    /// The statistics of all nodes, by node id.
    pub fn stats(&self) -> &BTreeMap<String, NodeStats> {
        &self.stats
    }

    /// Wall clock of the run in s, with starting and ending.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    fn is_cause(&self, death: &Death) -> bool {
        death.is_by_signal() || !self.faults.iter().any(|fault| fault.node == death.node)
    }

    /// Frames, speed, CPU.
    pub fn print_summary(&self, plan: &Plan, readings: usize) {
        let load = Load::of(&self.stats, self.seconds);
        outln!(
            "{readings} reading{} from {} frames in {:.1} s: {:.0} frames/s, {:.1} ms of CPU per frame, {:.2} GB at most -> {}",
            if readings == 1 { "" } else { "s" },
            load.frames,
            load.seconds,
            load.fps(),
            load.cpu_ms(),
            load.peak_rss_bytes as f64 / 1e9,
            plan.out.display()
        );
    }
}

/// Frames that the decoders of the run have delivered.
pub fn decoded(stats: &BTreeMap<String, NodeStats>) -> u64 {
    let of = |map: &BTreeMap<String, u64>, name: &str| map.get(name).copied().unwrap_or(0);
    // The row that ends a stream is no frame.
    stats.values().filter(|s| s.kind == "decode").map(|s| of(&s.rows_out, "frames").saturating_sub(of(&s.counters, "streams_ended"))).sum()
}

/// Runs the planned graph to its end.
pub fn run(plan: &Plan, progress: &Progress, interrupts: &Interrupts) -> Result<Outcome, Failure> {
    let log = std::fs::File::create(plan.run_dir.join("dora.log")).map_err(|e| Failure::failed(format!("log file: {e}")))?;
    let log_too = log.try_clone().map_err(|e| Failure::failed(format!("log file: {e}")))?;
    let mut command = Command::new(&plan.dora);
    command.arg("run").arg(&plan.graph).current_dir(&plan.run_dir);
    if let Some(seconds) = plan.stop_after {
        command.args(["--stop-after", &format!("{seconds}s")]);
    }
    environment(&mut command, plan).map_err(|e| Failure::failed(format!("{}: {e}", plan.run_dir.display())))?;
    // A group of its own: Ctrl-C reaches dora once, from us.
    command.stdin(Stdio::null()).stdout(log).stderr(log_too).process_group(0);
    let started = Instant::now();
    let child = command.spawn().map_err(|e| Failure::failed(format!("{}: {e}", plan.dora.display())).hint("run `cargo xtask setup`"))?;
    let watcher = Watcher::over(&child);
    let (status, interrupted, deaths) = wait(child, plan, progress, interrupts)?;
    drop(watcher);
    let _ = std::fs::remove_dir_all(sockets(plan));
    let stats = NodeStats::read_all(&plan.run_dir);
    let survived = plan.restarts_nodes && status.success();
    let (faults, deaths) = if survived { Default::default() } else { (read_faults(&plan.run_dir), deaths) };
    let warnings = warnings(&stats);
    Ok(Outcome { status, interrupted, faults, deaths, warnings, stats, seconds: started.elapsed().as_secs_f64() })
}

/// What dora and the nodes get to know beyond the graph.
fn environment(command: &mut Command, plan: &Plan) -> std::io::Result<()> {
    command.env(gantry_node::RUN_DIR_ENV, &plan.run_dir);
    let mut default = |name: &str, value: &std::ffi::OsStr| {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    };
    // Inside the run folder, so that sockets of killed nodes go with it.
    default(gantry_node::RUNTIME_DIR_ENV, sockets(plan).as_os_str());
    // Our nodes have these settings anyway; dora's daemon and nodes of others get them here.
    let overlay = plan.run_dir.join("zenoh.json5");
    std::fs::write(&overlay, gantry_node::ZENOH_OVERLAY)?;
    default(gantry_node::ZENOH_OVERLAY_ENV, overlay.as_os_str());
    default("DORA_NODE_SHM_POOL_SIZE", "0".as_ref());
    // dora-node-api warns of each large message and prints the whole graph, addresses of streams too, into the log.
    default("GANTRY_LOG", "info,zenoh=error,dora_node_api=error".as_ref());
    // ONNX Runtime 1.32 makes a telemetry session (a file in the temporary folder, an address of its maker) before
    // `with_telemetry(false)` reaches it; this stops it at the start.
    default("ORT_DISABLE_TELEMETRY", "1".as_ref());
    if let Some(library) = crate::paths::onnxruntime() {
        command.env("ORT_DYLIB_PATH", library);
    }
    Ok(())
}

fn sockets(plan: &Plan) -> std::path::PathBuf {
    plan.run_dir.join("sockets")
}

/// Ends dora if this process dies without doing so itself: it waits for the other end of its input to close. A parent death
/// signal (`setpriv --pdeathsig`) comes once per dying thread of the parent, and dora takes the second for "at once".
struct Watcher {
    shell: Option<Child>,
}

impl Watcher {
    const SCRIPT: &str = "read -r word && exit; kill -TERM $0; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 1; kill -0 $0 || exit; done; kill -KILL -- -$0";

    fn over(dora: &Child) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", Self::SCRIPT]).arg(dora.id().to_string());
        // In a group of its own: Ctrl-C is for `gantry`.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self { shell: command.spawn().ok() }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        use std::io::Write;
        if let Some(mut shell) = self.shell.take() {
            let told = shell.stdin.take().is_some_and(|mut pipe| pipe.write_all(b"ended\n").is_ok());
            if !told {
                let _ = shell.kill();
            }
            let _ = shell.wait();
        }
    }
}

fn wait(mut child: Child, plan: &Plan, progress: &Progress, interrupts: &Interrupts) -> Result<(ExitStatus, bool, Vec<Death>), Failure> {
    let mut stopping: Option<Instant> = None;
    let mut fault_seen: Option<Instant> = None;
    let mut told = 0;
    let mut shown: Option<Instant> = None;
    let mut log = Deaths::follow(plan.run_dir.join("dora.log"));
    let mut deaths = Vec::new();
    loop {
        if stopping.is_none() {
            deaths = log.seen().to_vec();
        }
        if let Some(status) = child.try_wait().map_err(|e| Failure::failed(format!("dora: {e}")))? {
            progress.finish(decoded(&NodeStats::read_all(&plan.run_dir)));
            // A killed `dora run` leaves its nodes to their watchdogs; the group ends with it.
            signal_group(&child, "KILL");
            if stopping.is_none() {
                deaths = log.seen().to_vec();
            }
            return Ok((status, told > 0 && fault_seen.is_none(), deaths));
        }
        let asked = interrupts.count();
        if asked > told {
            told = asked;
            signal_group_leader(&child, if asked == 1 { "INT" } else { "TERM" });
            stopping.get_or_insert_with(Instant::now);
            progress.say("stopping; once more to end at once");
        }
        // Where dora starts nodes again, it says itself when it gives one up.
        let faulty = || !plan.restarts_nodes && (!deaths.is_empty() || !json_files(&plan.run_dir.join("faults")).is_empty());
        // What fails after Ctrl-C is the end of the run and not its cause.
        if fault_seen.is_none() && stopping.is_none() && faulty() {
            fault_seen = Some(Instant::now());
        }
        if stopping.is_none() && fault_seen.is_some_and(|t| t.elapsed() > AFTER_FAULT) {
            signal_group_leader(&child, "INT");
            stopping = Some(Instant::now());
        }
        if stopping.is_some_and(|t| t.elapsed() > AFTER_STOP) || told > 2 {
            signal_group(&child, "KILL");
        }
        // The end and faults are noticed at once; the statistics of all nodes are read for people.
        if shown.is_none_or(|t| t.elapsed() >= PROGRESS_EVERY) {
            progress.update(&NodeStats::read_all(&plan.run_dir));
            shown = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `kill` of util-linux rather than a system call: no unsafe code, and it happens once per run.
fn signal_group_leader(child: &Child, signal: &str) {
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).stderr(Stdio::null()).status();
}

fn signal_group(child: &Child, signal: &str) {
    let _ = Command::new("kill").arg(format!("-{signal}")).arg("--").arg(format!("-{}", child.id())).stderr(Stdio::null()).status();
}

/// Oldest first.
fn read_faults(run_dir: &Path) -> Vec<NodeFault> {
    let mut paths = json_files(&run_dir.join("faults"));
    paths.sort_by_key(|p| p.metadata().and_then(|m| m.modified()).ok());
    paths.iter().filter_map(|p| serde_json::from_str(&std::fs::read_to_string(p).ok()?).ok()).collect()
}

fn json_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = dir
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "json"))
        .collect();
    paths.sort();
    paths
}

/// Counters that mean that something of the input or of the run was lost.
fn warnings(stats: &BTreeMap<String, NodeStats>) -> Vec<String> {
    let mut all = Vec::new();
    for (node, s) in stats {
        for (name, n) in &s.counters {
            let what = match name.as_str() {
                "corrupt_packets" => "damaged packets of the file that were skipped",
                "missing_packets" => "packets that the file's index promises and that are not there",
                "decode_errors" => "parts of the video that could not be decoded",
                "corrupt_frames" => "frames that were decoded with damage",
                "gaps" => "frames that went missing between two messages",
                "stale" => "frames that were overwritten before they were read",
                _ => continue,
            };
            if *n > 0 {
                all.push(format!("{node}: {what}: {n}"));
            }
        }
    }
    all
}
