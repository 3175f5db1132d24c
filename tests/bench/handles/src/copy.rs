//! CPU of one 1080p stream with everything: a handle, or the pixels through dora.

use crate::Interrupt;
use crate::graph::{self, FPS, Shape};
use crate::table::Row;
use crate::wire::Kind;
use gantry_node::Fault;

/// Each way once per turn, so that all meet the same other load.
const TURNS: usize = 2;
/// Frames in a message of a lossless run when there is enough to do.
const GROUP: u64 = 8;

/// What travels, over dora's lossless path or not, and how many frames in a message.
const WAYS: [(Kind, bool, u64); 6] = [
    (Kind::Handle, true, 1),
    (Kind::Pixels, false, 1),
    (Kind::Pixels, true, 1),
    (Kind::Bare, true, 1),
    (Kind::Handle, true, GROUP),
    (Kind::Pixels, false, GROUP),
];

/// Six graphs in turn.
pub fn rows(seconds: u64, interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let mut ms = [0.0; WAYS.len()];
    let (mut sent, mut received) = (0, 0);
    for _ in 0..TURNS {
        for (way, (kind, backpressure, group)) in WAYS.into_iter().enumerate() {
            let seconds = seconds.div_ceil(TURNS as u64);
            let shape = Shape { cameras: 1, consumers: 1, kinds: vec![kind], group, backpressure, timed: false, seconds };
            let outcome = graph::run(&shape, interrupt)?;
            ms[way] += 1000.0 * outcome.cores() / FPS as f64 / TURNS as f64;
            if !backpressure {
                sent += outcome.frames();
                received += outcome.sinks.iter().map(|r| r.messages).sum::<u64>();
            }
        }
    }
    let [handle, shared, daemon, bare, handles, together] = ms;
    let one = |value: f64| vec![value];
    let lossy = format!("its pixels in dora's shared memory, one copy; {} of {sent} lost", sent.saturating_sub(received));
    Ok(vec![
        Row::new("copy_handle", "CPU per 1080p frame, all processes: handle", "ms", "mean", one(handle)),
        Row::new("copy_handles", "handle, 8 frames in a message", "ms", "mean", one(handles)),
        Row::new("copy_bare", "a bare dora message of as many bytes as the handle's", "ms", "mean", one(bare)),
        Row::new("copy_shm", lossy, "ms", "mean", one(shared)),
        Row::new("copy_shm_together", "the pixels of 8 frames in one message in dora's shared memory", "ms", "mean", one(together)),
        Row::new("copy_daemon", "its pixels over dora's lossless path", "ms", "mean", one(daemon)),
        Row::new("copy_ratio_shm", "pixels in dora's shared memory to handle, a message per frame", "x", "mean", one(shared / handle))
            .at_least(0, 5.0),
        Row::new("copy_ratio_together", "the same, both with 8 frames in a message", "x", "mean", one(together / handles)).at_least(0, 5.0),
        Row::new("copy_ratio_handles", "pixels, a message per frame, to handles, 8 in a message", "x", "mean", one(shared / handles))
            .at_least(0, 5.0),
        Row::new("copy_ratio_daemon", "pixels over dora's lossless path to handle", "x", "mean", one(daemon / handle)).at_least(0, 5.0),
    ])
}
