//! The statistics that the nodes of a site write once a second, for people and for Prometheus.
//!
//! [`read`] takes them from the run folder, [`text`] gives them in the text format of Prometheus. docs/sites.md has the names.

mod text;

pub use text::{example, text};

use gantry_node::{NodeStats, STATS_DIR};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One node of a site.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// What it wrote last.
    pub stats: NodeStats,
    /// How long ago that was, in s. A living node writes once a second.
    pub age_s: f64,
}

/// The nodes of the run that wrote last into this run folder, by id; empty if there are no statistics.
#[must_use]
pub fn read(run_dir: &Path) -> Vec<Node> {
    let mut found: Vec<(SystemTime, NodeStats)> = files(&run_dir.join(STATS_DIR)).iter().filter_map(|path| one(path)).collect();
    // A site that was started again with other nodes leaves files of the earlier ones.
    let newest = found.iter().max_by_key(|(written, _)| *written).map(|(_, stats)| stats.run.clone());
    found.retain(|(_, stats)| Some(&stats.run) == newest.as_ref());
    let now = SystemTime::now();
    let age_s = |written| now.duration_since(written).map_or(0.0, |age| age.as_secs_f64());
    let mut nodes: Vec<Node> = found.into_iter().map(|(written, stats)| Node { age_s: age_s(written), stats }).collect();
    nodes.sort_by(|a, b| a.stats.node.cmp(&b.stats.node));
    nodes
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = dir.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json")).collect()
}

/// A file that is being replaced, or is none of ours, is left out.
fn one(path: &Path) -> Option<(SystemTime, NodeStats)> {
    let stats = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some((path.metadata().ok()?.modified().ok()?, stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_an_earlier_run_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let stats = dir.path().join(STATS_DIR);
        std::fs::create_dir(&stats).unwrap();
        let write = |node: &str, run: &str| {
            let text = serde_json::to_vec(&NodeStats { node: node.into(), run: run.into(), ..NodeStats::default() }).unwrap();
            let path = stats.join(format!("{node}.json"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let old = write("old", "1");
        std::fs::File::options().write(true).open(old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        write("vote", "2");
        write("detect", "2");
        std::fs::write(stats.join("notes.json"), "no statistics").unwrap();
        let found: Vec<String> = read(dir.path()).into_iter().map(|node| node.stats.node).collect();
        assert_eq!(found, ["detect", "vote"]);
        assert!(read(&dir.path().join("nothing")).is_empty());
    }
}
