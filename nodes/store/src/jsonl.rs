//! JSON Lines: one whole line per reading.

use gantry_records::Record;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a line could not be written.
#[derive(Debug, Error)]
#[error("`{}`: {what}: {source}", path.display())]
pub struct JsonlError {
    /// The file.
    pub path: PathBuf,
    /// What was tried.
    pub what: &'static str,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// What happens to a file that is there already, and in which order the lines end up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The file starts empty. Lines are written as they come, and [`Jsonl::finish`] puts them in the order of camera, time
    /// and track, so that the file does not depend on which camera was faster.
    Sorted,
    /// Lines are added to the file in the order in which they come, for ever.
    Arrival,
}

/// The file, open for writing.
#[derive(Debug)]
pub struct Jsonl {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    len: u64,
    order: Order,
    is_file: bool,
    fsync: bool,
    /// Half a line is behind the whole ones, and could not be cut off.
    is_torn: bool,
    /// Place of each line of this run.
    lines: Vec<Line>,
}

/// What lines are sorted by, and where each is. Times are those that are written (ms), so that the order can be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    camera: String,
    first_seen_ms: i64,
    track_id: u64,
    offset: u64,
    len: usize,
}

impl Jsonl {
    /// Opens or makes the file and the folders above it. An incomplete last line, left by a crash, is cut off.
    ///
    /// # Errors
    /// [`JsonlError`] if the file cannot be made.
    pub fn open(path: &Path, order: Order, fsync: bool) -> Result<Self, JsonlError> {
        let fault = |what| move |source| JsonlError { path: path.to_owned(), what, source };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(fault("folder cannot be made"))?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(fault("cannot be opened"))?;
        let is_file = file.metadata().map_err(fault("cannot be opened"))?.is_file();
        let mut len = 0;
        if is_file {
            if order == Order::Arrival {
                len = whole_lines(&mut file).map_err(fault("cannot be read"))?;
            }
            file.set_len(len).map_err(fault("cannot be written"))?;
            file.seek(SeekFrom::Start(len)).map_err(fault("cannot be written"))?;
        }
        // A pipe or a terminal keeps the order of arrival.
        let order = if is_file { order } else { Order::Arrival };
        Ok(Self { path: path.to_owned(), file, len, order, is_file, fsync, is_torn: false, lines: Vec::new() })
    }

    /// Whether it lies on a disk; a pipe or a terminal does not.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// Writes one line, whole or not at all.
    ///
    /// # Errors
    /// [`JsonlError`], for example on a full disk; what was written before is intact.
    pub fn write(&mut self, record: &Record) -> Result<(), JsonlError> {
        let offset = self.len;
        self.append(record)?;
        if self.order == Order::Sorted {
            let first_seen_ms = (record.first_seen_s * 1e3).round() as i64;
            self.lines.push(Line {
                camera: record.camera.clone(),
                first_seen_ms,
                track_id: record.track_id,
                offset,
                len: (self.len - offset) as usize,
            });
        }
        Ok(())
    }

