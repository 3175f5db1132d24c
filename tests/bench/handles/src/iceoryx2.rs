//! The same through iceoryx2, by the program of `tests/bench/handles/iceoryx2`: a package of its own, outside the workspace, so that
//! nobody builds iceoryx2 who does not compare with it. `cargo xtask bench handles` builds it.

use crate::micro::Pair;
use crate::peers::Running;
use crate::table::Row;
use crate::times::Samples;
use crate::{Interrupt, graph, project};
use gantry_node::Fault;
use serde::Deserialize;
use std::process::Command;

/// Rounds of one side before it is the other's turn.
const CHUNK: usize = 5_000;
const TURNS: usize = 10;

/// What the program prints, ns per size.
#[derive(Default, Deserialize)]
struct Times {
    small: Vec<u64>,
    frame: Vec<u64>,
}

/// Where iceoryx2 keeps its files in this run; nothing is left of them when this is dropped, whoever was killed.
struct Place {
    dir: tempfile::TempDir,
    prefix: String,
}

impl Place {
    fn new() -> Result<Self, Fault> {
        Ok(Self { dir: tempfile::tempdir()?, prefix: format!("bench_handles_{}_", std::process::id()) })
    }

    fn command(&self, role: &str) -> Result<Command, Fault> {
        let program = project()?.join("target/iceoryx2/release/bench-handles-iceoryx2");
        if !program.is_file() {
            return Err(Fault::new(format!("{}: no such file", program.display()))
                .hint("`cargo xtask bench handles` builds it; or name other cases with --case"));
        }
        let mut command = Command::new(program);
        command.arg(role).arg(self.dir.path()).arg(&self.prefix);
        Ok(command)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.prefix) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A whole round in one process, ours and iceoryx2's in turn.
pub fn rows(interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let dir = tempfile::tempdir()?;
    let pair = Pair::new(&dir.path().join("sockets"))?;
    let place = Place::new()?;
    let mut other = Running::start(place.command("rounds")?)?;
    let (mut ours, mut small, mut frame) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..TURNS {
        interrupt.check()?;
        ours.extend_from(&pair.rounds(CHUNK)?);
        other.tell(&CHUNK.to_string())?;
        let times: Times = serde_json::from_str(&other.line()?)?;
        small.extend(times.small);
        frame.extend(times.frame);
    }
    let ratio = ours.at(0.5, 1.0) / frame.at(0.5, 1.0);
    Ok(vec![
        Row::new("iceoryx2_small", "iceoryx2: loan, send, receive, drop; 192 bytes", "us", "p50, p99", small.us()),
        Row::new("iceoryx2_frame", "iceoryx2: the same; a 1080p frame, not copied", "us", "p50, p99", frame.us()),
        Row::new("iceoryx2_ours", "ours, in turn with these: a 1080p frame, not copied", "us", "p50, p99", ours.us()),
        Row::new("iceoryx2_ratio", "ours to iceoryx2's, a 1080p frame", "x", "p50", vec![ratio]),
    ])
}

/// Publisher and subscriber, started beside a graph. Dropped in this order.
pub struct Beside {
    publisher: Running,
    subscriber: Running,
    _place: Place,
}

/// Starts them for `seconds`, at the frame rate of the graphs.
pub fn start(seconds: u64) -> Result<Beside, Fault> {
    let place = Place::new()?;
    let mut subscriber = Running::start(place.command("subscribe")?)?;
    if subscriber.line()? != "ready" {
        return Err(Fault::new("the iceoryx2 subscriber did not start"));
    }
    let mut publish = place.command("publish")?;
    publish.arg(graph::FPS.to_string()).arg((graph::FPS * seconds).to_string());
    Ok(Beside { publisher: Running::start(publish)?, subscriber, _place: place })
}

impl Beside {
    /// Latency from send to receipt of 192 bytes and of a frame.
    pub fn finish(mut self) -> Result<(Samples, Samples), Fault> {
        self.publisher.line()?;
        let times: Times = serde_json::from_str(&self.subscriber.line()?)?;
        let samples = |ns: Vec<u64>| {
            let mut samples = Samples::default();
            samples.extend(ns);
            samples
        };
        Ok((samples(times.small), samples(times.frame)))
    }
}
