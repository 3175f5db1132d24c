//! Entries that the far end will never take: lines of `refused.jsonl`, for a person to look at.

use gantry_spool::Entry;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file starts anew above this; the one before is kept.
const MAX_BYTES: u64 = 16 << 20;

pub(crate) struct RefusedFile {
    path: PathBuf,
}

impl RefusedFile {
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("refused.jsonl") }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the entry down and waits for the disk: after this it leaves the spool.
    pub fn add(&self, entry: &Entry, why: &str) -> std::io::Result<()> {
        if std::fs::metadata(&self.path).is_ok_and(|m| m.len() > MAX_BYTES) {
            std::fs::rename(&self.path, self.path.with_file_name("refused.1.jsonl"))?;
        }
        let body = serde_json::from_slice(&entry.body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&entry.body)));
        let line = serde_json::to_string(&Line { why, key: &entry.key, kind: &entry.kind, camera: &entry.camera, body: &body })?;
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    }
}

#[derive(serde::Serialize)]
struct Line<'a> {
    why: &'a str,
    key: &'a str,
    kind: &'a str,
    camera: &'a str,
    body: &'a Value,
}
