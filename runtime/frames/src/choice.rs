//! Which memory pools lie in: what the graph asks for, proven by a round trip between two processes and never by attributes alone.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use gantry_cuda::{Context, CudaError, Device, DeviceUuid, Stream};

use crate::{Client, ClientConfig, ConsumerSpec, FrameMeta, Layout, Memory, Mode, Pool, PoolConfig, StopFlag};

/// Name of the second process in the pool that it joins.
const READER: &str = "memory-probe";
const SIDE: u32 = 256;
/// What the second process must find in every byte, and what was there before.
const VALUE: u8 = 0xa7;
const OTHER: u8 = 0x58;
/// How long the second process may take. A driver that wakes several cards takes seconds, and all nodes of a site start at once.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a graph asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// A card's memory where a round trip proves it, else host memory.
    #[default]
    Auto,
    /// A card's memory or an error.
    Cuda,
    /// Host memory, even where there is a card.
    Host,
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cuda" => Ok(Self::Cuda),
            "host" => Ok(Self::Host),
            other => Err(format!("`{other}` is none of `auto`, `cuda` and `host`")),
        }
    }
}

/// What was chosen, and why: for the log and the statistics.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Where pools are to lie.
    pub memory: Memory,
    /// One line.
    pub reason: String,
}

/// A graph asks for a card's memory where there is none that two processes can share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no CUDA memory for buffer pools: {why}")]
pub struct ChoiceError {
    /// Everything that was tried, and how it ended.
    pub why: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Tries the back ends in their order, on the first device that this process sees. `second` makes the command of a process that
/// calls [`answer`] with the arguments given; sockets lie in `runtime_dir`.
///
/// # Errors
/// [`ChoiceError`] if the wish is [`Wish::Cuda`] and nothing works. Never for the other wishes.
pub fn choose(wish: Wish, runtime_dir: &Path, second: impl Fn(&[OsString; 3]) -> Command) -> Result<Choice, ChoiceError> {
    let host = |reason: String| Choice { memory: Memory::Host, reason };
    if wish == Wish::Host {
        return Ok(host("the graph asks for host memory".to_owned()));
    }
    let (why, hint) = match Device::all().and_then(|devices| Context::primary(devices[0])) {
        Err(error) => (error.to_string(), error.hint()),
        Ok(context) => {
            let mut tried = Vec::new();
            for memory in [Memory::CudaVmmFd(context.clone()), Memory::CudaIpcLegacy(context)] {
                let started = Instant::now();
                match round_trip(&memory, runtime_dir, &second) {
                    Ok(()) => {
                        let failed: String = tried.iter().map(|why| format!("; before: {why}")).collect();
                        let reason = format!("a second process read a frame of it after {} ms{failed}", started.elapsed().as_millis());
                        return Ok(Choice { memory, reason });
                    }
                    Err(why) => tried.push(format!("{}: {why}", memory.backend())),
                }
            }
            (tried.join("; "), "`gantry doctor` looks at card and driver; containers need `--ipc=host` or a driver of release 525 or later")
        }
    };
    match wish {
        Wish::Cuda => Err(ChoiceError { why, hint }),
        Wish::Auto | Wish::Host => Ok(host(why)),
    }
}

/// Makes a small pool, writes a frame on the card, and has it read by another process.
fn round_trip(memory: &Memory, runtime_dir: &Path, second: impl Fn(&[OsString; 3]) -> Command) -> Result<(), String> {
    let context = memory.context().ok_or("host memory needs no proof")?;
    let layout = Layout::gray8(SIDE, SIDE).map_err(|error| error.to_string())?;
    let output = format!("memory-probe-{}/frames", std::process::id());
    let pool = Pool::create_in(
        PoolConfig {
            runtime_dir: runtime_dir.to_owned(),
            output: output.clone(),
            mode: Mode::Lossless,
            slots: 2,
            slot_bytes: layout.byte_len(),
            producer_max_held: 0,
            consumers: vec![ConsumerSpec { name: READER.to_owned(), max_held: 1, queue_size: 1 }],
            grace: PATIENCE,
        },
        memory,
    );
    let pool = pool.map_err(|error| chain(&error))?;
    let driver = |error: CudaError| chain(&error);
    let stream = Stream::new(context).map_err(driver)?;
    let mut loaned = pool.begin_write(&StopFlag::new()).map_err(|error| chain(&error))?;
    for value in [OTHER, VALUE] {
        let mut slot = loaned.device_mut().ok_or("the pool does not lie on the card")?;
        stream.fill(&mut slot, value).map_err(driver)?;
    }
    loaned.fill_after(layout, &stream).map_err(|error| chain(&error))?.publish(&FrameMeta::default());
    let arguments = [runtime_dir.into(), output.into(), context.device().uuid().to_string().into()];
    let mut child = second(&arguments);
    let child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    ended(child.map_err(|error| format!("the second process did not start: {error}"))?)?;
    // Its exit code could be anybody's; the acknowledgement is the pool's own.
    if pool.acked_next() == 1 { Ok(()) } else { Err("the second process did not acknowledge the frame".to_owned()) }
}

/// Waits for the second process; what it said if it failed.
fn ended(mut child: Child) -> Result<(), String> {
    let started = Instant::now();
    // It is read all the time: a full pipe would hold the process up.
    let errors = child.stderr.take();
    let read = move || {
        let mut said = String::new();
        let read = errors.map_or(Ok(0), |mut errors| errors.read_to_string(&mut said));
        read.map_or_else(|error| error.to_string(), |_| said)
    };
    let said = match std::thread::Builder::new().name("probe-errors".to_owned()).spawn(read) {
        Ok(thread) => thread,
        Err(error) => {
            let stopped = child.kill().and_then(|()| child.wait());
            return Err(format!("no thread for what the second process says: {error} ({})", described(stopped)));
        }
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let stopped = child.kill().and_then(|()| child.wait());
                return Err(format!("the second process was not done after {PATIENCE:?} ({})", described(stopped)));
            }
            Err(error) => return Err(format!("the second process was lost: {error}")),
        }
    };
    if status.success() {
        return Ok(());
    }
    let said = said.join().unwrap_or_default();
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    Err(format!("the second process ended with {status}: {last}"))
}

