//! Past readings: from the database of `store`, or from memory where there is none.

use crate::readings::{Jpeg, Readings, Shown};
use gantry_records::{Record, VoteRecord};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Readings of one answer.
const MOST: usize = 60;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Part of a plate; `*` stands for anything and `?` for one character. Empty: any.
    pub plate: String,
    /// Camera; empty: any.
    pub camera: String,
    /// RFC 3339, from then on; empty: no limit.
    pub from: String,
    /// RFC 3339, up to then; empty: no limit.
    pub until: String,
    /// Goes on behind this id of the last answer.
    pub before: Option<i64>,
}

/// What was found, newest first.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The readings.
    pub readings: Vec<Shown>,
    /// Whether there are more; their `before` is the last id.
    pub more: bool,
    /// `database` or `memory`.
    pub place: &'static str,
}

/// Why nothing could be searched.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {source}", path.display())]
pub struct SearchError {
    path: PathBuf,
    #[source]
    source: rusqlite::Error,
}

impl Query {
    /// As a pattern of SQL's `LIKE`, escaped by `\`. Plates are letters and digits: what else people type between them is left out.
    fn pattern(&self) -> String {
        let mut pattern = String::from("%");
        for c in self.plate.chars().filter(|c| c.is_alphanumeric() || "*?".contains(*c)) {
            match c {
                '*' => pattern.push('%'),
                '?' => pattern.push('_'),
                c => pattern.extend(c.to_uppercase()),
            }
        }
        pattern.push('%');
        pattern
    }

    /// Whether `shown` is one of those that are looked for.
    fn fits(&self, shown: &Shown) -> bool {
        let at = shown.record.captured_at.as_deref().unwrap_or_default();
        (self.camera.is_empty() || shown.record.camera == self.camera)
            && (self.from.is_empty() || at >= self.from.as_str())
            && (self.until.is_empty() || at <= self.until.as_str())
            && like(&self.pattern(), &shown.record.plate)
    }

    /// Searches the readings in memory.
    #[must_use]
    pub fn in_memory(&self, readings: &Readings) -> Found {
        let number = |shown: &Shown| shown.id[1..].parse::<i64>().unwrap_or(i64::MAX);
        let before = self.before.unwrap_or(i64::MAX);
        let mut all = readings.newest().filter(|shown| number(shown) < before && self.fits(shown));
        let found: Vec<Shown> = all.by_ref().take(MOST).cloned().collect();
        Found { readings: found, more: all.next().is_some(), place: "memory" }
    }

    /// Searches the database, which is only read.
    ///
    /// # Errors
    /// [`SearchError`] if it cannot be opened or is none of `store`.
    pub fn in_database(&self, path: &Path) -> Result<Found, SearchError> {
        self.of_database(path).map_err(|source| SearchError { path: path.to_owned(), source })
    }

    fn of_database(&self, path: &Path) -> rusqlite::Result<Found> {
        let db = open(path)?;
        let mut wanted: Vec<(&str, Value)> = vec![("plate LIKE ? ESCAPE '\\'", self.pattern().into())];
        let texts = [("camera = ?", &self.camera), ("captured_at >= ?", &self.from), ("captured_at <= ?", &self.until)];
        wanted.extend(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(sql, text)| (sql, text.clone().into())));
        wanted.extend(self.before.map(|id| ("id < ?", id.into())));
        let conditions: Vec<&str> = wanted.iter().map(|(sql, _)| *sql).collect();
        let sql = format!(
            "SELECT {COLUMNS}, {} FROM readings WHERE {} ORDER BY id DESC LIMIT {}",
            overview_column(&db)?,
            conditions.join(" AND "),
            MOST + 1
        );
        let mut statement = db.prepare(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(wanted.into_iter().map(|(_, value)| value)), of_row)?;
        let mut found: Vec<(i64, Shown)> = rows.collect::<Result<_, _>>()?;
        let more = found.len() > MOST;
        found.truncate(MOST);
        let mut votes = db.prepare("SELECT text, variant, weight, frames FROM votes WHERE reading_id = ? ORDER BY weight DESC")?;
        for (id, shown) in &mut found {
            shown.record.votes = votes.query_map([*id], of_vote)?.collect::<Result<_, _>>()?;
        }
        Ok(Found { readings: found.into_iter().map(|(_, shown)| shown).collect(), more, place: "database" })
    }
}

