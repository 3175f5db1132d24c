//! Statistics of one node, written as JSON into the run folder twice a second.

use crate::{Busy, Latency};
use gantry_frames::{ClientPoolStats, PoolStats};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Subfolder of the run folder with one file per node.
pub const STATS_DIR: &str = "stats";

/// Counters of one node since its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Node id.
    pub node: String,
    /// Node kind.
    pub kind: String,
    /// Id of the run: the same for all its nodes and after a restart of one.
    #[serde(default)]
    pub run: String,
    /// How often the node was started in this run: 1, and one more for each restart.
    #[serde(default)]
    pub starts: u64,
    /// Rows received per port.
    pub rows_in: BTreeMap<String, u64>,
    /// Messages received per port.
    pub messages_in: BTreeMap<String, u64>,
    /// Rows sent per port.
    pub rows_out: BTreeMap<String, u64>,
    /// Messages sent per port.
    pub messages_out: BTreeMap<String, u64>,
    /// Counters of the node's own (`decode_errors`, `gaps`, ...).
    pub counters: BTreeMap<String, u64>,
    /// What the node holds just now (`spool_waiting`), by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gauges: BTreeMap<String, f64>,
    /// How long messages were under way and waited in queues before the node took them, by port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queued: BTreeMap<String, Latency>,
    /// How old frames were when it sent its rows, by output. Live cameras only.
    #[serde(default)]
    pub latency: BTreeMap<String, Latency>,
    /// How long its rows took: by input, and `work` for what it does between messages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub busy: BTreeMap<String, Busy>,
    /// Buffers that it made, by output (`decode/frames`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub buffers_made: BTreeMap<String, MadeStats>,
    /// Buffers that it read, by the producer's output.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub buffers_read: BTreeMap<String, ReadStats>,
    /// Where the buffers lie that it makes, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Copies of frame-sized buffers, by the port that the frame came in or went out by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copies: BTreeMap<String, CopyStats>,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// CPU seconds of the process.
    pub cpu_s: f64,
    /// Largest resident memory in bytes.
    pub peak_rss_bytes: u64,
    /// Whether the node has ended.
    pub ended: bool,
}

/// Copies of buffers of 256 KiB and more ([`gantry_copies::FRAME_BYTES`]) on one edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStats {
    /// Within host memory.
    pub on_host: u64,
    /// From the host to a card.
    pub to_card: u64,
    /// From a card to the host.
    pub from_card: u64,
    /// Within a card's memory; no part of a graph's budget.
    pub on_card: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Results that came off a card, of any size: boxes, scores, texts, evidence; no part of a graph's budget.
    #[serde(default)]
    pub results: u64,
    /// Their bytes.
    #[serde(default)]
    pub result_bytes: u64,
}

impl From<gantry_copies::Copies> for CopyStats {
    fn from(copies: gantry_copies::Copies) -> Self {
        let gantry_copies::Copies { on_host, to_card, from_card, on_card, bytes, results, result_bytes } = copies;
        Self { on_host, to_card, from_card, on_card, bytes, results, result_bytes }
    }
}

/// The pools of one output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeStats {
    /// Frames published.
    pub published: u64,
    /// Waits for a free slot.
    pub waits: u64,
    /// Time in those waits, ns.
    pub waited_ns: u64,
    /// Slots.
    pub slots: u64,
    /// Slots put aside because a shared word was scribbled over.
    pub quarantined: u64,
    /// Consumers whose leases were taken back after their death.
    pub reaps: u64,
}

/// One output as this node read it. The first three are counted, `dropped` is what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadStats {
    /// Frames that the producer published since this node joined.
    pub published: u64,
    /// Frames taken at least once.
    pub used: u64,
    /// Frames whose slot was written again before they could be taken.
    pub stale: u64,
    /// `published` less `used` and `stale`: dropped by a queue, passed over by the node, or still waiting.
    pub dropped: u64,
    /// Frames refused because as many were held as the producer allows.
    pub refused: u64,
}

impl MadeStats {
    pub(crate) fn add(&mut self, pool: &PoolStats) {
        self.published += pool.published;
        self.waits += pool.waits;
        self.waited_ns += pool.waited_ns;
        self.slots += u64::from(pool.slots);
        self.quarantined += u64::from(pool.quarantined_slots);
        self.reaps += pool.consumers.iter().map(|consumer| consumer.reaps).sum::<u64>();
    }
}

impl ReadStats {
    pub(crate) fn add(&mut self, pool: &ClientPoolStats) {
        self.published += pool.published;
        self.used += pool.used;
        self.stale += pool.stale;
        self.dropped += pool.published.saturating_sub(pool.used + pool.stale);
        self.refused += pool.refused;
    }
}

impl NodeStats {
    /// Fills in time and memory of this process.
    pub(crate) fn measure(&mut self, started: Instant) {
        self.uptime_s = started.elapsed().as_secs_f64();
        self.cpu_s = cpu_seconds().unwrap_or(self.cpu_s);
        self.peak_rss_bytes = peak_rss_bytes().unwrap_or(self.peak_rss_bytes);
    }

    /// Counts this start after those that an earlier process of the same node and run has written down.
    pub(crate) fn count_start(&mut self, run_dir: &Path) {
        let earlier = std::fs::read(self.file(run_dir)).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        self.starts = 1 + earlier.filter(|stats| stats.run == self.run).map_or(0, |stats| stats.starts);
    }

    fn file(&self, run_dir: &Path) -> PathBuf {
        run_dir.join(STATS_DIR).join(format!("{}.json", self.node.replace('/', "_")))
    }

    /// Writes `<run_dir>/stats/<node>.json` in one step, so that a reader never sees half a file.
    pub(crate) fn write(&self, run_dir: &Path) -> std::io::Result<()> {
        let dir = run_dir.join(STATS_DIR);
        std::fs::create_dir_all(&dir)?;
        let partial = dir.join(format!(".{}.part", self.node.replace('/', "_")));
        std::fs::write(&partial, serde_json::to_vec(self)?)?;
        std::fs::rename(partial, self.file(run_dir))
    }
}

/// User and system time of this process, all threads.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Fields after the command, which stands in parentheses and may hold spaces: 14 utime, 15 stime, in ticks of 10 ms.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / 100.0)
}

fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_this_process() {
        let mut stats = NodeStats { node: "a/b".into(), ..Default::default() };
        stats.measure(Instant::now());
        assert!(stats.peak_rss_bytes > 1 << 20);
        let dir = std::env::temp_dir().join(format!("gantry-stats-{}", std::process::id()));
        stats.write(&dir).unwrap();
        let back: NodeStats = serde_json::from_slice(&std::fs::read(dir.join("stats/a_b.json")).unwrap()).unwrap();
        assert_eq!(back, stats);
        let mut again = NodeStats { node: "a/b".into(), ..Default::default() };
        for starts in 1..4 {
            again.count_start(&dir);
            assert_eq!(again.starts, starts);
            again.write(&dir).unwrap();
        }
        let mut later = NodeStats { run: "another".into(), ..again };
        later.count_start(&dir);
        assert_eq!(later.starts, 1);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
