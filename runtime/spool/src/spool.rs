use crate::SpoolError;
use crate::cursor::Cursor;
use crate::record::{Entry, MAX_ENTRY_BYTES};
use crate::segment::Segment;
use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What happens to entries that have no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest segment goes, with what was not sent of it: the newest entries matter most.
    #[default]
    DropOldest,
    /// [`Spool::append`] refuses: what is there was promised first.
    RefuseNewest,
}

/// Where a spool lies and how large it may become.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Its folder, used by nothing else.
    pub dir: PathBuf,
    /// Bytes on disk, at most.
    pub max_bytes: u64,
    /// What happens above that.
    pub when_full: WhenFull,
    /// Bytes after which a new segment begins: the unit in which space is given back.
    pub segment_bytes: u64,
}

impl SpoolConfig {
    /// Drops the oldest of eight (or more) segments when it is full.
    #[must_use]
    pub fn new(dir: &Path, max_bytes: u64) -> Self {
        let segment_bytes = (max_bytes / 8).clamp(1, 8 << 20);
        Self { dir: dir.to_owned(), max_bytes, when_full: WhenFull::default(), segment_bytes }
    }
}

/// What a spool holds, and what became of entries that it could not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Entries that were not acked.
    pub waiting: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Entries that went unsent because newer ones needed their room ([`WhenFull::DropOldest`]).
    pub dropped: u64,
    /// Entries that were refused ([`WhenFull::RefuseNewest`]).
    pub refused: u64,
    /// Bytes that were no whole record when the spool was opened: a torn end, or a damaged disk.
    pub damaged_bytes: u64,
}

/// A queue on disk; see the [crate's page](crate).
pub struct Spool {
    config: SpoolConfig,
    /// Oldest first; the last one may be open for writing.
    segments: VecDeque<Segment>,
    cursor: Cursor,
    next_seq: u64,
    /// Where the first entry that was not acked is looked for: in the oldest segment.
    position: u64,
    /// Entries that were peeked: sequence number, and where the next one starts in its segment.
    peeked: VecDeque<(u64, PathBuf, u64)>,
    stats: SpoolStats,
    /// Keeps other processes out.
    _lock: File,
}

impl Spool {
    /// Opens the spool, with everything that an earlier process left in it.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if another process has it, [`SpoolError::Disk`] if the folder cannot be used.
    pub fn open(config: SpoolConfig) -> Result<Self, SpoolError> {
        let dir = &config.dir;
        // What waits is personal data.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(SpoolError::disk(dir, "folder cannot be made"))?;
        let lock_path = dir.join("lock");
        let lock = File::create(&lock_path).map_err(SpoolError::disk(&lock_path, "cannot be made"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse { path: dir.clone() }),
            Err(TryLockError::Error(e)) => return Err(SpoolError::disk(&lock_path, "cannot be locked")(e)),
        }
        let cursor = Cursor::open(dir)?;
        let mut spool = Self {
            segments: VecDeque::new(),
            next_seq: cursor.acked() + 1,
            cursor,
            position: 0,
            peeked: VecDeque::new(),
            stats: SpoolStats::default(),
            _lock: lock,
            config,
        };
        for (first, path) in Segment::list(&spool.config.dir)? {
            let (segment, survey) = Segment::open(path, spool.cursor.acked())?;
            spool.stats.waiting += survey.waiting;
            spool.stats.bytes += segment.bytes;
            spool.stats.damaged_bytes += survey.damaged_bytes;
            spool.next_seq = spool.next_seq.max(survey.last_seq + 1).max(first + 1);
            spool.segments.push_back(segment);
        }
        spool.remove_acked()?;
        Ok(spool)
    }