const COLUMNS: &str = "id, camera, track_id, plate, confidence, first_seen_s, last_seen_s, captured_at, syntax, frames_read, reads, x0, y0, x1, y1, \
                       evidence_frame, evidence";

/// Databases before version 3 have no pictures of whole frames.
fn overview_column(db: &Connection) -> rusqlite::Result<&'static str> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(if version < 3 { "NULL AS overview" } else { "overview" })
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(Duration::from_secs(2))?;
    Ok(db)
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<(i64, Shown)> {
    let id: i64 = row.get("id")?;
    let evidence: Option<String> = row.get("evidence")?;
    let overview: Option<String> = row.get("overview")?;
    let (has_picture, has_overview) = (evidence.is_some(), overview.is_some());
    let record = Record {
        camera: row.get("camera")?,
        track_id: row.get::<_, i64>("track_id")? as u64,
        plate: row.get("plate")?,
        confidence: row.get("confidence")?,
        first_seen_s: row.get("first_seen_s")?,
        last_seen_s: row.get("last_seen_s")?,
        captured_at: row.get("captured_at")?,
        syntax: row.get("syntax")?,
        votes: Vec::new(),
        frames_read: row.get("frames_read")?,
        reads: row.get("reads")?,
        bbox_xyxy: [row.get("x0")?, row.get("y0")?, row.get("x1")?, row.get("y1")?],
        evidence_frame: row.get::<_, i64>("evidence_frame")? as u64,
        // Where it lies is nobody's business beyond this machine.
        evidence: None,
        overview: None,
    };
    Ok((id, Shown { id: format!("d{id}"), record, has_picture, has_overview }))
}

fn of_vote(row: &Row<'_>) -> rusqlite::Result<VoteRecord> {
    let frames: String = row.get(3)?;
    Ok(VoteRecord {
        text: row.get(0)?,
        variant: row.get(1)?,
        weight: row.get(2)?,
        frames: serde_json::from_str(&frames).unwrap_or_default(),
    })
}

/// A picture of row `id` of the database: a JPEG below the folder of the database, or nothing.
#[must_use]
pub fn picture(database: &Path, id: i64, which: Jpeg) -> Option<Vec<u8>> {
    let db = open(database).ok()?;
    let column = if which == Jpeg::Evidence { "evidence" } else { overview_column(&db).ok()? };
    let named: Option<String> = db.query_row(&format!("SELECT {column} FROM readings WHERE id = ?"), [id], |row| row.get(0)).ok()?;
    let folder = database.parent()?.canonicalize().ok()?;
    let file = folder.join(named?).canonicalize().ok()?;
    let is_picture = file.starts_with(&folder) && file.extension().is_some_and(|extension| extension == "jpg");
    if is_picture { std::fs::read(file).ok() } else { None }
}

