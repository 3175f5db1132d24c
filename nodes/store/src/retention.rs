//! How long readings are kept, and deletion that leaves nothing behind.

use gantry_records::wall_clock;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest time between two looks.
const AT_MOST: Duration = Duration::from_secs(3600);
/// Shortest.
const AT_LEAST: Duration = Duration::from_millis(500);

/// When to look, and what is too old.
#[derive(Debug)]
pub struct Retention {
    kept: Duration,
    looked: Option<Instant>,
}

impl Retention {
    /// Keeps readings for so long.
    #[must_use]
    pub fn new(days: f64) -> Self {
        Self { kept: Duration::try_from_secs_f64(days * 86_400.0).unwrap_or(Duration::MAX), looked: None }
    }

    /// Keeps them for so long from now on.
    pub fn change(&mut self, days: f64) {
        *self = Self::new(days);
    }

    /// Before when readings are too old, if it is time to look: at the start, then every hour, or ten times within the time that they are kept.
    pub fn due(&mut self) -> Option<SystemTime> {
        let every = (self.kept / 10).clamp(AT_LEAST, AT_MOST);
        if self.looked.is_some_and(|at| at.elapsed() < every) {
            return None;
        }
        self.looked = Some(Instant::now());
        // A clock that stands before 1970 plus that time says nothing about what is old.
        SystemTime::now().checked_sub(self.kept).filter(|before| *before > UNIX_EPOCH)
    }
}

/// Now, as RFC 3339 in UTC with ms: texts of that form sort as the times do.
#[must_use]
pub fn now() -> String {
    text(SystemTime::now())
}

/// A time as RFC 3339.
#[must_use]
pub fn text(time: SystemTime) -> String {
    let ns = time.duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0);
    wall_clock(ns).unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned())
}

/// Writes zeros over the first `len` bytes. A file system that copies on write, or a flash disk, may keep the blocks of before.
pub(crate) fn overwrite(file: &mut File, len: u64) -> std::io::Result<()> {
    const ZEROS: [u8; 8192] = [0; 8192];
    file.seek(SeekFrom::Start(0))?;
    let mut left = len;
    while left > 0 {
        let n = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..n as usize])?;
        left -= n;
    }
    file.sync_data()
}

/// Overwrites and removes the files of `folder` with that extension that were written before `before`; how many.
///
/// # Errors
/// The first file that cannot be removed; others are left for the next time.
pub fn purge_files(folder: &Path, extension: &str, before: SystemTime) -> std::io::Result<u64> {
    let mut purged = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != extension) {
            continue;
        }
        let meta = std::fs::symlink_metadata(&path)?;
        if !meta.is_file() || meta.modified()? >= before {
            continue;
        }
        overwrite(&mut OpenOptions::new().write(true).open(&path)?, meta.len())?;
        std::fs::remove_file(&path)?;
        purged += 1;
    }
    Ok(purged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_at_once_and_then_now_and_then() {
        let mut retention = Retention::new(1.0);
        let before = retention.due().unwrap();
        let age = SystemTime::now().duration_since(before).unwrap();
        assert!(age >= Duration::from_secs(86_400) && age < Duration::from_secs(86_410));
        assert_eq!(retention.due(), None);
        retention.change(100_000.0);
        assert_eq!(retention.due(), None, "before 1970");
        assert!(text(before) < now() && text(UNIX_EPOCH).starts_with("1970"));
    }

    #[test]
    fn old_pictures_go_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["old.jpg", "new.jpg", "old.txt"] {
            std::fs::write(path(name), "picture").unwrap();
        }
        let day = Duration::from_secs(86_400);
        for name in ["old.jpg", "old.txt"] {
            File::options().write(true).open(path(name)).unwrap().set_modified(SystemTime::now() - 2 * day).unwrap();
        }
        let mut still_open = File::open(path("old.jpg")).unwrap();
        assert_eq!(purge_files(dir.path(), "jpg", SystemTime::now() - day).unwrap(), 1);
        assert!(!path("old.jpg").exists() && path("new.jpg").exists() && path("old.txt").exists());
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut still_open, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 7]);
    }
}
