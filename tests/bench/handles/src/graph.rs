//! Graphs of sources and sinks, run by the real dora command.

use crate::pool::QUEUE_SIZE;
use crate::wire::{JOB_ENV, Job, Kind, Report};
use crate::{Interrupt, project};
use gantry_node::Fault;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Frames per second of every source.
pub const FPS: u64 = 30;
/// Seconds at the start of every graph that are not counted.
const WARM_UP_S: u64 = 2;
/// What starting and ending a graph may take beyond its frames; 17 processes on 2 shared cores take their time.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long dora gets to end its nodes after Ctrl-C.
const AFTER_STOP: Duration = Duration::from_secs(20);
/// Shared memory of a source that sends pixels: 40 frames.
const SHARED_BYTES: &str = "128MB";

/// What a graph looks like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Sources.
    pub cameras: usize,
    /// Sinks; each reads every source.
    pub consumers: usize,
    /// Messages of each source in each period.
    pub kinds: Vec<Kind>,
    /// Frames that each message of handles or pixels tells of: 1, or up to 8 as in Gantry's lossless runs.
    pub group: u64,
    /// Whether messages go over the daemon's lossless path, as all edges of Gantry's own graphs; else directly from node to node.
    pub backpressure: bool,
    /// Whether nodes take the CPU time of the layer's calls.
    pub timed: bool,
    /// Counted seconds.
    pub seconds: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Reports of the sources.
    pub sources: Vec<Report>,
    /// Reports of the sinks.
    pub sinks: Vec<Report>,
}

/// Runs a graph to its end.
///
/// # Errors
/// If dora or a node fails, a frame is lost where none may be, or somebody interrupts.
pub fn run(shape: &Shape, interrupt: &Interrupt) -> Result<Outcome, Fault> {
    run_beside(shape, interrupt, || Ok(()))
}

/// As [`run`]; `beside` is called once the graph is started.
///
/// # Errors
/// As [`run`], and those of `beside`.
pub fn run_beside(shape: &Shape, interrupt: &Interrupt, beside: impl FnOnce() -> Result<(), Fault>) -> Result<Outcome, Fault> {
    let dir = tempfile::tempdir()?;
    let results = dir.path().join("results");
    std::fs::create_dir(&results)?;
    let graph = dir.path().join("graph.yml");
    // JSON is YAML.
    std::fs::write(&graph, describe(shape, dir.path(), &results)?.to_string())?;
    let log = dir.path().join("dora.log");
    let mut dora = Dora::start(shape, dir.path(), &graph, &log)?;
    let deadline = Instant::now() + Duration::from_secs(WARM_UP_S + shape.seconds) + PATIENCE;
    beside()?;
    let status = dora.wait(deadline, interrupt);
    let reports = Report::read_all(&results)?;
    for file in reports.iter().flat_map(|r| &r.shared_files) {
        // A bare `dora run` now and then leaves a segment of its nodes; nobody has it mapped any more.
        let _ = std::fs::remove_file(file);
    }
    interrupt.check()?;
    let said = || tail(&log);
    let status = status.map_err(|fault| fault.hint(said()))?;
    if !status.success() {
        return Err(Fault::new(format!("`dora run` ended with {status}")).hint(said()));
    }
    let (sources, sinks): (Vec<_>, Vec<_>) = reports.into_iter().partition(|r| r.name.starts_with("cam"));
    if (sources.len(), sinks.len()) != (shape.cameras, shape.consumers) {
        let found = format!("{} of {} sources and {} of {} sinks reported", sources.len(), shape.cameras, sinks.len(), shape.consumers);
        return Err(Fault::new(found).hint(said()));
    }
    let outcome = Outcome { sources, sinks };
    outcome.check(shape)?;
    Ok(outcome)
}

impl Outcome {
    /// Every frame reached every sink with its own bytes; over the lossy path some may be missing.
    fn check(&self, shape: &Shape) -> Result<(), Fault> {
        let sent: u64 = self.sources.iter().map(|r| r.messages).sum();
        for sink in &self.sinks {
            if sink.wrong > 0 {
                return Err(Fault::new(format!("{}: {} frames had other bytes than their own", sink.name, sink.wrong)));
            }
            if shape.backpressure && sink.messages + sink.stale != sent {
                return Err(Fault::new(format!("{}: {} messages and {} stale of {sent} sent", sink.name, sink.messages, sink.stale))
                    .hint("the machine is too busy for this graph: fewer --seconds, or wait"));
            }
        }
        Ok(())
    }

