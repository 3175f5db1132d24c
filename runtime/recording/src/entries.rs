//! Everything in a recording, in the order of writing.

use crate::OpenError;
use crate::chunks::{Chunks, Found};
use crate::format::{Body, each_record, op};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// One message of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Channel (`/vote/readings`).
    pub topic: String,
    /// Name of its schema: the message type (`readings/v1`).
    pub kind: String,
    /// The schema; for Arrow messages an IPC schema message.
    pub schema: Arc<Vec<u8>>,
    /// How `data` is to be read.
    pub encoding: String,
    /// The message.
    pub data: Vec<u8>,
}

/// Bytes that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The file.
    pub file: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// How many there are; 0 where a file ends without having been closed, so that more may have been meant to come.
    pub bytes: u64,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (file, from) = (self.file.display(), self.offset);
        match self.bytes {
            0 => write!(f, "{file}: byte {from}: {}", self.why),
            bytes => write!(f, "{file}: bytes {from} to {}: {}", from + bytes, self.why),
        }
    }
}

/// A message, or bytes that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message whose chunk is sound.
    Message(Message),
    /// Bytes that could not be read.
    Lost(Lost),
}

/// Goes through all files of a recording.
#[derive(Debug)]
pub struct Entries {
    files: VecDeque<PathBuf>,
    open: Option<(PathBuf, Chunks)>,
    ready: VecDeque<Entry>,
}

impl Entries {
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        Self { files: files.into(), open: None, ready: VecDeque::new() }
    }

    /// Reads on until there is something to give; false at the end of the last file.
    fn read_on(&mut self) -> Result<bool, OpenError> {
        if self.open.is_none() {
            let Some(path) = self.files.pop_front() else { return Ok(false) };
            let chunks = File::open(&path).and_then(Chunks::new).map_err(|source| OpenError::Read { path: path.clone(), source })?;
            self.open = Some((path, chunks));
        }
        let Some((path, chunks)) = &mut self.open else { return Ok(false) };
        match chunks.next().map_err(|source| OpenError::Read { path: path.clone(), source })? {
            None => self.open = None,
            Some(Found::Damage { offset, bytes, why }) => {
                self.ready.push_back(Entry::Lost(Lost { file: path.clone(), offset, bytes, why }));
            }
            Some(Found::Chunk(records)) => self.ready.extend(messages(&records).into_iter().map(Entry::Message)),
        }
        Ok(true)
    }
}

/// The messages of a chunk. Channels that it does not introduce itself, as other programs may write them, are left out.
fn messages(records: &[u8]) -> Vec<Message> {
    let mut schemas = BTreeMap::new();
    let mut channels = BTreeMap::new();
    let mut messages = Vec::new();
    each_record(records, |opcode, body| {
        let mut body = Body(body);
        match opcode {
            op::SCHEMA => schemas.extend(schema(&mut body)),
            op::CHANNEL => channels.extend(channel(&mut body)),
            op::MESSAGE => messages.extend(message(&mut body, &schemas, &channels)),
            _ => {}
        }
    });
    messages
}

/// Name and content.
type Schema = (String, Arc<Vec<u8>>);
/// Schema, topic and encoding.
type Channel = (u16, String, String);

fn schema(body: &mut Body<'_>) -> Option<(u16, Schema)> {
    let (id, name, _encoding) = (body.u16()?, body.text()?, body.text()?);
    Some((id, (name, Arc::new(body.sized()?.to_vec()))))
}

fn channel(body: &mut Body<'_>) -> Option<(u16, Channel)> {
    Some((body.u16()?, (body.u16()?, body.text()?, body.text()?)))
}

fn message(body: &mut Body<'_>, schemas: &BTreeMap<u16, Schema>, channels: &BTreeMap<u16, Channel>) -> Option<Message> {
    let (schema, topic, encoding) = channels.get(&body.u16()?)?;
    let (_number, _logged, _published) = (body.u32()?, body.u64()?, body.u64()?);
    let (kind, schema) = schemas.get(schema)?;
    let (topic, kind, encoding) = (topic.clone(), kind.clone(), encoding.clone());
    Some(Message { topic, kind, schema: schema.clone(), encoding, data: body.0.to_vec() })
}

impl Iterator for Entries {
    type Item = Result<Entry, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(Ok(entry));
            }
            match self.read_on() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(e) => {
                    // A file that cannot be read now will not be read by asking again.
                    (self.open, self.files) = (None, VecDeque::new());
                    return Some(Err(e));
                }
            }
        }
    }
}