fn described(stopped: std::io::Result<std::process::ExitStatus>) -> String {
    stopped.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// The second process: takes the frame of the pool of `output` in `runtime_dir` on device `device`, checks every byte and acknowledges.
///
/// # Errors
/// What did not work, in one line.
pub fn answer([runtime_dir, output, device]: &[OsString; 3]) -> Result<(), String> {
    let text = |name: &OsString| name.to_str().map(str::to_owned).ok_or_else(|| format!("`{}` is no text", name.display()));
    let device: DeviceUuid = text(device)?.parse()?;
    let driver = |error: CudaError| chain(&error);
    let context = Device::by_uuid(device).and_then(Context::primary).map_err(driver)?;
    let config = ClientConfig { runtime_dir: runtime_dir.into(), name: READER.to_owned(), max_held: 1 };
    let client = Client::with_cuda(config, context.clone());
    let output = text(output)?;
    let pool = client.find(&output).map_err(|error| chain(&error))?.ok_or_else(|| format!("there is no pool `{output}`"))?;
    let mut new = Vec::new();
    client.recover(&pool, &mut new).map_err(|error| chain(&error))?;
    let frame = client.acquire(new.first().ok_or("the pool has no frame")?).map_err(|error| chain(&error))?;
    let stream = Stream::new(&context).map_err(driver)?;
    let pixels = frame.device().ok_or("the frame does not lie on the card")?;
    let mut bytes = vec![OTHER; pixels.len()];
    stream.download(&pixels, &mut bytes).map_err(driver)?;
    if let Some(at) = bytes.iter().position(|byte| *byte != VALUE) {
        return Err(format!("byte {at} of the frame is {}, {VALUE} was written", bytes[at]));
    }
    frame.ack_after(&stream).map_err(driver)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_may_ask_for_three_things() {
        assert_eq!(["auto", "cuda", "host"].map(str::parse), [Ok(Wish::Auto), Ok(Wish::Cuda), Ok(Wish::Host)]);
        assert_eq!("gpu".parse::<Wish>(), Err("`gpu` is none of `auto`, `cuda` and `host`".to_owned()));
    }
}