    /// CPU cores in use in the window: all nodes, and dora's daemon.
    pub fn cores(&self) -> f64 {
        let share = |cpu: u64, wall: u64| cpu as f64 / wall.max(1) as f64;
        let nodes: f64 = self.sources.iter().chain(&self.sinks).map(|r| share(r.cpu_ns, r.wall_ns)).sum();
        // Every source looked at the same daemon.
        nodes + self.sources.first().map_or(0.0, |r| share(r.daemon_cpu_ns, r.wall_ns))
    }

    /// CPU ns of the handle layer per frame of one camera: pool, client, their threads, Arrow messages.
    pub fn layer_ns_per_frame(&self) -> f64 {
        let all = self.sources.iter().chain(&self.sinks);
        let spent: u64 = all.map(|r| r.pool_ns + r.arrow_ns + r.threads_ns).sum();
        spent as f64 / self.frames() as f64
    }

    /// Counted frames of all cameras.
    pub fn frames(&self) -> u64 {
        self.sources.iter().map(|r| r.messages).sum::<u64>().max(1)
    }
}

fn describe(shape: &Shape, dir: &Path, results: &Path) -> Result<Value, Fault> {
    let program = std::env::current_exe()?;
    let names = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let (cameras, consumers) = (names("cam", shape.cameras), names("sink", shape.consumers));
    let job = |name: &String| Job {
        name: name.clone(),
        kinds: shape.kinds.clone(),
        consumers: consumers.clone(),
        fps: FPS,
        group: shape.group,
        warm_up_frames: (WARM_UP_S * FPS).next_multiple_of(shape.group),
        frames: (shape.seconds * FPS).next_multiple_of(shape.group),
        timed: shape.timed,
        results: results.to_owned(),
        sockets: dir.join("sockets"),
    };
    let node = |name: &String, role: &str| -> Result<Value, Fault> {
        let job = serde_json::to_string(&job(name))?;
        Ok(json!({ "id": name, "path": program, "args": format!("--node {role}"), "env": { JOB_ENV: job } }))
    };
    let mut nodes = Vec::new();
    for camera in &cameras {
        let mut source = node(camera, "source")?;
        source["outputs"] = shape.kinds.iter().map(|kind| kind.name()).collect();
        if shape.kinds.contains(&Kind::Pixels) && !shape.backpressure {
            source["shared_memory_pool_size"] = SHARED_BYTES.into();
        }
        nodes.push(source);
    }
    let policy = if shape.backpressure { "backpressure" } else { "drop_oldest" };
    for consumer in &consumers {
        let mut sink = node(consumer, "sink")?;
        let mut inputs = serde_json::Map::new();
        for (camera, kind) in cameras.iter().flat_map(|camera| shape.kinds.iter().map(move |kind| (camera, kind.name()))) {
            let edge = json!({ "source": format!("{camera}/{kind}"), "queue_size": QUEUE_SIZE, "queue_policy": policy });
            inputs.insert(format!("{camera}_{kind}"), edge);
        }
        sink["inputs"] = inputs.into();
        nodes.push(sink);
    }
    Ok(json!({ "nodes": nodes }))
}

/// A running `dora run` in a process group of its own; ended on drop.
struct Dora(Child);

impl Dora {
    fn start(shape: &Shape, dir: &Path, graph: &Path, log: &Path) -> Result<Self, Fault> {
        let program: PathBuf = project()?.join(".gantry/dora/bin/dora");
        if !program.is_file() {
            return Err(Fault::new(format!("{}: no such file", program.display())).hint("cargo xtask setup"));
        }
        let file = File::create(log)?;
        let mut command = Command::new(program);
        command.arg("run").arg(graph).current_dir(dir).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        if shape.backpressure {
            // As `gantry read` runs its graphs: no message goes over zenoh, whose shared memory and chatter are off.
            let overlay = dir.join("zenoh.json5");
            std::fs::write(&overlay, "{transport: {link: {tx: {lease: 60000, keep_alive: 2}}, shared_memory: {enabled: false}}}\n")?;
            command.env("DORA_ZENOH_CONFIG_OVERLAY", overlay).env("DORA_NODE_SHM_POOL_SIZE", "0");
        }
        Ok(Self(command.spawn()?))
    }

    fn wait(&mut self, deadline: Instant, interrupt: &Interrupt) -> Result<ExitStatus, Fault> {
        let mut stopped: Option<Instant> = None;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            let late = Instant::now() > deadline;
            if stopped.is_none() && (interrupt.is_set() || late) {
                stopped = Some(Instant::now());
                let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
            }
            if stopped.is_some_and(|since| since.elapsed() > AFTER_STOP) {
                return Err(Fault::new("the graph did not end in time"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Dora {
    fn drop(&mut self) {
        // The group: nodes outlive a dora that died.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("dora said:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"))
}
