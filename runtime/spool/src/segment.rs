//! One file of the queue. Only the newest is written, and never one that an earlier process left.

use crate::SpoolError;
use crate::record::{self, Entry, Found, HEADER_BYTES, MAX_ENTRY_BYTES};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const EXTENSION: &str = "segment";
/// Bytes looked at in one go: the largest record fits, wherever in the first half it starts.
const WINDOW_BYTES: u64 = 2 * (MAX_ENTRY_BYTES + HEADER_BYTES) as u64;

pub(crate) struct Segment {
    pub path: PathBuf,
    pub bytes: u64,
    /// 0 if it holds no record.
    pub last_seq: u64,
    /// Open for writing.
    file: Option<File>,
}

/// What a look into a file found.
#[derive(Default)]
pub(crate) struct Survey {
    pub last_seq: u64,
    /// Records after the sequence number asked for.
    pub waiting: u64,
    pub damaged_bytes: u64,
}

impl Segment {
    /// Makes a file for records from `first_seq` on; it is in the folder's list after a power cut, too.
    pub fn create(folder: &Path, first_seq: u64) -> Result<Self, SpoolError> {
        let path = folder.join(format!("{first_seq:020}.{EXTENSION}"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(SpoolError::disk(&path, "cannot be made"))?;
        if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
            let _ = std::fs::remove_file(&path);
            return Err(SpoolError::disk(folder, "folder cannot be synced")(error));
        }
        Ok(Self { path, bytes: 0, last_seq: 0, file: Some(file) })
    }

    /// Files of an earlier process with their sequence numbers, oldest first.
    pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, SpoolError> {
        let fault = || SpoolError::disk(folder, "folder cannot be read");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fault())? {
            let path = entry.map_err(fault())?.path();
            let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            if let (Some(first), Some(EXTENSION)) = (first, path.extension().and_then(|e| e.to_str())) {
                found.push((first, path));
            }
        }
        found.sort();
        Ok(found)
    }

    /// A file of an earlier process, read through once.
    pub fn open(path: PathBuf, acked: u64) -> Result<(Self, Survey), SpoolError> {
        let bytes = std::fs::metadata(&path).map_err(SpoolError::disk(&path, "cannot be read"))?.len();
        let mut segment = Self { path, bytes, last_seq: 0, file: None };
        let mut survey = Survey::default();
        let mut offset = 0;
        let mut end_of_last = 0;
        while let Some(mut window) = segment.window(offset)? {
            while let Some((found, start, end)) = window.next() {
                survey.damaged_bytes += start - end_of_last;
                end_of_last = end;
                survey.waiting += u64::from(found.seq > acked.max(survey.last_seq));
                survey.last_seq = survey.last_seq.max(found.seq);
            }
            offset = window.after();
        }
        survey.damaged_bytes += bytes - end_of_last;
        segment.last_seq = survey.last_seq;
        Ok((segment, survey))
    }

    /// Adds records and waits for the disk. On an error nothing of them counts.
    pub fn append(&mut self, records: &[u8], last_seq: u64) -> Result<(), SpoolError> {
        let fault = SpoolError::disk(&self.path, "cannot be written");
        let Some(file) = &mut self.file else { return Err(fault(std::io::ErrorKind::ReadOnlyFilesystem.into())) };
        if let Err(error) = file.write_all(records).and_then(|()| file.sync_data()) {
            // Half a record must not stay in front of later ones; if that fails too, readers skip it by its checksum.
            let _ = file.set_len(self.bytes);
            return Err(fault(error));
        }
        self.bytes += records.len() as u64;
        self.last_seq = last_seq;
        Ok(())
    }

    pub fn is_writable(&self) -> bool {
        self.file.is_some()
    }

    /// Nothing is added any more.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Bytes from `offset` on, `None` at the end.
    pub fn window(&self, offset: u64) -> Result<Option<Window>, SpoolError> {
        if offset >= self.bytes {
            return Ok(None);
        }
        let fault = || SpoolError::disk(&self.path, "cannot be read");
        let len = (self.bytes - offset).min(WINDOW_BYTES);
        let mut bytes = vec![0; len as usize];
        let file = File::open(&self.path).map_err(fault())?;
        file.read_exact_at(&mut bytes, offset).map_err(fault())?;
        Ok(Some(Window { offset, at: 0, is_last: offset + len == self.bytes, bytes }))
    }
}

/// A part of a segment in memory.
pub(crate) struct Window {
    offset: u64,
    at: usize,
    is_last: bool,
    bytes: Vec<u8>,
}

impl Window {
    /// The next record with its start and end in the file.
    pub fn next(&mut self) -> Option<(RecordOf, u64, u64)> {
        // A record that starts in the second half may not be whole here; the next window begins before it.
        if !self.is_last && self.at >= self.bytes.len() / 2 {
            return None;
        }
        let Found { seq, entry, start, end } = record::find(&self.bytes, self.at)?;
        if !self.is_last && start >= self.bytes.len() / 2 {
            return None;
        }
        self.at = end;
        Some((RecordOf { seq, entry }, self.offset + start as u64, self.offset + end as u64))
    }

    /// Where the next window starts.
    pub fn after(&self) -> u64 {
        let looked_at = if self.is_last { self.bytes.len() } else { self.at.max(self.bytes.len() / 2) };
        self.offset + looked_at as u64
    }
}

pub(crate) struct RecordOf {
    pub seq: u64,
    pub entry: Entry,
}
