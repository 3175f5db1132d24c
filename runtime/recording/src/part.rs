//! One file that is being written.

use crate::about::About;
use crate::chunks::COMPRESSION;
use crate::format::{MAGIC, Record, op};
use crate::{RecordError, batch, foxglove, names};
use arrow_schema::DataType;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A chunk ends with the message that makes it longer than this; a flush ends it earlier.
const CHUNK_BYTES: usize = 1 << 20;

/// An MCAP file.
#[derive(Debug)]
pub(crate) struct Part {
    pub path: PathBuf,
    file: File,
    /// Everything before this byte is whole.
    bytes: u64,
    given_up: bool,
    chunk: Chunk,
    channels: BTreeMap<String, Channel>,
    /// Chunk index records for the summary.
    index: Vec<Vec<u8>>,
    metadata_index: Vec<u8>,
}

/// A channel with its schema, as records. Both have the same number.
#[derive(Debug)]
struct Channel {
    id: u16,
    records: Vec<u8>,
    messages: u64,
}

/// The chunk that is being filled.
#[derive(Debug, Default)]
struct Chunk {
    records: Vec<u8>,
    /// Time and place of each message, by channel.
    messages: BTreeMap<u16, Vec<(u64, u64)>>,
    introduced: BTreeSet<u16>,
}

impl Part {
    /// Makes the file, empty but for `about`.
    pub fn create(path: &Path, about: &About) -> Result<Self, RecordError> {
        let file = File::create(path).map_err(|e| RecordError::Write {
            path: path.to_owned(),
            what: "cannot be made",
            why: e.to_string(),
            kept_bytes: 0,
        })?;
        let mut part = Self {
            path: path.to_owned(),
            file,
            bytes: 0,
            given_up: false,
            chunk: Chunk::default(),
            channels: BTreeMap::new(),
            index: Vec::new(),
            metadata_index: Vec::new(),
        };
        let library = concat!("gantry ", env!("CARGO_PKG_VERSION"));
        let header = [MAGIC.as_slice(), &Record::new(op::HEADER).text(names::PROFILE).text(library).done()].concat();
        part.append(&header)?;
        let metadata = Record::new(op::METADATA).text(names::ABOUT).texts(&about.checked()).done();
        part.metadata_index = Record::new(op::METADATA_INDEX).u64(part.bytes).u64(metadata.len() as u64).text(names::ABOUT).done();
        part.append(&metadata)?;
        Ok(part)
    }

