//! What sinks have sent, at the far end, and what they said about it.

use crate::Sandbox;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The bodies of each camera in the order of their first arrival, without what came twice.
///
/// # Panics
/// If two bodies with one key differ.
#[must_use]
pub fn once(all: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let mut seen: BTreeMap<String, &Value> = BTreeMap::new();
    let mut cameras: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for body in all {
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {body}")).to_owned();
        if let Some(first) = seen.insert(text("key"), body) {
            assert_eq!(first, body, "the same key");
        } else {
            cameras.entry(text("camera")).or_default().push(body.clone());
        }
    }
    cameras
}

/// Everything that the nodes of a graph that dora runs have said so far.
#[must_use]
pub fn said(sandbox: &Sandbox) -> String {
    let text = |name: &str| String::from_utf8_lossy(&std::fs::read(sandbox.path(name)).unwrap_or_default()).into_owned();
    text("stdout") + &text("stderr")
}

/// Keys that sinks said were on their disk, in that order (`GANTRY_LOG: gantry_sink=debug`).
#[must_use]
pub fn spooled(said: &str) -> Vec<String> {
    let key = |line: &str| line.contains("spooled").then(|| line.split("key=\"").nth(1)?.split('"').next().map(str::to_owned))?;
    said.lines().filter_map(key).collect()
}

/// The spool in `folder` has nothing left to send.
///
/// # Panics
/// If it has.
pub fn assert_spool_is_empty(folder: &Path) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let left = entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "segment")).count();
    assert_eq!(left, 0, "everything was sent, and {left} segments are still in {}", folder.display());
}
