//! CPU of one 1080p stream with everything: a handle, or the pixels through dora.

use crate::Interrupt;
use crate::graph::{self, FPS, Shape};
use crate::table::Row;
use crate::wire::Kind;
use gantry_node::Fault;

/// Each way once per turn, so that all meet the same other load.
const TURNS: usize = 2;

/// Four graphs in turn.
pub fn rows(seconds: u64, interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let ways = [(Kind::Handle, true), (Kind::Pixels, false), (Kind::Pixels, true), (Kind::Bare, true)];
    let mut ms = [0.0; 4];
    let (mut sent, mut received) = (0, 0);
    for _ in 0..TURNS {
        for (way, (kind, backpressure)) in ways.into_iter().enumerate() {
            let shape =
                Shape { cameras: 1, consumers: 1, kinds: vec![kind], backpressure, timed: false, seconds: seconds.div_ceil(TURNS as u64) };
            let outcome = graph::run(&shape, interrupt)?;
            ms[way] += 1000.0 * outcome.cores() / FPS as f64 / TURNS as f64;
            if !backpressure {
                sent += outcome.frames();
                received += outcome.sinks.iter().map(|r| r.messages).sum::<u64>();
            }
        }
    }
    let [handle, shared, daemon, bare] = ms;
    let one = |value: f64| vec![value];
    let lossy = format!("its pixels in dora's shared memory, one copy; {} of {sent} lost", sent.saturating_sub(received));
    Ok(vec![
        Row::new("copy_handle", "CPU per 1080p frame, all processes: handle", "ms", "mean", one(handle)),
        Row::new("copy_bare", "a bare dora message of as many bytes as the handle's", "ms", "mean", one(bare)),
        Row::new("copy_shm", lossy, "ms", "mean", one(shared)),
        Row::new("copy_daemon", "its pixels over dora's lossless path", "ms", "mean", one(daemon)),
        Row::new("copy_ratio_shm", "pixels in dora's shared memory to handle", "x", "mean", one(shared / handle)).at_least(0, 5.0),
        Row::new("copy_ratio_daemon", "pixels over dora's lossless path to handle", "x", "mean", one(daemon / handle)).at_least(0, 5.0),
    ])
}
