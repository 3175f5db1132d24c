//! The last sequence number that the far end has: two slots written in turn, so that a torn write leaves the other.

use crate::SpoolError;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SLOT_BYTES: usize = 12;

pub(crate) struct Cursor {
    path: PathBuf,
    file: File,
    acked: u64,
    next_slot: u64,
}

impl Cursor {
    /// Opens or makes the file. A file that says nothing counts as 0: everything that is there comes again.
    pub fn open(folder: &Path) -> Result<Self, SpoolError> {
        let path = folder.join("acked");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(SpoolError::disk(&path, "cannot be opened"))?;
        let mut bytes = [0_u8; 2 * SLOT_BYTES];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(SpoolError::disk(&path, "cannot be read")(e)),
            }
        }
        let slots = [slot(&bytes[..SLOT_BYTES]), slot(&bytes[SLOT_BYTES..])];
        let acked = slots.iter().flatten().copied().max().unwrap_or(0);
        // The older or damaged slot is written next.
        let next_slot = u64::from(slots[0] == Some(acked));
        Ok(Self { path, file, acked, next_slot })
    }

    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Not synced: after a power cut an older number counts, and what is after it is sent again.
    pub fn set(&mut self, acked: u64) -> Result<(), SpoolError> {
        self.acked = acked;
        let mut bytes = [0_u8; SLOT_BYTES];
        bytes[..8].copy_from_slice(&acked.to_le_bytes());
        bytes[8..].copy_from_slice(&crc32fast::hash(&acked.to_le_bytes()).to_le_bytes());
        let at = self.next_slot * SLOT_BYTES as u64;
        self.file.write_all_at(&bytes, at).map_err(SpoolError::disk(&self.path, "cannot be written"))?;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

fn slot(bytes: &[u8]) -> Option<u64> {
    let (seq, crc) = bytes.split_first_chunk::<8>()?;
    (crc == crc32fast::hash(seq).to_le_bytes()).then(|| u64::from_le_bytes(*seq))
}
