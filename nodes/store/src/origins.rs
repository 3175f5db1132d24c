//! What made the lines of a JSON Lines file: a file beside it, as the lines themselves would repeat it a thousand times.

use crate::jsonl::{Jsonl, JsonlError, Order};
use gantry_origin::Origin;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Line<'a> {
    /// Readings that were stored from then on (RFC 3339) are of this origin; nothing where the file of readings is of one run alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(flatten)]
    origin: &'a Origin,
}

#[derive(Deserialize)]
struct Written {
    digest: String,
}

/// `readings.jsonl` has `readings.origin.jsonl` beside it.
pub fn beside(readings: &Path) -> PathBuf {
    readings.with_extension("origin.jsonl")
}

/// Writes `origin` beside the file of readings: alone where that starts empty ([`Order::Sorted`]), else at the end, unless it stands there already.
///
/// # Errors
/// [`JsonlError`]; also if the file cannot be read.
pub fn write(readings: &Path, order: Order, origin: &Origin) -> Result<(), JsonlError> {
    let path = beside(readings);
    let mut file = Jsonl::open(&path, order, true)?;
    let since = match order {
        Order::Sorted => None,
        Order::Arrival => {
            let text =
                std::fs::read_to_string(&path).map_err(|source| JsonlError { path: path.clone(), what: "cannot be read", source })?;
            let last = text.lines().next_back().and_then(|line| serde_json::from_str::<Written>(line).ok());
            if last.is_some_and(|last| last.digest == origin.digest) {
                return Ok(());
            }
            Some(crate::retention::now())
        }
    };
    file.append(&Line { since, origin })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(readings: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(beside(readings)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn origin(digest: &str) -> Origin {
        Origin { digest: digest.into(), graph: "nodes: []".into(), ..Origin::default() }
    }

    #[test]
    fn a_file_that_grows_has_each_change_and_not_each_start() {
        let dir = tempfile::tempdir().unwrap();
        let readings = dir.path().join("site/readings.jsonl");
        for digest in ["a", "a", "b", "b", "a"] {
            write(&readings, Order::Arrival, &origin(digest)).unwrap();
        }
        let found = lines(&readings);
        assert_eq!(found.iter().map(|line| line["digest"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b", "a"]);
        assert!(found.iter().all(|line| line["since"].as_str().unwrap().ends_with('Z') && line["graph"] == "nodes: []"));
    }

    #[test]
    fn a_file_of_one_run_has_one_origin_and_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let readings = dir.path().join("readings.jsonl");
        for digest in ["a", "b"] {
            write(&readings, Order::Sorted, &origin(digest)).unwrap();
        }
        let [line] = &lines(&readings)[..] else { panic!("one line") };
        assert_eq!((line["digest"].as_str(), line.get("since")), (Some("b"), None));
    }
}