    /// Writes a line of another kind at the end.
    ///
    /// # Errors
    /// As [`Jsonl::write`].
    pub fn append(&mut self, record: &impl serde::Serialize) -> Result<(), JsonlError> {
        let mut line = serde_json::to_vec(record).map_err(|e| self.fault("record cannot be written as JSON")(e.into()))?;
        line.push(b'\n');
        if self.is_torn {
            self.cut().map_err(self.fault("half a line cannot be cut off"))?;
            self.is_torn = false;
        }
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.flush())
            .and_then(|()| if self.fsync { self.file.sync_data() } else { Ok(()) });
        if let Err(e) = written {
            // Half a line must not stay. Shortening works on a full disk too; one that takes nothing at all is asked again before the next line.
            self.is_torn = self.cut().is_err() && self.file.metadata().is_ok_and(|m| m.is_file());
            return Err(self.fault("line cannot be written")(e));
        }
        self.len += line.len() as u64;
        Ok(())
    }

    /// Takes back what is behind the whole lines.
    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.seek(SeekFrom::Start(self.len)).map(drop)
    }

    /// Sorts the lines, if that was asked for and they are not sorted yet: a second file takes the place of the first.
    ///
    /// # Errors
    /// [`JsonlError`]; all lines are then still there, in the order in which they came.
    pub fn finish(&mut self) -> Result<(), JsonlError> {
        if self.order == Order::Arrival || self.lines.is_sorted() {
            return Ok(());
        }
        let mut all = Vec::with_capacity(self.len as usize);
        self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_to_end(&mut all)).map_err(self.fault("cannot be read back"))?;
        let mut lines = self.lines.clone();
        lines.sort();
        let mut sorted = Vec::with_capacity(all.len());
        let mut offset = 0;
        for line in &mut lines {
            let from = line.offset as usize;
            let bytes = all
                .get(from..from + line.len)
                .ok_or_else(|| self.fault("was shortened by somebody else")(std::io::ErrorKind::UnexpectedEof.into()))?;
            sorted.extend_from_slice(bytes);
            line.offset = offset;
            offset += line.len as u64;
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".sorting");
        let beside = self.path.with_file_name(name);
        let replaced = File::create(&beside)
            .and_then(|mut f| f.write_all(&sorted).and_then(|()| f.sync_data()))
            .and_then(|()| std::fs::rename(&beside, &self.path));
        if let Err(e) = replaced {
            let _ = std::fs::remove_file(&beside);
            let _ = self.file.seek(SeekFrom::Start(self.len));
            return Err(self.fault("cannot be sorted")(e));
        }
        self.file = OpenOptions::new().read(true).append(true).open(&self.path).map_err(self.fault("cannot be opened"))?;
        self.lines = lines;
        Ok(())
    }

    /// Takes lines of readings that were captured before `before` (RFC 3339) out of the file, and overwrites the file of before; how many.
    /// Only where lines are added for ever; a line without a time of capture stays.
    ///
    /// # Errors
    /// [`JsonlError`]; the lines are then still there.
    pub fn purge(&mut self, before: &str) -> Result<u64, JsonlError> {
        if self.order != Order::Arrival || self.len == 0 {
            return Ok(0);
        }
        let mut all = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| (&self.file).take(self.len).read_to_end(&mut all));
        read.map_err(self.fault("cannot be read back"))?;
        let mut kept = Vec::with_capacity(all.len());
        let mut purged = 0;
        for line in all.split_inclusive(|b| *b == b'\n') {
            let captured = serde_json::from_slice::<Captured>(line).ok().and_then(|line| line.captured_at);
            if captured.is_some_and(|at| *at < *before) {
                purged += 1;
            } else {
                kept.extend_from_slice(line);
            }
        }
        if purged == 0 {
            self.file.seek(SeekFrom::Start(self.len)).map_err(self.fault("cannot be written"))?;
            return Ok(0);
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".purging");
        let beside = self.path.with_file_name(name);
        let replaced = File::create(&beside)
            .and_then(|mut f| f.write_all(&kept).and_then(|()| f.sync_all()))
            .and_then(|()| std::fs::rename(&beside, &self.path))
            .and_then(|()| OpenOptions::new().read(true).append(true).open(&self.path));
        let file = match replaced {
            Ok(file) => file,
            Err(e) => {
                let _ = std::fs::remove_file(&beside);
                let _ = self.file.seek(SeekFrom::Start(self.len));
                return Err(self.fault("lines cannot be taken out")(e));
            }
        };
        let mut old = std::mem::replace(&mut self.file, file);
        self.len = kept.len() as u64;
        crate::retention::overwrite(&mut old, all.len() as u64).map_err(self.fault("deleted lines cannot be overwritten"))?;
        Ok(purged)
    }

    fn fault(&self, what: &'static str) -> impl FnOnce(std::io::Error) -> JsonlError + use<> {
        let path = self.path.clone();
        move |source| JsonlError { path, what, source }
    }
}

/// What of a line matters for how long it is kept.
#[derive(serde::Deserialize)]
struct Captured {
    #[serde(alias = "at")]
    captured_at: Option<String>,
}

