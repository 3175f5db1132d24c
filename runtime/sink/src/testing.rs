//! What the tests of the sinks share.

use crate::{Sink, SinkNode};
use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_messages::ReadingRow;
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use std::path::Path;
use std::time::{Duration, Instant};

/// The node with its spool in `dir/spool` and short waits; `env`: further parameters, or others.
///
/// # Errors
/// What the node refuses.
///
/// # Panics
/// If the contract refuses a parameter.
pub fn open<N: SinkNode>(dir: &Path, env: &[(&str, &str)]) -> Result<Sink<N>, Fault> {
    let spool = dir.join("spool").display().to_string();
    let mut all = vec![("SPOOL_DIR", spool.as_str()), ("RETRY_MS", "100"), ("TIMEOUT_MS", "2000")];
    all.retain(|(name, _)| !env.iter().any(|(other, _)| other == name));
    all.extend(env);
    let params = ParamSet::from_env(&N::CONTRACT, all).unwrap_or_else(|e| panic!("{e:?}"));
    let params = params.to().unwrap_or_else(|e| panic!("{e}"));
    Sink::open(params, &Context::for_test("sink", Mode::Live, dir))
}

/// A reading.
#[must_use]
pub fn reading(camera: &str, track_id: u64) -> ReadingRow {
    let plate = format!("KXW{track_id:04}");
    ReadingRow { source: camera.into(), track_id, plate, first_frame: 30 * track_id, evidence: vec![0xff, 0xd8], ..ReadingRow::default() }
}

/// Hands readings to the node, in one message.
///
/// # Panics
/// If it fails.
pub fn write<N: SinkNode>(node: &mut Sink<N>, out: &mut Outputs, rows: &[ReadingRow]) {
    node.on_input(&Input::of("readings", rows), out).unwrap_or_else(|e| panic!("{e}"));
}

/// Ticks until `holds`.
///
/// # Panics
/// If it still does not after 30 s.
#[track_caller]
pub fn until<N: SinkNode>(node: &mut Sink<N>, out: &mut Outputs, what: &str, holds: impl Fn(&Outputs) -> bool) {
    let started = Instant::now();
    loop {
        node.on_tick(out).unwrap_or_else(|e| panic!("{e}"));
        if holds(out) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
