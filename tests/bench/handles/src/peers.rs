//! Joining, and the leases of a killed process: a second process of this program.

use crate::Interrupt;
use crate::pool;
use crate::table::Row;
use crate::times::{Samples, now_ns};
use clap::ValueEnum;
use gantry_frames::{FrameMeta, Handle, Pool, StopFlag};
use gantry_node::Fault;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const JOINS: usize = 100;
const KILLS: usize = 50;
/// Readers that the pool declares, so that it has the usual number of slots.
const SLOTS_FOR: usize = 4;
/// Longest wait for leases to come free before the case gives up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// How long a second process may take to end by itself.
const TO_END: Duration = Duration::from_secs(2);

const DIR_ENV: &str = "BENCH_HANDLES_DIR";
const HANDLES_ENV: &str = "BENCH_HANDLES_HEX";

/// What the second process does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Peer {
    /// Joins and takes a frame, again and again; prints how long each took.
    Join,
    /// Takes frames and keeps them.
    Hold,
}

/// The second process.
pub fn run(peer: Peer) -> Result<(), Fault> {
    let variable =
        |name: &str| std::env::var(name).map_err(|_| Fault::new(format!("`{name}` is not set")).hint("peers are started by bench-handles"));
    let dir = PathBuf::from(variable(DIR_ENV)?);
    let handles = variable(HANDLES_ENV)?.split(',').map(from_hex).collect::<Result<Vec<_>, _>>()?;
    match peer {
        Peer::Join => join(&dir, &handles),
        Peer::Hold => hold(&dir, &handles),
    }
}

fn join(dir: &Path, handles: &[Handle]) -> Result<(), Fault> {
    let mut took = Vec::new();
    for handle in handles.iter().cycle().take(JOINS) {
        let client = pool::client(dir, "reader0");
        let started = now_ns();
        let frame = client.acquire(handle)?;
        took.push(now_ns() - started);
        drop((frame, client));
    }
    say(&serde_json::to_string(&took)?)
}

fn hold(dir: &Path, handles: &[Handle]) -> Result<(), Fault> {
    let client = pool::client(dir, "reader0");
    let frames = handles.iter().map(|handle| client.acquire(handle)).collect::<Result<Vec<_>, _>>()?;
    say("holding")?;
    // Until it is killed, or its parent is gone.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(frames);
    Ok(())
}

fn say(line: &str) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A pool with two frames in it, and the environment of a peer that may read them.
struct Stage {
    _dir: tempfile::TempDir,
    sockets: PathBuf,
    pool: Pool,
    handles: Vec<Handle>,
}

impl Stage {
    fn new() -> Result<Self, Fault> {
        let dir = tempfile::tempdir()?;
        let sockets = dir.path().join("sockets");
        let consumers: Vec<String> = (0..SLOTS_FOR).map(|n| format!("reader{n}")).collect();
        let pool = pool::live(&sockets, "bench/frames", &consumers)?;
        let (layout, stop) = (pool::layout()?, StopFlag::new());
        let mut handles = Vec::new();
        for _ in 0..pool::MAX_HELD {
            handles.push(pool.begin_write(&stop)?.fill(layout)?.publish(&FrameMeta::default()).handle);
        }
        Ok(Self { _dir: dir, sockets, pool, handles })
    }

    fn start(&self, role: &str) -> Result<Running, Fault> {
        let handles: Vec<String> = self.handles.iter().map(to_hex).collect();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--peer", role]).env(DIR_ENV, &self.sockets).env(HANDLES_ENV, handles.join(","));
        Running::start(command)
    }
}

/// A process whose lines are read. On drop its input ends, which asks it to end; later it is killed.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Starts `command` with pipes.
    pub fn start(mut command: Command) -> Result<Self, Fault> {
        let shown = command.get_program().display().to_string();
        // A group of its own: Ctrl-C is for this program, which then ends its processes in order.
        command.process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| Fault::from(e).context(shown.clone()))?;
        let lines = child.stdout.take().map(BufReader::new).ok_or_else(|| Fault::new(format!("{shown} has no output")))?;
        Ok(Self { child, lines })
    }

    /// Its next line.
    pub fn line(&mut self) -> Result<String, Fault> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(Fault::new("the second process ended before it answered").hint("its own message stands above"));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Writes it a line.
    pub fn tell(&mut self, line: &str) -> Result<(), Fault> {
        let pipe = self.child.stdin.as_mut().ok_or_else(|| Fault::new("the second process has no input"))?;
        writeln!(pipe, "{line}")?;
        Ok(pipe.flush()?)
    }

    /// Kills it with SIGKILL; returns when it has exited.
    fn kill(&mut self) -> Result<(), Fault> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while asked.elapsed() < TO_END && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long it takes to join.
pub fn join_rows(interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let stage = Stage::new()?;
    let took: Vec<u64> = serde_json::from_str(&stage.start("join")?.line()?)?;
    interrupt.check()?;
    let mut samples = Samples::default();
    samples.extend(took);
    let slots = stage.pool.stats().slots;
    let what = format!("join a pool of {slots} frames of 1080p + first acquire");
    Ok(vec![Row::new("join", what, "ms", "median, most", samples.ms()).at_most(1, 50.0)])
}

/// How long after its exit the leases of a killed process are free.
pub fn kill_rows(interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let stage = Stage::new()?;
    let (mut after_exit, mut after_kill) = (Samples::default(), Samples::default());
    for round in 0..KILLS {
        interrupt.check()?;
        let mut peer = stage.start("hold")?;
        let said = peer.line()?;
        let leased = stage.pool.stats().leased_slots;
        if said != "holding" || leased != pool::MAX_HELD {
            return Err(Fault::new(format!("kill {round}: the reader says `{said}` and {leased} slots are leased")));
        }
        let killed = now_ns();
        peer.kill()?;
        let exited = now_ns();
        while stage.pool.stats().leased_slots > 0 {
            if now_ns() - exited > GIVE_UP.as_nanos() as u64 {
                return Err(Fault::new(format!("kill {round}: leases of a dead process are still set after {} s", GIVE_UP.as_secs())));
            }
            std::thread::yield_now();
        }
        let free = now_ns();
        after_exit.push(free - exited);
        after_kill.push(free - killed);
        // It is out only when the book says so: the next one uses the same name.
        while stage.pool.stats().consumers.iter().any(|c| c.joined) {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    let reaped: u64 = stage.pool.stats().consumers.iter().map(|c| c.reaped_leases).sum();
    if reaped != KILLS as u64 * u64::from(pool::MAX_HELD) {
        return Err(Fault::new(format!("{KILLS} kills freed {reaped} leases")));
    }
    let what = format!("leases free after the exit of a killed reader, {KILLS} kills");
    Ok(vec![
        Row::new("kill", what, "ms", "median, most", after_exit.ms()).at_most(1, 100.0),
        Row::new("kill_signal", "the same, counted from the signal", "ms", "median, most", after_kill.ms()),
    ])
}

fn to_hex(handle: &Handle) -> String {
    handle.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Handle, Fault> {
    let byte = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    let bytes = bytes.ok_or_else(|| Fault::new(format!("`{HANDLES_ENV}` has no handles in hex")))?;
    Ok(Handle::from_bytes(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_survives_the_environment() {
        let handle = Handle::from_bytes([0xa7; gantry_frames::HANDLE_BYTES]);
        assert_eq!(from_hex(&to_hex(&handle)).unwrap(), handle);
        assert!(from_hex("a").is_err() && from_hex("zz").is_err() && from_hex("00").is_err());
    }
}
