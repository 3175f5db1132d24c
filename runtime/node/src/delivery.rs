//! Each row once and in order, whatever became of its message.
//!
//! In a lossless run every frame of a camera has exactly one row on every edge, numbered from 0, and the row that ends the camera has the
//! number after the last. That is all it takes to see what the transport did: a number below the expected one is a duplicate and
//! dropped, one above it waits. What is missing of `frames/v1` is pulled from the producer's descriptor ring, where it stands as long as it is not
//! acknowledged: a message is a doorbell, the page is the truth (docs/handles.md). Of other types nothing is left to pull
//! from; there the run fails and names the frame, for a lossless run never turns lossy.
//!
//! In live mode rows may be missing on purpose, and this does nothing.

use crate::{Fault, Outputs, frame_row};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, StringArray, UInt64Array};
use gantry_frames::{Client, Handle, PoolId};
use gantry_messages::{FrameRow, Message, encode};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Types with one row per frame and camera on every edge.
const NUMBERED: &[&str] = &["frames/v1", "detections/v1", "tracks/v1", "crops/v1", "texts/v1"];
/// How long rows wait for one that is missing before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// The inputs of one node.
pub(crate) struct Delivery {
    inputs: BTreeMap<String, Line>,
    patience: Duration,
}

/// One input.
struct Line {
    /// Its message type is numbered.
    numbered: bool,
    /// What its frames are pulled from; none for types without buffers.
    ring: Option<Ring>,
    cameras: BTreeMap<String, Camera>,
    /// Nothing has come since the last tick.
    quiet: bool,
    /// Nothing had come between two ticks: a message may have been lost.
    due: bool,
}

struct Ring {
    /// Node and port of the producer.
    output: String,
    /// Pools that handles named, newest last.
    pools: Vec<PoolId>,
}

#[derive(Default)]
struct Camera {
    /// Number that is expected; unknown until the first frame of a node that may have been started again.
    next: Option<u64>,
    /// Rows behind a hole.
    waiting: BTreeMap<u64, ArrayRef>,
    waiting_since: Option<Instant>,
    ended: bool,
}

/// The columns that the numbers stand in.
struct Numbers<'a> {
    source: &'a StringArray,
    frame: &'a UInt64Array,
    end: &'a BooleanArray,
}

impl<'a> Numbers<'a> {
    /// `None` for an array that is not of such a type; the stage's own decoding says what is wrong with it.
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let rows = array.as_struct_opt()?;
        let source = rows.column_by_name("source")?.as_string_opt::<i32>()?;
        let frame = rows.column_by_name("frame")?.as_primitive_opt::<UInt64Type>()?;
        let end = rows.column_by_name("end")?.as_boolean_opt()?;
        let complete = source.null_count() + frame.null_count() + end.null_count() == 0;
        complete.then_some(Self { source, frame, end })
    }

    fn len(&self) -> usize {
        self.frame.len()
    }
}