/// SQL's `LIKE` over the patterns of [`Query::pattern`].
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.to_uppercase().chars().collect());
    // Where each prefix of the pattern can end in the text.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for p in pattern {
        if p == '%' {
            let mut any = false;
            for end in &mut ends {
                any |= *end;
                *end = any;
            }
        } else {
            for i in (0..text.len()).rev() {
                ends[i + 1] = ends[i] && (p == '_' || p == text[i]);
            }
            ends[0] = false;
        }
    }
    ends[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::{ReadingRow, Vote};
    use gantry_node_store::sqlite::Sqlite;

    const DAY_NS: i64 = 86_400_000_000_000;

    fn row(track_id: u64, camera: &str, plate: &str) -> ReadingRow {
        ReadingRow {
            source: camera.into(),
            track_id,
            first_frame: track_id,
            plate: plate.into(),
            confidence: 0.9,
            captured_ns: 1_700_000_000_000_000_000 + track_id as i64 * DAY_NS,
            votes: vec![Vote { text: plate.into(), variant: "original".into(), frames: vec![1, 2], weight: 1.5 }],
            evidence: vec![0xff, 0xd8],
            ..ReadingRow::default()
        }
    }

    fn rows() -> Vec<ReadingRow> {
        vec![row(0, "gate", "AB123CD"), row(1, "road", "XY99ZZ"), row(2, "gate", "AB129CD"), row(3, "gate", "ÖL1")]
    }

    /// The same readings in memory and in a database.
    fn both() -> (tempfile::TempDir, PathBuf, Readings) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("readings.sqlite");
        std::fs::create_dir(dir.path().join("evidence")).unwrap();
        std::fs::write(dir.path().join("evidence/1.jpg"), [0xff, 0xd8, 1]).unwrap();
        let mut db = Sqlite::open(&path, "run", &gantry_origin::Origin::default(), false).unwrap();
        let mut readings = Readings::default();
        for row in rows() {
            db.write(&[(&row, Record::of(&row, Some("evidence/1.jpg".into())))]).unwrap();
            readings.add(row);
        }
        (dir, path, readings)
    }

    #[test]
    fn memory_and_database_find_the_same() {
        let (_dir, path, readings) = both();
        let any = Query::default();
        for (query, wanted) in [
            (any.clone(), vec!["ÖL1", "AB129CD", "XY99ZZ", "AB123CD"]),
            (Query { plate: "ab12".into(), ..any.clone() }, vec!["AB129CD", "AB123CD"]),
            (Query { plate: "AB-12?CD".into(), ..any.clone() }, vec!["AB129CD", "AB123CD"]),
            (Query { plate: "a*3".into(), ..any.clone() }, vec!["AB123CD"]),
            (Query { plate: "%_'\\".into(), camera: "road".into(), ..any.clone() }, vec!["XY99ZZ"]),
            (Query { camera: "nowhere".into(), ..any.clone() }, vec![]),
            (Query { from: "2023-11-15".into(), until: "2023-11-17".into(), ..any.clone() }, vec!["AB129CD", "XY99ZZ"]),
            (Query { before: Some(3), ..any.clone() }, vec!["XY99ZZ", "AB123CD"]),
        ] {
            for found in [query.in_memory(&readings), query.in_database(&path).unwrap()] {
                let plates: Vec<&str> = found.readings.iter().map(|shown| shown.record.plate.as_str()).collect();
                assert_eq!((plates, found.more), (wanted.clone(), false), "{query:?} in {}", found.place);
            }
        }
        let found = any.in_database(&path).unwrap();
        assert_eq!(found.readings[0].record.votes, Record::of(&rows()[3], None).votes);
        assert!(found.readings[0].has_picture && found.readings[0].record.evidence.is_none());
    }

    #[test]
    fn an_answer_has_an_end_and_says_so() {
        let mut readings = Readings::default();
        (0..100).for_each(|n| drop(readings.add(row(n, "gate", "A"))));
        let first = Query::default().in_memory(&readings);
        assert_eq!((first.readings.len(), first.more, first.readings[59].id.as_str()), (60, true, "m41"));
        let second = Query { before: Some(41), ..Query::default() }.in_memory(&readings);
        assert_eq!((second.readings.len(), second.more), (40, false));
    }

    #[test]
    fn pictures_come_from_the_folder_of_the_database_alone() {
        let (dir, path, _) = both();
        assert_eq!(picture(&path, 1, Jpeg::Evidence).as_deref(), Some([0xff, 0xd8, 1].as_slice()));
        assert_eq!(picture(&path, 99, Jpeg::Evidence), None);
        assert_eq!(picture(&path, 1, Jpeg::Overview), None);
        std::fs::write(path.with_file_name("evidence/1.overview.jpg"), [0xff, 0xd8, 2]).unwrap();
        let put = "UPDATE readings SET overview = 'evidence/1.overview.jpg' WHERE id = 1";
        Connection::open(&path).unwrap().execute(put, []).unwrap();
        assert_eq!(picture(&path, 1, Jpeg::Overview).as_deref(), Some([0xff, 0xd8, 2].as_slice()));
        std::fs::write(dir.path().join("notes.txt"), "secret").unwrap();
        for elsewhere in ["/etc/passwd", "../../../../etc/passwd", "notes.txt"] {
            Connection::open(&path).unwrap().execute("UPDATE readings SET evidence = ? WHERE id = 1", [elsewhere]).unwrap();
            assert_eq!(picture(&path, 1, Jpeg::Evidence), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_database_that_is_not_there_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none.sqlite");
        let error = Query::default().in_database(&path).unwrap_err().to_string();
        assert!(error.contains("none.sqlite") && !path.exists(), "{error}");
    }
}