    /// Bytes written and waiting.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.chunk.records.len() as u64
    }

    /// Writes a message of an Arrow channel.
    pub fn arrow(&mut self, topic: &str, kind: &str, schema: &DataType, time_ns: i64, data: &[u8]) -> Result<(), RecordError> {
        if !self.channels.contains_key(topic) {
            let schema = batch::schema_message(schema).map_err(|e| RecordError::Message { topic: topic.to_owned(), why: e.to_string() })?;
            self.channel(topic, kind, names::ARROW_SCHEMA, names::ARROW_BATCH, &schema)?;
        }
        self.message(topic, time_ns, data)
    }

    /// Writes a message of a video channel.
    pub fn video(&mut self, topic: &str, time_ns: i64, data: &[u8]) -> Result<(), RecordError> {
        if !self.channels.contains_key(topic) {
            self.channel(topic, foxglove::COMPRESSED_VIDEO, "protobuf", "protobuf", &foxglove::descriptor())?;
        }
        self.message(topic, time_ns, data)
    }

    fn channel(&mut self, topic: &str, kind: &str, schema_encoding: &str, encoding: &str, schema: &[u8]) -> Result<(), RecordError> {
        // 0 means "no schema".
        let id = u16::try_from(self.channels.len() + 1)
            .map_err(|_| RecordError::Message { topic: topic.to_owned(), why: "more than 65,534 channels".to_owned() })?;
        let schema = Record::new(op::SCHEMA).u16(id).text(kind).text(schema_encoding).sized(schema).done();
        let channel = Record::new(op::CHANNEL).u16(id).u16(id).text(topic).text(encoding).texts(&BTreeMap::new()).done();
        self.channels.insert(topic.to_owned(), Channel { id, records: [schema, channel].concat(), messages: 0 });
        Ok(())
    }

    fn message(&mut self, topic: &str, time_ns: i64, data: &[u8]) -> Result<(), RecordError> {
        let Some(channel) = self.channels.get_mut(topic) else { return Ok(()) };
        let chunk = &mut self.chunk;
        // Repeated in every chunk, so that none depends on another.
        if chunk.introduced.insert(channel.id) {
            chunk.records.extend_from_slice(&channel.records);
        }
        let time = u64::try_from(time_ns).unwrap_or(0);
        chunk.messages.entry(channel.id).or_default().push((time, chunk.records.len() as u64));
        // It wraps after 4 billion messages; numbers of packets stand in their rows.
        let number = channel.messages as u32;
        channel.messages += 1;
        let record = Record::new(op::MESSAGE).u16(channel.id).u32(number).u64(time).u64(time).bytes(data).done();
        chunk.records.extend_from_slice(&record);
        if chunk.records.len() > CHUNK_BYTES { self.end_chunk() } else { Ok(()) }
    }

    /// Ends the chunk, so that everything so far is in the hands of the system; with `sync` on the disk.
    pub fn flush(&mut self, sync: bool) -> Result<(), RecordError> {
        if self.chunk.records.is_empty() {
            return Ok(());
        }
        self.end_chunk()?;
        if sync { self.file.sync_data().map_err(|e| self.fault("cannot be written to the disk", &e)) } else { Ok(()) }
    }

    fn end_chunk(&mut self) -> Result<(), RecordError> {
        let chunk = std::mem::take(&mut self.chunk);
        let times = || chunk.messages.values().flatten().map(|(time, _)| *time);
        let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let packed = packed(&chunk.records).map_err(|e| self.fault("chunk cannot be packed", &e))?;
        let size = chunk.records.len() as u64;
        let record = Record::new(op::CHUNK)
            .u64(first)
            .u64(last)
            .u64(size)
            .u32(crc32fast::hash(&chunk.records))
            .text(COMPRESSION)
            .u64(packed.len() as u64)
            .bytes(&packed)
            .done();
        let (start, length) = (self.bytes, record.len() as u64);
        let mut all = record;
        let mut places = Vec::new();
        for (id, messages) in &chunk.messages {
            places.push([&id.to_le_bytes()[..], &(start + all.len() as u64).to_le_bytes()].concat());
            let entries: Vec<u8> = messages.iter().flat_map(|(time, at)| [time.to_le_bytes(), at.to_le_bytes()]).flatten().collect();
            all.extend(Record::new(op::MESSAGE_INDEX).u16(*id).sized(&entries).done());
        }
        let index = Record::new(op::CHUNK_INDEX)
            .u64(first)
            .u64(last)
            .u64(start)
            .u64(length)
            .list(places.iter().map(Vec::as_slice))
            .u64(all.len() as u64 - length)
            .text(COMPRESSION)
            .u64(packed.len() as u64)
            .u64(size)
            .done();
        self.append(&all)?;
        self.index.push(index);
        Ok(())
    }

    /// Writes the summary.
    pub fn finish(&mut self) -> Result<(), RecordError> {
        self.flush(false)?;
        // 0: no CRC over the whole data, its chunks have their own.
        let end = Record::new(op::DATA_END).u32(0).done();
        let summary_start = self.bytes + end.len() as u64;
        let counts: Vec<Vec<u8>> = self.channels.values().map(|c| [&c.id.to_le_bytes()[..], &c.messages.to_le_bytes()].concat()).collect();
        let statistics = Record::new(op::STATISTICS)
            .u64(self.channels.values().map(|c| c.messages).sum())
            .u16(self.channels.len() as u16)
            .u32(self.channels.len() as u32)
            .u32(0)
            .u32(1)
            .u32(self.index.len() as u32)
            .u64(self.chunk_times(0).min().unwrap_or(0))
            .u64(self.chunk_times(1).max().unwrap_or(0))
            .list(counts.iter().map(Vec::as_slice))
            .done();
        let mut summary: Vec<u8> = self.channels.values().flat_map(|c| c.records.iter().copied()).collect();
        summary.extend(self.index.iter().flatten().chain(&statistics).chain(&self.metadata_index));
        // 0: no offsets of groups. The CRC covers the footer up to itself.
        let footer = Record::new(op::FOOTER).u64(summary_start).u64(0).u32(0).done();
        let (before_crc, _) = footer.split_at(footer.len() - 4);
        summary.extend_from_slice(before_crc);
        let crc = crc32fast::hash(&summary);
        self.append(&[end, summary, crc.to_le_bytes().to_vec(), MAGIC.to_vec()].concat())
    }

    /// First or second number of each chunk index: the times of its first and last message.
    fn chunk_times(&self, which: usize) -> impl Iterator<Item = u64> {
        let number = move |record: &Vec<u8>| {
            let mut body = crate::format::Body(record.get(crate::format::RECORD_HEAD + 8 * which..)?);
            body.u64()
        };
        self.index.iter().filter_map(number)
    }

    /// Writes whole records; after a failure the file ends where it was whole.
    fn append(&mut self, records: &[u8]) -> Result<(), RecordError> {
        if self.given_up {
            return Err(self.fault("cannot be written", &io::Error::other("it was given up before")));
        }
        if let Err(error) = self.file.write_all(records) {
            self.given_up = true;
            // Shortening works on a full disk too.
            let cut = self.file.set_len(self.bytes).err().map(|e| io::Error::other(format!("{error}; and it cannot be cut: {e}")));
            return Err(self.fault("cannot be written", &cut.unwrap_or(error)));
        }
        self.bytes += records.len() as u64;
        Ok(())
    }

    fn fault(&self, what: &'static str, why: &io::Error) -> RecordError {
        RecordError::Write { path: self.path.clone(), what, why: why.to_string(), kept_bytes: self.bytes }
    }
}

/// One LZ4 frame. Blocks see each other, so that a packet and its copy for Foxglove cost little more than one.
fn packed(records: &[u8]) -> io::Result<Vec<u8>> {
    let info = FrameInfo::new().block_mode(BlockMode::Linked).block_size(BlockSize::Max1MB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(records)?;
    encoder.finish().map_err(io::Error::from)
}
