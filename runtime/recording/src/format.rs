//! Records of MCAP version 0, as far as recordings need them: <https://mcap.dev/spec>. Numbers are little-endian, texts and lists carry
//! their length in bytes before them.

use std::collections::BTreeMap;

/// First and last bytes of a file.
pub(crate) const MAGIC: [u8; 8] = *b"\x89MCAP0\r\n";
/// Bytes of a record before its body: opcode and length.
pub(crate) const RECORD_HEAD: usize = 9;

/// Kinds of records.
pub(crate) mod op {
    pub const HEADER: u8 = 0x01;
    pub const FOOTER: u8 = 0x02;
    pub const SCHEMA: u8 = 0x03;
    pub const CHANNEL: u8 = 0x04;
    pub const MESSAGE: u8 = 0x05;
    pub const CHUNK: u8 = 0x06;
    pub const MESSAGE_INDEX: u8 = 0x07;
    pub const CHUNK_INDEX: u8 = 0x08;
    pub const STATISTICS: u8 = 0x0b;
    pub const METADATA: u8 = 0x0c;
    pub const METADATA_INDEX: u8 = 0x0d;
    pub const DATA_END: u8 = 0x0f;
}

/// A record that is being put together.
#[derive(Debug)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    pub fn new(opcode: u8) -> Self {
        let mut bytes = vec![0; RECORD_HEAD];
        bytes[0] = opcode;
        Self(bytes)
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// Bytes with their length, which is below 4 GiB for all that is written here.
    pub fn sized(self, value: &[u8]) -> Self {
        self.u32(value.len() as u32).bytes(value)
    }

    pub fn text(self, value: &str) -> Self {
        self.sized(value.as_bytes())
    }

    /// A map of texts.
    pub fn texts(self, map: &BTreeMap<String, String>) -> Self {
        let pairs = map.iter().fold(Self(Vec::new()), |list, (name, text)| list.text(name).text(text));
        self.sized(&pairs.0)
    }

    /// A list or map of numbers, each given as bytes.
    pub fn list<'a>(self, items: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let all: Vec<u8> = items.into_iter().flatten().copied().collect();
        self.sized(&all)
    }

    /// The record with its length.
    pub fn done(mut self) -> Vec<u8> {
        let len = (self.0.len() - RECORD_HEAD) as u64;
        self.0[1..RECORD_HEAD].copy_from_slice(&len.to_le_bytes());
        self.0
    }
}

/// Takes a record's body apart; `None` where it is too short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a>(pub &'a [u8]);

impl<'a> Body<'a> {
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.sized()?.to_vec()).ok()
    }

    pub fn texts(&mut self) -> Option<BTreeMap<String, String>> {
        let mut pairs = Body(self.sized()?);
        let mut map = BTreeMap::new();
        while !pairs.0.is_empty() {
            map.insert(pairs.text()?, pairs.text()?);
        }
        Some(map)
    }
}

/// Calls `each` with opcode and body of every record; whether records of known kinds fill `bytes`.
pub(crate) fn each_record(mut bytes: &[u8], mut each: impl FnMut(u8, &[u8])) -> bool {
    while let Some((head, rest)) = bytes.split_at_checked(RECORD_HEAD) {
        let mut head = Body(head);
        let (Some(&[opcode]), Some(len)) = (head.take(1), head.u64()) else { return false };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let whole = rest.split_at_checked(len).filter(|_| (op::HEADER..=op::DATA_END).contains(&opcode));
        let Some((body, after)) = whole else { return false };
        each(opcode, body);
        bytes = after;
    }
    bytes.is_empty()
}
