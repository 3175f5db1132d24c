//! SQLite: readings and their votes.

use gantry_messages::ReadingRow;
use gantry_origin::Origin;
use gantry_records::Record;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Why the database could not be used.
#[derive(Debug, Error)]
pub enum SqliteError {
    /// The folder above the file.
    #[error("`{}`: folder cannot be made: {source}", path.display())]
    Folder {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite itself.
    #[error("`{}`: {what}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
    /// Written by a later Gantry.
    #[error("`{}`: its tables have version {found}, this program knows {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: i64,
    },
}

impl SqliteError {
    /// Whether the same may go later: the disk or another process was in the way, and not what was to be written.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure};
        let Self::Sqlite { source, .. } = self else { return false };
        let passes = [CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure];
        source.sqlite_error_code().is_some_and(|code| passes.contains(&code))
    }
}

/// Version of the tables (`PRAGMA user_version`).
pub const VERSION: i64 = 3;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS origins (
    digest TEXT PRIMARY KEY,
    gantry TEXT NOT NULL,
    mode TEXT NOT NULL,
    graph TEXT NOT NULL,
    files TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS readings (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    camera TEXT NOT NULL,
    track_id INTEGER NOT NULL,
    first_frame INTEGER NOT NULL,
    plate TEXT NOT NULL,
    confidence REAL NOT NULL,
    first_seen_s REAL NOT NULL,
    last_seen_s REAL NOT NULL,
    captured_at TEXT,
    syntax TEXT NOT NULL,
    frames_read INTEGER NOT NULL,
    reads INTEGER NOT NULL,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
    evidence_frame INTEGER NOT NULL,
    evidence TEXT,
    stored_at TEXT NOT NULL,
    origin TEXT REFERENCES origins (digest),
    overview TEXT,
    UNIQUE (run, camera, track_id, first_frame)
);
CREATE INDEX IF NOT EXISTS readings_plate ON readings (plate);
CREATE INDEX IF NOT EXISTS readings_stored_at ON readings (stored_at);
CREATE INDEX IF NOT EXISTS readings_camera_time ON readings (camera, first_seen_s);
CREATE TABLE IF NOT EXISTS votes (
    reading_id INTEGER NOT NULL REFERENCES readings (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    variant TEXT NOT NULL,
    weight REAL NOT NULL,
    frames TEXT NOT NULL,
    PRIMARY KEY (reading_id, text, variant)
) WITHOUT ROWID;
";

/// Tables of version 1 did not say when a reading was stored.
const FROM_1: &str = "
ALTER TABLE readings ADD COLUMN stored_at TEXT NOT NULL DEFAULT '';
UPDATE readings SET stored_at = coalesce(captured_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
";

/// Readings of versions 1 and 2 did not say what made them, and had no pictures of whole frames.
const FROM_2: &str = "
ALTER TABLE readings ADD COLUMN origin TEXT REFERENCES origins (digest);
ALTER TABLE readings ADD COLUMN overview TEXT;
";

/// The database, open for writing; others may read it meanwhile (WAL).
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    db: Connection,
    run: String,
    /// Digest of what makes the readings from here on.
    origin: String,
    /// Something was deleted of which the log may still have pages.
    log_is_dirty: bool,
}

impl Sqlite {
    /// Opens or makes the database. `run` names this run: the same reading of the same run is written once.
    ///
    /// # Errors
    /// [`SqliteError`].
    pub fn open(path: &Path, run: &str, origin: &Origin, fsync: bool) -> Result<Self, SqliteError> {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| SqliteError::Folder { path: path.to_owned(), source })?;
        }
        let fault = |what| move |source| SqliteError::Sqlite { path: path.to_owned(), what, source };
        let db = Connection::open(path).map_err(fault("cannot be opened"))?;
        db.busy_timeout(Duration::from_secs(5)).map_err(fault("cannot be opened"))?;
        let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fault("is no database of readings"))?;
        if found > VERSION {
            return Err(SqliteError::Version { path: path.to_owned(), found });
        }
        // Deleted text is overwritten with zeros, in tables and indices, and does not wait for its page to be used again.
        let settings = format!(
            "PRAGMA secure_delete = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; PRAGMA foreign_keys = ON;",
            if fsync { "FULL" } else { "NORMAL" }
        );
        db.execute_batch(&settings).map_err(fault("cannot be written"))?;
        let changes = match found {
            1 => [FROM_1, FROM_2].concat(),
            2 => FROM_2.to_owned(),
            _ => String::new(),
        };
        if !changes.is_empty() {
            db.execute_batch(&format!("BEGIN IMMEDIATE; {changes} PRAGMA user_version = {VERSION}; COMMIT;"))
                .map_err(fault("tables cannot be changed"))?;
        }
        db.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")).map_err(fault("tables cannot be made"))?;
        let files = serde_json::json!(origin.files).to_string();
        let known = params![origin.digest, origin.gantry, origin.mode, origin.graph, files];
        db.execute("INSERT OR IGNORE INTO origins (digest, gantry, mode, graph, files) VALUES (?1, ?2, ?3, ?4, ?5)", known)
            .map_err(fault("cannot be written"))?;
        Ok(Self { path: path.to_owned(), db, run: run.to_owned(), origin: origin.digest.clone(), log_is_dirty: false })
    }

    /// Writes readings with their votes, all or none. Returns how many were new.
    ///
    /// # Errors
    /// [`SqliteError::Sqlite`], for example on a full disk; what was written before is intact.
    pub fn write(&mut self, records: &[(&ReadingRow, Record)]) -> Result<u64, SqliteError> {
        let path = self.path.clone();
        self.insert(records).map_err(|source| SqliteError::Sqlite { path, what: "readings cannot be written", source })
    }

    /// Deletes readings that were stored before `before` (RFC 3339), with their votes; how many. Their text is overwritten in the database, and
    /// the log is emptied, for it has the pages of before. A reader that is in the middle of it keeps the log: the next call tries again.
    ///
    /// # Errors
    /// [`SqliteError::Sqlite`].
    pub fn purge(&mut self, before: &str) -> Result<u64, SqliteError> {
        let path = self.path.clone();
        let fault = |what| move |source| SqliteError::Sqlite { path, what, source };
        let deleted = self.db.execute("DELETE FROM readings WHERE stored_at < ?1", params![before]);
        let deleted = deleted.map_err(fault("readings cannot be deleted"))?;
        self.log_is_dirty |= deleted > 0;
        if self.log_is_dirty {
            self.log_is_dirty = !self.empty_log()?;
        }
        Ok(deleted as u64)
    }

    /// Folds the log into the database and cuts it to nothing; whether no reader was in the way.
    fn empty_log(&self) -> Result<bool, SqliteError> {
        let busy = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        let fault = |source| SqliteError::Sqlite { path: self.path.clone(), what: "log cannot be folded in", source };
        Ok(busy.map_err(fault)? == 0)
    }

    fn insert(&mut self, records: &[(&ReadingRow, Record)]) -> rusqlite::Result<u64> {
        let stored_at = crate::retention::now();
        let transaction = self.db.transaction()?;
        let mut new = 0;
        {
            let mut reading = transaction.prepare_cached(
                "INSERT OR IGNORE INTO readings (run, camera, track_id, first_frame, plate, confidence, first_seen_s, last_seen_s, captured_at, syntax,
                 frames_read, reads, x0, y0, x1, y1, evidence_frame, evidence, stored_at, origin, overview)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
            )?;
            let mut vote =
                transaction.prepare_cached("INSERT INTO votes (reading_id, text, variant, weight, frames) VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (row, r) in records {
                let [x0, y0, x1, y1] = r.bbox_xyxy;
                let inserted = reading.execute(params![
                    self.run,
                    r.camera,
                    r.track_id as i64,
                    row.first_frame as i64,
                    r.plate,
                    r.confidence,
                    r.first_seen_s,
                    r.last_seen_s,
                    r.captured_at,
                    r.syntax,
                    r.frames_read,
                    r.reads,
                    x0,
                    y0,
                    x1,
                    y1,
                    r.evidence_frame as i64,
                    r.evidence,
                    stored_at,
                    self.origin,
                    r.overview
                ])?;
                if inserted == 0 {
                    continue;
                }
                new += 1;
                let id = transaction.last_insert_rowid();
                for v in &r.votes {
                    let frames = serde_json::to_string(&v.frames).unwrap_or_default();
                    vote.execute(params![id, v.text, v.variant, v.weight, frames])?;
                }
            }
        }
        transaction.commit()?;
        Ok(new)
    }

    /// Folds the log into the database, so that one file is left.
    ///
    /// # Errors
    /// [`SqliteError::Sqlite`].
    pub fn finish(&mut self) -> Result<(), SqliteError> {
        self.empty_log().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::Vote;

    fn row(track_id: u64) -> ReadingRow {
        ReadingRow {
            source: "gate".into(),
            track_id,
            plate: "AB123CD".into(),
            confidence: 0.97,
            first_pts_ns: 2_000_000_000,
            captured_ns: 1_700_000_000_000_000_000,
            votes: vec![
                Vote { text: "AB123CD".into(), variant: "original".into(), frames: vec![1, 2], weight: 1.5 },
                Vote { text: "AB128CD".into(), variant: "clahe".into(), frames: vec![2], weight: 0.2 },
            ],
            ..ReadingRow::default()
        }
    }

    fn write(db: &mut Sqlite, rows: &[ReadingRow]) -> u64 {
        let records: Vec<_> = rows.iter().map(|r| (r, Record::of(r, None))).collect();
        db.write(&records).unwrap()
    }

    #[test]
    fn a_reading_of_a_run_is_written_once_with_its_votes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site/readings.sqlite");
        let mut db = Sqlite::open(&path, "run1", &Origin::default(), false).unwrap();
        assert_eq!(write(&mut db, &[row(1), row(2)]), 2);
        assert_eq!(write(&mut db, &[row(2), row(3)]), 1);
        drop(db);
        let mut again = Sqlite::open(&path, "run2", &Origin::default(), true).unwrap();
        assert_eq!(write(&mut again, &[row(1)]), 1);
        again.finish().unwrap();
        drop(again);
        let db = Connection::open(&path).unwrap();
        let one = |sql: &str| db.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
        assert_eq!(one("SELECT count(*) FROM readings"), 4);
        assert_eq!(one("SELECT count(*) FROM votes"), 8);
        let (plate, at, frames): (String, String, String) = db
            .query_row("SELECT plate, captured_at, frames FROM readings JOIN votes ON reading_id = id WHERE run = 'run1' AND track_id = 3 ORDER BY weight DESC", [], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?))
            })
            .unwrap();
        assert_eq!((plate.as_str(), at.as_str(), frames.as_str()), ("AB123CD", "2023-11-14T22:13:20.000Z", "[1,2]"));
    }

    #[test]
    fn a_file_that_is_no_database_or_of_a_later_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("notes.txt");
        std::fs::write(&text, "these are notes and not a database, and long enough to be taken for a header of one by mistake").unwrap();
        let error = Sqlite::open(&text, "", &Origin::default(), false).unwrap_err().to_string();
        assert!(error.contains("notes.txt`: is no database of readings: "), "{error}");

        let later = dir.path().join("later.sqlite");
        Connection::open(&later).unwrap().execute_batch("PRAGMA user_version = 7").unwrap();
        let error = Sqlite::open(&later, "", &Origin::default(), false).unwrap_err().to_string();
        assert!(error.ends_with("its tables have version 7, this program knows 3"), "{error}");
    }

    /// The files that a database consists of.
    fn files_with(path: &Path, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let file = format!("{}{suffix}", path.display());
            let bytes = std::fs::read(&file).unwrap_or_default();
            if bytes.windows(text.len()).any(|w| w == text.as_bytes()) {
                found.push(suffix.to_owned());
            }
        }
        found
    }

    #[test]
    fn what_was_deleted_is_in_no_page_of_the_database_and_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("readings.sqlite");
        let mut db = Sqlite::open(&path, "run", &Origin::default(), false).unwrap();
        let named = |track_id: u64, plate: &str| {
            let votes = vec![Vote { text: format!("{plate}8"), variant: "original".into(), frames: vec![1], weight: 1.0 }];
            ReadingRow { plate: plate.into(), votes, ..row(track_id) }
        };
        // Several pages, so that whole pages become free, too.
        let many: Vec<ReadingRow> = (0..400).map(|n| named(n, &format!("SECRET{n}"))).collect();
        assert_eq!(write(&mut db, &many), 400);
        assert!(!files_with(&path, "SECRET399").is_empty(), "the test looks in the right files");
        let before = crate::retention::now();
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(write(&mut db, &[named(1000, "KEPT123")]), 1);
        assert_eq!(db.purge(&before).unwrap(), 400);
        assert_eq!(files_with(&path, "SECRET"), Vec::<String>::new());
        assert_eq!(files_with(&path, "KEPT123"), [""]);
        let left: i64 = db.db.query_row("SELECT count(*) FROM votes", [], |r| r.get(0)).unwrap();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_reader_delays_the_emptying_of_the_log_and_does_not_prevent_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("readings.sqlite");
        let mut db = Sqlite::open(&path, "run", &Origin::default(), false).unwrap();
        db.db.busy_timeout(Duration::from_millis(10)).unwrap();
        write(&mut db, &[ReadingRow { plate: "SECRET1".into(), ..row(1) }]);
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let seen: i64 = reader.query_row("SELECT count(*) FROM readings", [], |r| r.get(0)).unwrap();
        assert_eq!(seen, 1);
        assert_eq!(db.purge("9999").unwrap(), 1);
        assert!(!files_with(&path, "SECRET1").is_empty(), "the reader still sees it");
        drop(reader);
        assert_eq!(db.purge("9999").unwrap(), 0);
        assert_eq!(files_with(&path, "SECRET1"), Vec::<String>::new());
    }

    #[test]
    fn tables_of_the_first_version_are_brought_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("readings.sqlite");
        let mut db = Sqlite::open(&path, "run", &Origin::default(), false).unwrap();
        write(&mut db, &[row(1)]);
        db.db.execute_batch("DROP INDEX readings_stored_at; ALTER TABLE readings DROP COLUMN stored_at; ALTER TABLE readings DROP COLUMN origin; ALTER TABLE readings DROP COLUMN overview; DROP TABLE origins; PRAGMA user_version = 1").unwrap();
        drop(db);
        let mut db = Sqlite::open(&path, "run", &Origin::default(), false).unwrap();
        assert_eq!(write(&mut db, &[row(1), row(2)]), 1);
        let stored: String = db.db.query_row("SELECT stored_at FROM readings WHERE track_id = 1", [], |r| r.get(0)).unwrap();
        assert_eq!(stored, "2023-11-14T22:13:20.000Z");
        assert_eq!(db.purge("2024").unwrap(), 1);
    }

    #[test]
    fn each_reading_names_what_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("readings.sqlite");
        let origin = |digest: &str| Origin { digest: digest.into(), graph: format!("nodes: [] # {digest}"), ..Origin::default() };
        write(&mut Sqlite::open(&path, "run", &origin("a"), false).unwrap(), &[row(1)]);
        // The second version had no origins.
        let before = "ALTER TABLE readings DROP COLUMN origin; ALTER TABLE readings DROP COLUMN overview; DROP TABLE origins; PRAGMA user_version = 2";
        Connection::open(&path).unwrap().execute_batch(before).unwrap();
        for digest in ["b", "b", "c"] {
            let mut db = Sqlite::open(&path, "run", &origin(digest), false).unwrap();
            write(&mut db, &[row(digest.len() as u64 + u64::from(digest.as_bytes()[0]))]);
        }
        let db = Connection::open(&path).unwrap();
        let mut found = db.prepare("SELECT origin, graph FROM readings LEFT JOIN origins ON digest = origin ORDER BY track_id").unwrap();
        let found: Vec<(Option<String>, Option<String>)> =
            found.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect();
        let of = |digest: &str| (Some(digest.to_owned()), Some(format!("nodes: [] # {digest}")));
        assert_eq!(found, [(None, None), of("b"), of("c")]);
    }
}
