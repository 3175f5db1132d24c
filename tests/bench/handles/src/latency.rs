//! Publish to acquire, beside bare messages of the same graph and iceoryx2 at the same time.

use crate::graph::{self, Shape};
use crate::table::Row;
use crate::times::Samples;
use crate::wire::Kind;
use crate::{Interrupt, iceoryx2};
use gantry_node::Fault;

/// One graph whose source sends a handle, messages of as many bytes, of 192 bytes and of the same columns, in turn; iceoryx2 beside
/// it.
pub fn rows(seconds: u64, interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let kinds = vec![Kind::Handle, Kind::Bare, Kind::Small, Kind::Columns];
    let shape = Shape { cameras: 1, consumers: 1, kinds, group: 1, backpressure: true, timed: false, seconds };
    let mut beside = None;
    let outcome = graph::run_beside(&shape, interrupt, || {
        // Without it there is still the comparison with dora.
        match iceoryx2::start(seconds) {
            Ok(started) => beside = Some(started),
            Err(fault) => eprintln!("iceoryx2 is left out: {fault}"),
        }
        Ok(())
    })?;
    let sink = outcome.sinks.first().cloned().unwrap_or_default();
    let (handle, bare, small) = (sink.latency(Kind::Handle), sink.latency(Kind::Bare), sink.latency(Kind::Small));
    let columns = sink.latency(Kind::Columns);
    let mut acquire = Samples::default();
    acquire.extend(sink.acquire_ns.iter().copied());
    let ratio = |a: &Samples, b: &Samples| vec![a.at(0.5, 1.0) / b.at(0.5, 1.0)];
    let mut rows = vec![
        Row::new("latency_handle", "publish -> acquire of a 1080p frame, over dora", "us", "p50, p99", handle.us()),
        Row::new("latency_bare", "bare dora message of as many bytes", "us", "p50, p99", bare.us()),
        Row::new("latency_small", "bare dora message of 192 bytes", "us", "p50, p99", small.us()),
        Row::new("latency_columns", "bare dora message with the columns of the handle's", "us", "p50, p99", columns.us()),
        Row::new("latency_ratio", "handle to bare message of as many bytes", "x", "p50", ratio(&handle, &bare)).at_most(0, 1.3),
        Row::new("latency_columns_ratio", "handle to bare message with its columns", "x", "p50", ratio(&handle, &columns)),
        Row::new("cold_acquire", "acquire + release once in 33 ms: cold caches", "us", "p50, p99", acquire.us()),
    ];
    if let Some(beside) = beside {
        let (small, frame) = beside.finish()?;
        rows.push(Row::new("latency_iceoryx2_small", "iceoryx2 with its event, 192 bytes", "us", "p50, p99", small.us()));
        rows.push(Row::new("latency_iceoryx2_frame", "iceoryx2 with its event, a 1080p frame", "us", "p50, p99", frame.us()));
        rows.push(Row::new("latency_iceoryx2_ratio", "handle over dora to iceoryx2, a 1080p frame", "x", "p50", ratio(&handle, &frame)));
    }
    Ok(rows)
}
