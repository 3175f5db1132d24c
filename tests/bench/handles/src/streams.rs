//! CPU per 30 fps stream: more cameras, more readers.

use crate::Interrupt;
use crate::graph::{self, FPS, Shape};
use crate::table::Row;
use crate::wire::Kind;
use gantry_node::Fault;

const SHAPES: [(usize, usize); 6] = [(1, 1), (1, 2), (1, 4), (1, 8), (4, 1), (16, 1)];

/// One graph for each number of cameras and readers.
pub fn rows(seconds: u64, interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    for (cameras, consumers) in SHAPES {
        let shape = Shape { cameras, consumers, kinds: vec![Kind::Handle], group: 1, backpressure: true, timed: true, seconds };
        let outcome = graph::run(&shape, interrupt)?;
        let layer = outcome.layer_ns_per_frame() * FPS as f64 / 1e9;
        let all = outcome.cores() / cameras as f64;
        let stale: u64 = outcome.sinks.iter().map(|r| r.stale).sum();
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut what = format!("{}, {}", plural(cameras, "camera"), plural(consumers, "reader"));
        if stale > 0 {
            what.push_str(&format!("; {stale} stale"));
        }
        let measured = vec![100.0 * layer, 100.0 * all];
        rows.push(Row::new(format!("streams_{cameras}_{consumers}"), what, "% core/stream", "layer, all", measured).at_most(0, 1.0));
    }
    Ok(rows)
}