impl Delivery {
    /// For inputs of `(id, message type, node and port that it comes from)`.
    pub(crate) fn new<'a>(inputs: impl IntoIterator<Item = (&'a str, &'a str, String)>) -> Self {
        let line = |message: &str, output| Line {
            numbered: NUMBERED.contains(&message),
            ring: (message == FrameRow::TYPE).then(|| Ring { output, pools: Vec::new() }),
            cameras: BTreeMap::new(),
            quiet: true,
            due: false,
        };
        let inputs = inputs.into_iter().map(|(id, message, output)| (id.to_owned(), line(message, output))).collect();
        Self { inputs, patience: PATIENCE }
    }

    /// What is to be handled now that `array` has arrived on `input`.
    ///
    /// # Errors
    /// If rows that were pulled cannot be expressed in Arrow.
    pub(crate) fn take(
        &mut self,
        input: &str,
        array: ArrayRef,
        client: Option<&Client>,
        out: &mut Outputs,
    ) -> Result<Vec<ArrayRef>, Fault> {
        let Some(line) = self.inputs.get_mut(input).filter(|line| line.numbered) else { return Ok(vec![array]) };
        let Some(numbers) = Numbers::of(&array) else { return Ok(vec![array]) };
        (line.quiet, line.due) = (false, false);
        if let Some(ring) = &mut line.ring {
            ring.remember(&array, &numbers);
        }
        let mut ready = Vec::with_capacity(1);
        if line.passes(&numbers) {
            ready.push(array);
        } else {
            let repeated = line.sort_in(&array, &numbers);
            if repeated > 0 {
                out.count("repeated_rows", repeated);
            }
            line.pull(client, out)?;
        }
        line.release(&mut ready);
        Ok(ready)
    }

    /// Notes that time passes.
    ///
    /// # Errors
    /// If a row has been missing for too long.
    pub(crate) fn on_tick(&mut self) -> Result<(), Fault> {
        for (input, line) in self.inputs.iter_mut().filter(|(_, line)| line.numbered) {
            line.due |= std::mem::replace(&mut line.quiet, true);
            if let Some((source, camera)) = line.cameras.iter().find(|(_, c)| c.waiting_since.is_some_and(|t| t.elapsed() >= self.patience))
            {
                return Err(camera.lost(input, source));
            }
        }
        Ok(())
    }

    /// What is to be handled although no message told of it, with its input. For moments when no message waits: one that is only
    /// late would come a second time.
    ///
    /// # Errors
    /// As [`Delivery::take`].
    pub(crate) fn overdue(&mut self, client: Option<&Client>, out: &mut Outputs) -> Result<Vec<(String, ArrayRef)>, Fault> {
        let mut found = Vec::new();
        for (input, line) in self.inputs.iter_mut().filter(|(_, line)| line.due) {
            line.due = false;
            line.pull(client, out)?;
            let mut ready = Vec::new();
            line.release(&mut ready);
            found.extend(ready.into_iter().map(|array| (input.clone(), array)));
        }
        Ok(found)
    }

    /// What is to be handled when `input` has closed: what was not told of, and the ends that never came.
    ///
    /// # Errors
    /// If rows wait for one that cannot come any more.
    pub(crate) fn close(&mut self, input: &str, client: Option<&Client>, out: &mut Outputs) -> Result<Vec<ArrayRef>, Fault> {
        let Some(line) = self.inputs.get_mut(input).filter(|line| line.numbered) else { return Ok(Vec::new()) };
        let mut ready = Vec::new();
        line.pull(client, out)?;
        line.release(&mut ready);
        for (source, camera) in &mut line.cameras {
            if !camera.waiting.is_empty() {
                return Err(camera.lost(input, source));
            }
            if camera.ended {
                continue;
            }
            warn!(input, camera = source, frames = camera.next, "the input closed before the end of this camera");
            if line.ring.is_some() {
                let end = FrameRow { source: source.clone(), frame: camera.next.unwrap_or(0), end: true, ..FrameRow::default() };
                ready.push(encode(&[end])?);
            }
            camera.ended = true;
        }
        Ok(ready)
    }
}

impl Camera {
    fn lost(&self, input: &str, source: &str) -> Fault {
        let missing = self.next.unwrap_or(0);
        Fault::new(format!("input `{input}`: frame {missing} of camera `{source}` never came, {} later ones wait for it", self.waiting.len()))
            .hint("each frame needs one row on every edge of a lossless run; does the edge have `queue_policy: backpressure` and a `queue_size` that holds what can be under way?")
    }
}

impl Line {
    /// Whether every row is the next of its camera; counts them then.
    fn passes(&mut self, numbers: &Numbers<'_>) -> bool {
        let from_ring = self.ring.is_some();
        // A message rarely has more than two cameras.
        let mut next: Vec<(&str, u64)> = Vec::with_capacity(2);
        for i in 0..numbers.len() {
            let source = numbers.source.value(i);
            let at = match next.iter().position(|(known, _)| *known == source) {
                Some(at) => at,
                None => {
                    let camera = self.cameras.get(source);
                    let first = if from_ring { None } else { Some(0) };
                    match camera.map_or(first, |camera| camera.next).or_else(|| (numbers.frame.value(i) == 0).then_some(0)) {
                        Some(number) => next.push((source, number)),
                        None => return false,
                    }
                    next.len() - 1
                }
            };
            if numbers.frame.value(i) != next[at].1 {
                return false;
            }
            next[at].1 += 1;
        }
        for (source, number) in next {
            match self.cameras.get_mut(source) {
                Some(camera) => camera.next = Some(number),
                None => {
                    self.cameras.insert(source.to_owned(), Camera { next: Some(number), ..Camera::default() });
                }
            }
        }
        for i in (0..numbers.len()).filter(|i| numbers.end.value(*i)) {
            if let Some(camera) = self.cameras.get_mut(numbers.source.value(i)) {
                camera.ended = true;
            }
        }
        true
    }

