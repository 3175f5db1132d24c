use crate::latency::{Latency, now_ns};
use crate::{Fault, NodeStats, Writer};
use arrow_array::{Array, ArrayRef};
use dora_node_api::DoraNode;
use gantry_messages::{Message, decode, encode};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a stage sends its messages and counts what happens.
pub struct Outputs {
    to: Target,
    pub(crate) stats: NodeStats,
}

enum Target {
    Dora(Box<DoraNode>, Writer),
    Collector(BTreeMap<String, Vec<ArrayRef>>),
}

impl Outputs {
    pub(crate) fn dora(node: DoraNode, stats: NodeStats) -> Self {
        Self { to: Target::Dora(Box::new(node), Writer::default()), stats }
    }

    /// Outputs that keep what is sent, for tests.
    pub fn collector() -> Self {
        Self { to: Target::Collector(BTreeMap::new()), stats: NodeStats::default() }
    }

    /// Sends one message with these rows; nothing if there is none.
    ///
    /// # Errors
    /// If the rows cannot be encoded or dora does not take them.
    pub fn send<T: Message>(&mut self, port: &str, rows: &[T]) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        add(&mut self.stats.rows_out, port, rows.len() as u64);
        add(&mut self.stats.messages_out, port, 1);
        self.age(port, rows.iter().filter(|row| !row.is_end()).filter_map(Message::captured_ns));
        match &mut self.to {
            Target::Collector(sent) => {
                let array = encode(rows).map_err(|e| Fault::from(e).context(format!("output `{port}`")))?;
                sent.entry(port.to_owned()).or_default().push(array);
            }
            Target::Dora(node, writer) => writer.send(node, port, rows)?,
        }
        Ok(())
    }

    /// Counts how old frames are now, under the name of an output, or of what else this node does with them. `captured_ns` as in
    /// the rows. Sent rows are counted by [`Outputs::send`].
    pub fn age(&mut self, name: &str, captured_ns: impl IntoIterator<Item = i64>) {
        let mut captured_ns = captured_ns.into_iter().peekable();
        if captured_ns.peek().is_none() {
            return;
        }
        let now = now_ns();
        if !self.stats.latency.contains_key(name) {
            self.stats.latency.insert(name.to_owned(), Latency::default());
        }
        let Some(latency) = self.stats.latency.get_mut(name) else { return };
        captured_ns.for_each(|captured| latency.add(captured, now));
    }

    /// Counts what `rows` rows took, under the name of an input, of `work`, or of a thread of the stage's own.
    pub fn busy(&mut self, name: &str, time: Duration, rows: u64) {
        match self.stats.busy.get_mut(name) {
            Some(busy) => busy.add(time, rows),
            None => self.stats.busy.entry(name.to_owned()).or_default().add(time, rows),
        }
    }

    /// Rows sent so far, all outputs.
    pub(crate) fn sent(&self) -> u64 {
        self.stats.rows_out.values().sum()
    }

    /// Adds `n` to a counter of this node.
    pub fn count(&mut self, name: &str, n: u64) {
        add(&mut self.stats.counters, name, n);
    }

    /// Says how much of something the node holds now (entries that wait, bytes).
    pub fn gauge(&mut self, name: &str, value: f64) {
        match self.stats.gauges.get_mut(name) {
            Some(held) => *held = value,
            None => {
                self.stats.gauges.insert(name.to_owned(), value);
            }
        }
    }

    /// Counts how long a message was under way, from its sender's `send` to now.
    pub(crate) fn queued(&mut self, port: &str, sent_ns: i64) {
        if !self.stats.queued.contains_key(port) {
            self.stats.queued.insert(port.to_owned(), Latency::default());
        }
        if let Some(latency) = self.stats.queued.get_mut(port) {
            latency.add(sent_ns, now_ns());
        }
    }

    /// For tests: what [`Outputs::gauge`] was told last.
    pub fn gauged(&self, name: &str) -> Option<f64> {
        self.stats.gauges.get(name).copied()
    }

    /// A counter's value.
    pub fn counted(&self, name: &str) -> u64 {
        self.stats.counters.get(name).copied().unwrap_or(0)
    }

    /// For tests: takes the rows sent to `port` so far, all messages in one.
    ///
    /// # Panics
    /// If this is no collector, or the rows are of another type.
    pub fn taken<T: Message>(&mut self, port: &str) -> Vec<T> {
        let Target::Collector(sent) = &mut self.to else { panic!("these outputs go to dora") };
        let arrays = sent.remove(port).unwrap_or_default();
        arrays.iter().flat_map(|a| decode::<T>(a).unwrap_or_else(|e| panic!("output `{port}`: {e}"))).collect()
    }

    /// For tests: the number of rows of each message sent to `port` so far.
    pub fn message_sizes(&self, port: &str) -> Vec<usize> {
        match &self.to {
            Target::Collector(sent) => sent.get(port).map(|a| a.iter().map(|m| m.len()).collect()).unwrap_or_default(),
            Target::Dora(..) => Vec::new(),
        }
    }
}

pub(crate) fn add(map: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    match map.get_mut(name) {
        Some(value) => *value += n,
        None => {
            map.insert(name.to_owned(), n);
        }
    }
}
