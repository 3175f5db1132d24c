//! What travels between the benchmark's nodes, and what they report.

use crate::times::Samples;
use gantry_node::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One way to tell a reader of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A frame in a pool and its handle in a message, as Gantry does it.
    Handle,
    /// Bytes, as many as the handle's message has on the wire.
    Bare,
    /// 192 bytes, as many as a handle alone.
    Small,
    /// The columns of the handle's message, made once: what dora takes for such a message.
    Columns,
    /// The frame's pixels.
    Pixels,
}

impl Kind {
    /// Name of the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Bare => "bare",
            Self::Small => "small",
            Self::Columns => "columns",
            Self::Pixels => "pixels",
        }
    }

    /// The kind of an input id `<camera>_<kind>`.
    pub fn of_input(id: &str) -> Option<Self> {
        let name = id.rsplit_once('_')?.1;
        [Self::Handle, Self::Bare, Self::Small, Self::Columns, Self::Pixels].into_iter().find(|kind| kind.name() == name)
    }
}

/// What a node is to do, from the environment that the graph gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Name of the node.
    pub name: String,
    /// Messages that a source sends in each period of its frame rate.
    pub kinds: Vec<Kind>,
    /// The nodes that read a source.
    pub consumers: Vec<String>,
    /// Frames per second.
    pub fps: u64,
    /// Frames that each message of handles or pixels tells of.
    pub group: u64,
    /// Frames that are not counted, so that everything has started.
    pub warm_up_frames: u64,
    /// Frames that are counted.
    pub frames: u64,
    /// Whether the CPU time of the layer's calls is taken: looking at that clock is a system call, which lengthens a latency.
    pub timed: bool,
    /// Folder of the results.
    pub results: PathBuf,
    /// Folder of the pools' sockets.
    pub sockets: PathBuf,
}

/// Environment variable with the job as JSON.
pub const JOB_ENV: &str = "BENCH_HANDLES_JOB";

impl Job {
    /// # Errors
    /// If this process was not started by a graph of the benchmark.
    pub fn from_env() -> Result<Self, Fault> {
        let text =
            std::env::var(JOB_ENV).map_err(|_| Fault::new(format!("`{JOB_ENV}` is not set")).hint("nodes are started by bench-handles"))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// What one node measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Name of the node.
    pub name: String,
    /// CPU time of the process in the window.
    pub cpu_ns: u64,
    /// CPU time of dora's daemon in the window; one source reports it.
    pub daemon_cpu_ns: u64,
    /// Length of the window.
    pub wall_ns: u64,
    /// CPU time in calls of the pool or client.
    pub pool_ns: u64,
    /// CPU time in making and reading Arrow messages of handles.
    pub arrow_ns: u64,
    /// CPU time of the layer's own threads.
    pub threads_ns: u64,
    /// Counted messages, sent or received; of handles and pixels, frames.
    pub messages: u64,
    /// Frames that were overwritten before they were read.
    pub stale: u64,
    /// Frames with other bytes than their own.
    pub wrong: u64,
    /// From publishing to having it in hand, by kind, ns.
    pub latency_ns: BTreeMap<String, Vec<u64>>,
    /// Acquire + release at the rate of the frames, ns of wall time.
    pub acquire_ns: Vec<u64>,
    /// Files of /dev/shm that the process had mapped.
    pub shared_files: Vec<String>,
}

impl Report {
    /// Writes the report for the program that started the graph.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(mut self, job: &Job) -> Result<(), Fault> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mut files: Vec<String> =
            maps.lines().filter_map(|l| l.split_whitespace().nth(5)).filter(|n| n.starts_with("/dev/shm/")).map(str::to_owned).collect();
        files.sort();
        files.dedup();
        self.shared_files = files;
        self.name = job.name.clone();
        let path = job.results.join(format!("{}.json", job.name));
        std::fs::write(&path, serde_json::to_vec(&self)?).map_err(|e| Fault::from(e).context(path.display().to_string()))
    }

    /// All reports of a folder.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, Fault> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            all.push(serde_json::from_slice(&std::fs::read(entry?.path())?)?);
        }
        Ok(all)
    }

    /// Samples of one kind.
    pub fn latency(&self, kind: Kind) -> Samples {
        let mut samples = Samples::default();
        samples.extend(self.latency_ns.get(kind.name()).into_iter().flatten().copied());
        samples
    }
}

/// Frame number and time of sending at the start of a bare message or a frame.
pub fn put_header(bytes: &mut [u8], frame: u64, sent_ns: u64) {
    if let Some(header) = bytes.get_mut(..16) {
        header[..8].copy_from_slice(&frame.to_le_bytes());
        header[8..].copy_from_slice(&sent_ns.to_le_bytes());
    }
}

/// Names of the two numbers in the parameters of a message of columns.
pub const HEADER_PARAMETERS: [&str; 2] = ["bench_frame", "bench_sent_ns"];

/// What [`put_header`] wrote.
pub fn header(bytes: &[u8]) -> Option<(u64, u64)> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some((number(0)?, number(8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_and_headers_are_told_apart() {
        assert_eq!(Kind::of_input("cam_12_pixels"), Some(Kind::Pixels));
        assert_eq!(Kind::of_input("tick"), None);
        let mut bytes = [0; 20];
        put_header(&mut bytes, 3, 9);
        assert_eq!(header(&bytes), Some((3, 9)));
        assert_eq!(header(&bytes[..15]), None);
    }
}