    /// Puts each row where it belongs; how many have been there before.
    fn sort_in(&mut self, array: &ArrayRef, numbers: &Numbers<'_>) -> u64 {
        let mut repeated = 0;
        for i in 0..numbers.len() {
            let (source, number) = (numbers.source.value(i), numbers.frame.value(i));
            let first = if self.ring.is_some() { None } else { Some(0) };
            let camera = self.cameras.entry(source.to_owned()).or_insert_with(|| Camera { next: first, ..Camera::default() });
            if camera.next.is_some_and(|next| number < next) || camera.waiting.contains_key(&number) {
                repeated += 1;
                continue;
            }
            camera.waiting.insert(number, array.slice(i, 1));
            camera.waiting_since.get_or_insert_with(Instant::now);
        }
        repeated
    }

    /// Pulls what the producer has published and nobody handled.
    fn pull(&mut self, client: Option<&Client>, out: &mut Outputs) -> Result<(), Fault> {
        let (Some(client), Some(ring)) = (client, &mut self.ring) else { return Ok(()) };
        let array = encode(&ring.unread(client))?;
        let Some(numbers) = Numbers::of(&array) else { return Ok(()) };
        let found = numbers.len() as u64 - self.sort_in(&array, &numbers);
        if found > 0 {
            out.count("recovered_rows", found);
        }
        Ok(())
    }

    /// Takes out the rows that are next.
    fn release(&mut self, ready: &mut Vec<ArrayRef>) {
        for camera in self.cameras.values_mut().filter(|camera| !camera.waiting.is_empty()) {
            // The oldest frame that is not acknowledged is where a node that was started again goes on.
            let first = || camera.waiting.first_key_value().map(|(number, _)| *number);
            camera.next = camera.next.or_else(first);
            while let Some(array) = camera.next.and_then(|next| camera.waiting.remove(&next)) {
                camera.next = camera.next.map(|next| next + 1);
                camera.waiting_since = Some(Instant::now());
                camera.ended |= Numbers::of(&array).is_some_and(|numbers| numbers.end.true_count() > 0);
                ready.push(array);
            }
            if camera.waiting.is_empty() {
                camera.waiting_since = None;
            }
        }
    }
}

impl Ring {
    fn remember(&mut self, array: &ArrayRef, numbers: &Numbers<'_>) {
        let handles: Option<&FixedSizeBinaryArray> =
            array.as_struct_opt().and_then(|rows| rows.column_by_name("handle")).and_then(|column| column.as_fixed_size_binary_opt());
        let Some(handles) = handles else { return };
        let Some(last) = (0..numbers.len()).rev().find(|i| !numbers.end.value(*i)) else { return };
        if let Ok(handle) = Handle::from_bytes(handles.value(last))
            && !self.pools.contains(&handle.pool())
        {
            self.pools.push(handle.pool());
        }
    }

    /// Rows of the frames that are published and not taken, oldest first.
    fn unread(&mut self, client: &Client) -> Vec<FrameRow> {
        if self.pools.is_empty() {
            // The very first message may be the one that is lost. What is wrong with a pool that cannot be joined is said when a handle of it comes.
            match client.find(&self.output) {
                Ok(found) => self.pools.extend(found),
                Err(error) => debug!(output = self.output, %error, "no pool to look for lost messages in"),
            }
        }
        let mut handles = Vec::new();
        // A closed pool has nothing left to read.
        self.pools.retain(|pool| client.recover(pool, &mut handles).is_ok());
        let row = |handle: &Handle| {
            // Without metadata its slot was written again: it had been acknowledged.
            let (meta, descriptor) = (client.frame_meta(handle).ok()??, handle.decode_checked().ok()?);
            Some(frame_row(handle, &descriptor.layout, &meta))
        };
        handles.iter().filter_map(row).collect()
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
