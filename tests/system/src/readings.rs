//! What a run wrote.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Statistics of the nodes, by node id, as the harness writes them.
pub type Stats = BTreeMap<String, Value>;

/// The lines of a readings file, each parsed; a missing file has none.
///
/// # Panics
/// If a line is no JSON, or the last one has no line end: the file is not valid then.
#[must_use]
pub fn lines(path: &Path) -> Vec<Value> {
    let Ok(text) = std::fs::read_to_string(path) else { return Vec::new() };
    assert!(text.is_empty() || text.ends_with('\n'), "{}: the last line is cut off", path.display());
    let parse = |(i, line): (usize, &str)| serde_json::from_str(line).unwrap_or_else(|e| panic!("{} line {}: {e}", path.display(), i + 1));
    text.lines().enumerate().map(parse).collect()
}

/// The statistics in the run folder below `temp`, while the run goes on or after `--keep-run`.
#[must_use]
pub fn stats(temp: &Path) -> Stats {
    let mut all = Stats::new();
    for run in std::fs::read_dir(temp).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(run.path().join("stats")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            if let Ok(value) = serde_json::from_str::<Value>(&text)
                && let Some(node) = value["node"].as_str()
            {
                all.insert(node.to_owned(), value);
            }
        }
    }
    all
}
