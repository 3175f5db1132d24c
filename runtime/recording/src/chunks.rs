//! Finds the chunks of an MCAP file without trusting anything else in it.
//!
//! A chunk is recognised by its own header, whose sizes must agree, so that damage elsewhere (a wrong length, a missing summary, an
//! end that was never written) hides no other chunk. What its CRC does not confirm is lost and said to be.

use crate::format::{Body, MAGIC, RECORD_HEAD, each_record, op};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// How chunks are packed: LZ4 frames.
pub(crate) const COMPRESSION: &str = "lz4";
/// Start time, end time, uncompressed size, CRC, name of the compression, compressed size.
const CHUNK_HEAD: usize = 8 + 8 + 8 + 4 + 4 + COMPRESSION.len() + 8;
/// The name of the compression with its length: what is searched for.
const MARK: &[u8] = b"\x03\0\0\0lz4";
/// Where the mark lies in a chunk record.
const MARK_AT: usize = RECORD_HEAD + 8 + 8 + 8 + 4;
/// No chunk is longer, packed or not: [`crate::Recorder`] ends one after the message that makes it longer than 1 MiB.
const MAX_CHUNK_BYTES: u64 = 256 << 20;
/// The file is searched in blocks of this size.
const BLOCK_BYTES: usize = 256 << 10;
/// Other records than chunks are small.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// The next thing in a file.
pub(crate) enum Found {
    /// The records of a chunk whose CRC fits.
    Chunk(Vec<u8>),
    /// Bytes that cannot be read.
    Damage { offset: u64, bytes: u64, why: String },
}

/// Goes through one file.
#[derive(Debug)]
pub(crate) struct Chunks {
    file: File,
    len: u64,
    at: u64,
    /// A chunk that was found and not read.
    waiting: Option<Place>,
    done: bool,
}

/// What lies between two chunks, or behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    /// Whole records of known kinds.
    Records,
    /// Such records, and the magic that closes a file.
    End,
    /// Something else.
    Unknown,
}

/// A chunk header whose sizes agree.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    unpacked_bytes: u64,
    crc: u32,
    packed_bytes: u64,
}

impl Place {
    fn data_at(&self) -> u64 {
        self.offset + (RECORD_HEAD + CHUNK_HEAD) as u64
    }

    fn end(&self) -> u64 {
        self.data_at() + self.packed_bytes
    }
}

