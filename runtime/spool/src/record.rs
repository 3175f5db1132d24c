//! One entry as bytes, and the way back out of bytes that may be damaged.
//!
//! ```text
//!  "GSP1"  length u32  seq u64  crc32 u32  payload          little-endian; the checksum covers length, seq and payload
//!  payload: key, kind, camera, each a u16 length and UTF-8; then the body
//! ```

use memchr::memmem;

/// Largest encoded payload of an entry: 1 MiB.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;

const MAGIC: &[u8; 4] = b"GSP1";
pub(crate) const HEADER_BYTES: usize = 20;

/// What waits for the far end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The same for everything that says the same thing, so that a receiver can tell what it has already.
    pub key: String,
    /// What it is (`reading`).
    pub kind: String,
    /// Camera.
    pub camera: String,
    /// What the far end gets.
    pub body: Vec<u8>,
}

impl Entry {
    /// Bytes of its payload; texts longer than a u16 can say count as too large.
    pub(crate) fn payload_bytes(&self) -> usize {
        let texts = [&self.key, &self.kind, &self.camera];
        if texts.iter().any(|t| t.len() > usize::from(u16::MAX)) {
            return usize::MAX;
        }
        texts.iter().map(|t| 2 + t.len()).sum::<usize>() + self.body.len()
    }

    /// Appends the record to `out`. The entry fits: [`Entry::payload_bytes`] was asked.
    pub(crate) fn encode(&self, seq: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(self.payload_bytes() as u32).to_le_bytes());
        out.extend_from_slice(&seq.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for text in [&self.key, &self.kind, &self.camera] {
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&self.body);
        let crc = checksum(&out[start..]);
        out[start + 16..start + HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let mut text = || {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (bytes, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            rest = after;
            String::from_utf8(bytes.to_vec()).ok()
        };
        let (key, kind, camera) = (text()?, text()?, text()?);
        Some(Self { key, kind, camera, body: rest.to_vec() })
    }
}

/// Of a whole record; its own four bytes are left out.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..16]);
    hasher.update(&record[HEADER_BYTES..]);
    hasher.finalize()
}

/// A record that was found.
pub(crate) struct Found {
    pub seq: u64,
    pub entry: Entry,
    /// Where it starts in the bytes.
    pub start: usize,
    /// Where it ends in the bytes.
    pub end: usize,
}

/// The first whole record of `bytes` at or after `from`; what lies before it is damaged.
pub(crate) fn find(bytes: &[u8], from: usize) -> Option<Found> {
    memmem::find_iter(bytes.get(from..)?, MAGIC).find_map(|at| at_offset(bytes, from + at))
}

fn at_offset(bytes: &[u8], start: usize) -> Option<Found> {
    let header = bytes.get(start..start + HEADER_BYTES)?;
    let len = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
    if len > MAX_ENTRY_BYTES {
        return None;
    }
    let end = start + HEADER_BYTES + len;
    let record = bytes.get(start..end)?;
    let crc = u32::from_le_bytes(header[16..20].try_into().ok()?);
    if checksum(record) != crc {
        return None;
    }
    let seq = u64::from_le_bytes(header[8..16].try_into().ok()?);
    Some(Found { seq, entry: Entry::decode(&record[HEADER_BYTES..])?, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_and_one_that_is_too_long_is_told() {
        let entry = Entry { key: "r/gate/1".into(), kind: "reading".into(), camera: "gäte".into(), body: vec![0, 1, 255] };
        let mut bytes = b"GSP1 noise".to_vec();
        entry.encode(7, &mut bytes);
        let found = find(&bytes, 0).unwrap();
        assert_eq!((found.seq, found.start, found.end, found.entry), (7, 10, bytes.len(), entry));
        assert!(find(&bytes, 11).is_none());
        assert_eq!(Entry { key: "k".repeat(70_000), ..Entry::default() }.payload_bytes(), usize::MAX);
    }
}
