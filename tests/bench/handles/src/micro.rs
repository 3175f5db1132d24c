//! Costs inside one process: no other end, no wake-up.

use crate::Interrupt;
use crate::pool;
use crate::table::Row;
use crate::times::{Samples, now_ns};
use dora_node_api::arrow_utils::{IpcPayload, decode_arrow_ipc_zero_copy};
use gantry_frames::{Client, FrameMeta, Handle, Layout, Pool, StopFlag};
use gantry_messages::{FrameRow, decode};
use gantry_node::{Encoded, Fault, Writer};
use std::hint::black_box;
use std::path::Path;

const ROUNDS: usize = 200_000;
const ARROW_ROUNDS: usize = 5_000;

/// One producer and one reader of it.
pub struct Pair {
    pub pool: Pool,
    pub client: Client,
    layout: Layout,
    stop: StopFlag,
}

impl Pair {
    /// Makes both in `dir`.
    pub fn new(dir: &Path) -> Result<Self, Fault> {
        let pool = pool::live(dir, "bench/frames", &["reader".to_owned()])?;
        Ok(Self { pool, client: pool::client(dir, "reader"), layout: pool::layout()?, stop: StopFlag::new() })
    }

    /// Publishes a frame.
    pub fn publish(&self) -> Result<Handle, Fault> {
        Ok(self.pool.begin_write(&self.stop)?.fill(self.layout)?.publish(&FrameMeta::default()).handle)
    }

    /// Publishes, takes and gives back `rounds` frames; how long each took.
    pub fn rounds(&self, rounds: usize) -> Result<Samples, Fault> {
        let mut samples = Samples::default();
        for number in 0..rounds as u64 {
            let started = now_ns();
            let mut loaned = self.pool.begin_write(&self.stop)?;
            pool::stamp(loaned.bytes_mut(), number);
            let handle = loaned.fill(self.layout)?.publish(&FrameMeta::default()).handle;
            let frame = self.client.acquire(&handle)?;
            let right = pool::is_stamped(frame.bytes(), number);
            drop(frame);
            samples.push(now_ns() - started);
            if !right {
                return Err(Fault::new(format!("frame {number} came back changed")));
            }
        }
        Ok(samples)
    }
}

/// Acquire + release, encode + check, whole round, Arrow message.
pub fn rows(interrupt: &Interrupt) -> Result<Vec<Row>, Fault> {
    let dir = tempfile::tempdir()?;
    let pair = Pair::new(&dir.path().join("sockets"))?;
    let first = pair.publish()?;
    drop(pair.client.acquire(&first)?);
    let acquire = each(ROUNDS, interrupt, || pair.client.acquire(&first).map(drop).map_err(Fault::from))?;

    // `publish` encodes the handle, describes the slot and makes it visible; there is no way to encode without it.
    let mut encode_check = Samples::default();
    for _ in 0..ROUNDS {
        let filled = pair.pool.begin_write(&pair.stop)?.fill(pair.layout)?;
        let started = now_ns();
        let published = filled.publish(&FrameMeta::default());
        let checked = published.handle.decode_checked();
        encode_check.push(now_ns() - started);
        black_box(checked?);
    }
    interrupt.check()?;
    let whole = pair.rounds(ROUNDS)?;
    interrupt.check()?;

    let row = [pool::row(&pool::meta("cam0", 7)?, &first)];
    // As nodes send and dora receives it.
    let mut writer = Writer::default();
    let arrow = each(ARROW_ROUNDS, interrupt, || {
        let array = match writer.encode("frames", &row)? {
            Encoded::Stream(stream) => {
                let payload = IpcPayload::from_vec(stream.to_vec());
                decode_arrow_ipc_zero_copy(payload).map_err(|e| Fault::new(e.to_string()))?.into_inner()
            }
            Encoded::Array(array) => array,
        };
        black_box(decode::<FrameRow>(&array)?);
        Ok(())
    })?;
    Ok(vec![
        Row::new("acquire", "acquire + release", "us", "p50, p99", acquire.us()).at_most(1, 1.0),
        Row::new("encode_check", "encode (with publish) + check of a handle", "us", "p50, p99", encode_check.us()).at_most(1, 2.0),
        Row::new("whole_round", "begin_write, publish, acquire, release", "us", "p50, p99", whole.us()),
        Row::new("arrow_round", "its Arrow message, to bytes and back", "us", "p50, p99", arrow.us()),
    ])
}

fn each(rounds: usize, interrupt: &Interrupt, mut step: impl FnMut() -> Result<(), Fault>) -> Result<Samples, Fault> {
    let mut samples = Samples::default();
    for _ in 0..rounds {
        let started = now_ns();
        step()?;
        samples.push(now_ns() - started);
    }
    interrupt.check()?;
    Ok(samples)
}