impl Chunks {
    /// Goes through `file` from behind its magic.
    pub fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len, at: MAGIC.len() as u64, waiting: None, done: false })
    }

    /// The next chunk or damage; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Found>> {
        if let Some(place) = self.waiting.take() {
            return self.open(place).map(Some);
        }
        if self.done {
            return Ok(None);
        }
        let from = self.at;
        let place = self.find(from)?;
        let to = place.map_or(self.len, |p| p.offset);
        self.waiting = place;
        self.done = place.is_none();
        let between = self.between(from, to)?;
        let damage = |offset, why: &str| Ok(Some(Found::Damage { offset, bytes: to.saturating_sub(offset), why: why.to_owned() }));
        match (between, self.done) {
            (Between::Records, false) | (Between::End, true) => {}
            (Between::Records, true) => return damage(to, "the file ends without having been closed"),
            (_, true) => return damage(from, "the file ends in the middle of a record"),
            (_, false) => return damage(from, "no chunk can be recognised there"),
        }
        match self.waiting.take() {
            Some(place) => self.open(place).map(Some),
            None => Ok(None),
        }
    }

    fn open(&mut self, place: Place) -> io::Result<Found> {
        if place.end() > self.len {
            self.at = self.len;
            self.done = true;
            let why = "the file ends in the middle of a chunk".to_owned();
            return Ok(Found::Damage { offset: place.offset, bytes: self.len - place.offset, why });
        }
        let mut data = vec![0; place.packed_bytes as usize];
        self.file.read_exact_at(&mut data, place.data_at())?;
        match unpacked(place, &data) {
            Ok(records) => {
                self.at = place.end();
                Ok(Found::Chunk(records))
            }
            Err(why) => {
                // Its size may be what is wrong, so that others could lie inside.
                let next = self.find(place.offset + 1)?;
                self.at = next.map_or(self.len, |p| p.offset).min(place.end());
                Ok(Found::Damage { offset: place.offset, bytes: self.at - place.offset, why })
            }
        }
    }

    /// The first chunk header at or after `from`.
    fn find(&self, from: u64) -> io::Result<Option<Place>> {
        let mut block = Vec::new();
        let mut start = from;
        while start < self.len {
            let want = (self.len - start).min(BLOCK_BYTES as u64) as usize;
            block.resize(want, 0);
            self.file.read_exact_at(&mut block, start)?;
            for mark in memchr::memmem::find_iter(&block, MARK) {
                let head = (start + mark as u64).checked_sub(MARK_AT as u64).filter(|h| *h >= from);
                if let Some(place) = head.map(|h| self.place(h)).transpose()?.flatten() {
                    return Ok(Some(place));
                }
            }
            if want < BLOCK_BYTES {
                break;
            }
            // A mark may lie across the border.
            start += (want - MARK.len()) as u64;
        }
        Ok(None)
    }

    /// The chunk header at `offset`, if there is one.
    fn place(&self, offset: u64) -> io::Result<Option<Place>> {
        let mut bytes = [0; RECORD_HEAD + CHUNK_HEAD];
        if offset + bytes.len() as u64 > self.len {
            return Ok(None);
        }
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(header(offset, &bytes))
    }

    /// What fills `from..to`, where no chunk begins.
    fn between(&self, from: u64, to: u64) -> io::Result<Between> {
        if to < from || to - from > MAX_RECORD_BYTES {
            return Ok(Between::Unknown);
        }
        let mut bytes = vec![0; (to - from) as usize];
        self.file.read_exact_at(&mut bytes, from)?;
        let (records, whole) = match bytes.strip_suffix(&MAGIC) {
            Some(records) => (records, Between::End),
            None => (&bytes[..], Between::Records),
        };
        Ok(if each_record(records, |_, _| {}) { whole } else { Between::Unknown })
    }

    /// Calls `each` with the records before the first chunk, as far as they are whole.
    pub fn opening(&self, each: impl FnMut(u8, &[u8])) -> io::Result<()> {
        let end = self.find(self.at)?.map_or(self.len, |p| p.offset);
        let mut bytes = vec![0; end.saturating_sub(self.at).min(MAX_RECORD_BYTES) as usize];
        self.file.read_exact_at(&mut bytes, self.at)?;
        each_record(&bytes, each);
        Ok(())
    }
}

fn header(offset: u64, bytes: &[u8]) -> Option<Place> {
    let mut body = Body(bytes);
    let (opcode, len) = (body.take(1)?, body.u64()?);
    let (_start, _end) = (body.u64()?, body.u64()?);
    let (unpacked_bytes, crc) = (body.u64()?, body.u32()?);
    let compression = body.sized()?;
    let packed_bytes = body.u64()?;
    let agrees = opcode == [op::CHUNK]
        && compression == COMPRESSION.as_bytes()
        && packed_bytes.max(unpacked_bytes) <= MAX_CHUNK_BYTES
        && len == CHUNK_HEAD as u64 + packed_bytes;
    agrees.then_some(Place { offset, unpacked_bytes, crc, packed_bytes })
}

/// The records of a chunk, if all is as its header says.
fn unpacked(place: Place, data: &[u8]) -> Result<Vec<u8>, String> {
    let mut records = Vec::new();
    let unpacking = lz4_flex::frame::FrameDecoder::new(data).take(place.unpacked_bytes + 1).read_to_end(&mut records);
    unpacking.map_err(|e| format!("the chunk cannot be unpacked: {e}"))?;
    if records.len() as u64 != place.unpacked_bytes {
        return Err(format!("the chunk has {} bytes, its header says {}", records.len(), place.unpacked_bytes));
    }
    let crc = crc32fast::hash(&records);
    if crc != place.crc {
        return Err(format!("the CRC of the chunk is {crc:08x}, its header says {:08x}", place.crc));
    }
    Ok(records)
}
