//! What a site on a disk of its own has kept, and what its nodes said about the disk.

use arrow_array::UInt64Array;
use gantry_system_tests::{Sandbox, lines, said};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeSet;
use std::path::Path;

/// Tracks in the lines of `readings.jsonl`, in order.
pub fn in_lines(folder: &Path) -> Vec<u64> {
    lines(&folder.join("readings.jsonl")).iter().filter_map(|line| line["track_id"].as_u64()).collect()
}

/// Tracks in the database.
pub fn in_database(folder: &Path) -> Vec<u64> {
    let db = rusqlite::Connection::open(folder.join("readings.sqlite")).expect("the database opens");
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
    assert_eq!(check, "ok");
    let mut statement = db.prepare("SELECT track_id FROM readings ORDER BY track_id").expect("the table is there");
    let rows = statement.query_map([], |row| row.get::<_, i64>(0)).expect("rows");
    rows.map(|id| id.expect("a number").unsigned_abs()).collect()
}

/// Tracks in whole Parquet files.
pub fn in_parquet(folder: &Path) -> Vec<u64> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder.join("parquet")).expect("the folder is there").flatten() {
        if entry.path().extension().is_none_or(|e| e != "parquet") {
            continue;
        }
        let file = std::fs::File::open(entry.path()).expect("a file opens");
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file").build().expect("a reader") {
            let batch = batch.expect("rows");
            let column = batch.column_by_name("track_id").and_then(|c| c.as_any().downcast_ref::<UInt64Array>()).expect("track_id");
            all.extend(column.values());
        }
    }
    all.sort_unstable();
    all
}

/// Tracks that a web server has, and that those of a camera came in order.
pub fn in_bodies(bodies: &[serde_json::Value]) -> Vec<u64> {
    let mut all = BTreeSet::new();
    for (camera, bodies) in gantry_system_tests::once(bodies) {
        let tracks: Vec<u64> = bodies.iter().filter_map(|body| body["track_id"].as_u64()).collect();
        assert!(tracks.is_sorted(), "`{camera}`: {tracks:?}");
        all.extend(tracks);
    }
    all.into_iter().collect()
}

/// Warnings and errors of a node, as they stand in dora's output.
pub fn complaints(sandbox: &Sandbox, node: &str) -> Vec<String> {
    let is_one = |line: &&str| {
        let from_it = line.split_once(&format!(" stdout {node}: ")).map(|(_, text)| text.trim_start());
        from_it.is_some_and(|text| text.starts_with("ERROR gantry_") || text.starts_with("WARN gantry_"))
    };
    said(sandbox).lines().filter(is_one).map(str::to_owned).collect()
}

/// A gauge of a node, 0 if there is none yet.
pub fn gauge(sandbox: &Sandbox, node: &str, name: &str) -> f64 {
    sandbox.stats().get(node).and_then(|s| s["gauges"][name].as_f64()).unwrap_or_default()
}

/// A counter of a node.
pub fn counter(sandbox: &Sandbox, node: &str, name: &str) -> u64 {
    sandbox.stats().get(node).and_then(|s| s["counters"][name].as_u64()).unwrap_or_default()
}