/// Length of the file up to its last line break.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0_u8; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        if let Some(i) = part.iter().rposition(|&b| b == b'\n') {
            return Ok(start + i as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::ReadingRow;

    fn record(camera: &str, first_s: i64, track_id: u64) -> Record {
        let row = ReadingRow {
            source: camera.into(),
            track_id,
            plate: format!("AB{track_id:03}CD"),
            first_pts_ns: first_s * 1_000_000_000,
            ..ReadingRow::default()
        };
        Record::of(&row, None)
    }

    fn keys(path: &Path) -> Vec<(String, u64)> {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|l| serde_json::from_str::<Record>(l).unwrap()).map(|r| (r.camera, r.track_id)).collect()
    }

    #[test]
    fn the_file_does_not_depend_on_which_camera_was_faster() {
        let dir = tempfile::tempdir().unwrap();
        let all = [record("a", 1, 1), record("a", 5, 2), record("b", 2, 1), record("b", 2, 2)];
        let mut files = Vec::new();
        for (name, order) in [("x", [0, 1, 2, 3]), ("y", [2, 0, 3, 1]), ("z", [3, 1, 2, 0])] {
            let path = dir.path().join(name);
            let mut jsonl = Jsonl::open(&path, Order::Sorted, false).unwrap();
            for i in order {
                jsonl.write(&all[i]).unwrap();
            }
            jsonl.finish().unwrap();
            jsonl.finish().unwrap();
            files.push(std::fs::read(&path).unwrap());
        }
        assert_eq!(files[0], files[1]);
        assert_eq!(files[0], files[2]);
        assert_eq!(keys(&dir.path().join("z")), [("a".into(), 1), ("a".into(), 2), ("b".into(), 1), ("b".into(), 2)]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "a temporary file was left");
    }

    #[test]
    fn lines_are_whole_before_the_end_and_may_follow_the_sorting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder/readings.jsonl");
        let mut jsonl = Jsonl::open(&path, Order::Sorted, true).unwrap();
        jsonl.write(&record("b", 1, 1)).unwrap();
        assert_eq!(keys(&path).len(), 1);
        jsonl.write(&record("a", 1, 1)).unwrap();
        jsonl.finish().unwrap();
        jsonl.write(&record("c", 1, 1)).unwrap();
        assert_eq!(keys(&path), [("a".into(), 1), ("b".into(), 1), ("c".into(), 1)]);
    }

    #[test]
    fn a_sorted_file_starts_empty_and_a_live_one_goes_on_after_the_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("readings.jsonl");
        Jsonl::open(&path, Order::Arrival, false).unwrap().write(&record("a", 1, 1)).unwrap();
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"camera":"a","tra"#);
        std::fs::write(&path, torn).unwrap();
        Jsonl::open(&path, Order::Arrival, false).unwrap().write(&record("a", 2, 2)).unwrap();
        assert_eq!(keys(&path), [("a".into(), 1), ("a".into(), 2)]);
        Jsonl::open(&path, Order::Sorted, false).unwrap().write(&record("a", 3, 3)).unwrap();
        assert_eq!(keys(&path), [("a".into(), 3)]);
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        // Linux' device that is always full; not a regular file, so nothing is cut.
        let mut jsonl = Jsonl::open(Path::new("/dev/full"), Order::Sorted, false).unwrap();
        let error = jsonl.write(&record("a", 1, 1)).unwrap_err().to_string();
        assert!(error.starts_with("`/dev/full`: line cannot be written: "), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = Jsonl::open(&dir.path().join("file/readings.jsonl"), Order::Sorted, false).unwrap_err().to_string();
        assert!(error.contains("file/readings.jsonl`: folder cannot be made: "), "{error}");
    }

    #[test]
    fn old_lines_leave_the_file_and_new_ones_follow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("readings.jsonl");
        let at = |track: u64, s: i64| {
            let row = ReadingRow { track_id: track, captured_ns: 1_700_000_000_000_000_000 + s * 1_000_000_000, ..ReadingRow::default() };
            Record::of(&row, None)
        };
        let mut jsonl = Jsonl::open(&path, Order::Arrival, false).unwrap();
        for (track, s) in [(1, 0), (2, 100), (3, 10)] {
            jsonl.write(&at(track, s)).unwrap();
        }
        let old = File::open(&path).unwrap();
        assert_eq!(jsonl.purge("2023-11-14T22:13:20.000Z").unwrap(), 0);
        jsonl.write(&at(4, 200)).unwrap();
        assert_eq!(jsonl.purge("2023-11-14T22:14:00.000Z").unwrap(), 2);
        jsonl.write(&at(5, 300)).unwrap();
        let tracks: Vec<u64> = keys(&path).into_iter().map(|(_, track)| track).collect();
        assert_eq!(tracks, [2, 4, 5]);
        let mut before = Vec::new();
        { old }.read_to_end(&mut before).unwrap();
        assert!(before.len() > 500 && before.iter().all(|b| *b == 0), "the file of before is not overwritten");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