    /// Appends entries and waits until the disk has them: all of them, or on an error none that counts.
    ///
    /// # Errors
    /// [`SpoolError::Disk`] (a full disk), [`SpoolError::Full`], [`SpoolError::TooLarge`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), SpoolError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut records = Vec::new();
        let first_seq = self.next_seq;
        for (entry, seq) in entries.iter().zip(first_seq..) {
            let bytes = entry.payload_bytes();
            if bytes > MAX_ENTRY_BYTES {
                return Err(SpoolError::TooLarge { bytes });
            }
            entry.encode(seq, &mut records);
        }
        self.make_room(records.len() as u64, entries.len() as u64)?;
        // A number is used once, whatever becomes of this attempt: what of it reached the disk must not look like what comes after it.
        self.next_seq += entries.len() as u64;
        let last_seq = self.next_seq - 1;
        match self.segments.back_mut() {
            Some(segment) if segment.is_writable() && segment.bytes < self.config.segment_bytes => {}
            last => {
                if let Some(segment) = last {
                    segment.close();
                }
                self.segments.push_back(Segment::create(&self.config.dir, first_seq)?);
            }
        }
        let Some(segment) = self.segments.back_mut() else { return Ok(()) };
        if let Err(error) = segment.append(&records, last_seq) {
            segment.close();
            // A disk that is full for long must not fill up with empty files, too.
            if segment.bytes == 0 && std::fs::remove_file(&segment.path).is_ok() {
                self.segments.pop_back();
            }
            return Err(error);
        }
        self.stats.bytes += records.len() as u64;
        self.stats.waiting += entries.len() as u64;
        Ok(())
    }

    /// The first entries that were not acked, at most `most`, oldest first, with their sequence numbers. They stay.
    ///
    /// # Errors
    /// [`SpoolError::Disk`].
    pub fn peek(&mut self, most: usize) -> Result<Vec<(u64, Entry)>, SpoolError> {
        self.peeked.clear();
        let mut entries = Vec::new();
        let mut last_seq = self.cursor.acked();
        for (i, segment) in self.segments.iter().enumerate() {
            let mut offset = if i == 0 { self.position } else { 0 };
            while let Some(mut window) = segment.window(offset)? {
                while let Some((record, _, end)) = window.next() {
                    if record.seq <= last_seq {
                        continue;
                    }
                    last_seq = record.seq;
                    self.peeked.push_back((record.seq, segment.path.clone(), end));
                    entries.push((record.seq, record.entry));
                    if entries.len() >= most {
                        return Ok(entries);
                    }
                }
                offset = window.after();
            }
        }
        Ok(entries)
    }

    /// The far end has everything up to `seq`, a number that [`Spool::peek`] gave: it does not come again.
    ///
    /// # Errors
    /// [`SpoolError::Disk`]: it may then come again after a restart.
    pub fn ack(&mut self, seq: u64) -> Result<(), SpoolError> {
        if seq <= self.cursor.acked() {
            return Ok(());
        }
        while let Some((at, path, end)) = self.peeked.front().filter(|(at, ..)| *at <= seq) {
            self.stats.waiting = self.stats.waiting.saturating_sub(u64::from(*at > self.cursor.acked()));
            if self.segments.front().is_some_and(|s| s.path == *path) {
                self.position = *end;
            }
            self.peeked.pop_front();
        }
        self.cursor.set(seq)?;
        self.remove_acked()
    }

    /// Takes acked entries off the disk when nothing waits. To be called now and then.
    ///
    /// # Errors
    /// [`SpoolError::Disk`].
    pub fn tidy(&mut self) -> Result<(), SpoolError> {
        if self.stats.waiting > 0 || self.segments.is_empty() {
            return Ok(());
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.close();
        }
        self.remove_acked()
    }

    /// What it holds.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        self.stats
    }

    /// Removes segments of which everything was acked, but the one that is written.
    fn remove_acked(&mut self) -> Result<(), SpoolError> {
        while self.segments.front().is_some_and(|s| !s.is_writable() && s.last_seq <= self.cursor.acked()) {
            self.remove_oldest()?;
        }
        Ok(())
    }

    fn remove_oldest(&mut self) -> Result<(), SpoolError> {
        let Some(segment) = self.segments.front() else { return Ok(()) };
        std::fs::remove_file(&segment.path).map_err(SpoolError::disk(&segment.path, "cannot be removed"))?;
        self.stats.bytes = self.stats.bytes.saturating_sub(segment.bytes);
        self.segments.pop_front();
        self.position = 0;
        Ok(())
    }

    fn make_room(&mut self, bytes: u64, entries: u64) -> Result<(), SpoolError> {
        if self.stats.bytes + bytes <= self.config.max_bytes {
            return Ok(());
        }
        // What was acked goes first.
        if self.stats.waiting == 0 {
            self.tidy()?;
        }
        while self.stats.bytes + bytes > self.config.max_bytes {
            let Some(oldest) = self.segments.front_mut() else { break };
            if self.config.when_full == WhenFull::RefuseNewest {
                self.stats.refused += entries;
                return Err(SpoolError::Full { path: self.config.dir.clone(), bytes: self.stats.bytes, max_bytes: self.config.max_bytes });
            }
            oldest.close();
            let (path, last_seq, acked) = (oldest.path.clone(), oldest.last_seq, self.cursor.acked());
            let (_, survey) = Segment::open(path, acked)?;
            self.stats.dropped += survey.waiting;
            self.stats.waiting = self.stats.waiting.saturating_sub(survey.waiting);
            if last_seq > acked {
                self.cursor.set(last_seq)?;
            }
            self.remove_oldest()?;
        }
        Ok(())
    }
}
