//! The packets of one camera.

use crate::entries::{Entries, Entry, Message};
use crate::sequence::Sequence;
use crate::{OpenError, batch, names};
use gantry_messages::{Message as _, PacketRow, decode};
use std::collections::VecDeque;

/// Packets of one camera, as the camera sent them; those that cannot be decoded are left out, see [`Sequence`].
///
/// [`PacketRow::frame`] is the number that the packet had when it was recorded, so that it jumps where packets are missing.
#[derive(Debug)]
pub struct Packets {
    entries: Entries,
    camera: String,
    sequence: Sequence,
    start_ns: i64,
    /// Packets since the last key frame, while the start has not come.
    group: VecDeque<PacketRow>,
}

impl Packets {
    pub(crate) fn new(entries: Entries, camera: &str, first: u64) -> Self {
        Self { entries, camera: camera.to_owned(), sequence: Sequence::starting_at(first), start_ns: i64::MIN, group: VecDeque::new() }
    }

    /// Begins with the last key frame before the packet that is shown at `start_ns` (media time).
    #[must_use]
    pub fn from(mut self, start_ns: i64) -> Self {
        self.start_ns = start_ns;
        self
    }

    /// What was delivered and what was missing until now.
    pub fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    fn read_on(&mut self) -> Option<Result<PacketRow, OpenError>> {
        loop {
            let message = match self.entries.next()? {
                Ok(Entry::Message(message)) => message,
                // What was lost shows in the numbers of the packets.
                Ok(Entry::Lost(_)) => continue,
                Err(e) => return Some(Err(e)),
            };
            let Some(rows) = packets_of(&message).filter(|_| message.topic == topic(&self.camera)) else { continue };
            let sequence = &mut self.sequence;
            self.group.extend(rows.into_iter().filter_map(|row| sequence.take(row)));
            return self.group.pop_front().map(Ok).or_else(|| self.read_on());
        }
    }
}

/// The channel of a camera's packets.
pub(crate) fn topic(camera: &str) -> String {
    format!("/{camera}/packets")
}

/// The rows of a message of packets; `None` if it is something else or cannot be read.
pub(crate) fn packets_of(message: &Message) -> Option<Vec<PacketRow>> {
    if message.kind != PacketRow::TYPE || message.encoding != names::ARROW_BATCH {
        return None;
    }
    let array = batch::read_array(&message.schema, &message.data).ok()?;
    decode::<PacketRow>(&array).ok()
}

impl Iterator for Packets {
    type Item = Result<PacketRow, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.group.pop_front() {
            return Some(Ok(row));
        }
        if self.start_ns == i64::MIN {
            return self.read_on();
        }
        // The start is not reached yet: keep what is needed to decode from it.
        let start_ns = std::mem::replace(&mut self.start_ns, i64::MIN);
        let mut group = VecDeque::new();
        loop {
            match self.read_on() {
                None => break,
                Some(Err(e)) => return Some(Err(e)),
                Some(Ok(row)) => {
                    let time = if row.pts_ns == i64::MIN { row.dts_ns } else { row.pts_ns };
                    if row.keyframe && time <= start_ns {
                        group.clear();
                    }
                    let reached = time >= start_ns || row.end;
                    group.push_back(row);
                    if reached {
                        break;
                    }
                }
            }
        }
        group.append(&mut self.group);
        self.group = group;
        self.group.pop_front().map(Ok)
    }
}
