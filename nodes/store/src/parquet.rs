//! Parquet: one file for the readings of some minutes.

use crate::Record;
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use arrow_schema::FieldRef;
use gantry_messages::ReadingRow;
use gantry_origin::Origin;
use gantry_records::VoteRecord;
use serde::Serialize;
use serde_arrow::schema::{SchemaLike, TracingOptions};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Readings in one file at most, and in memory while no file can be written.
pub(crate) const MAX_ROWS: usize = 100_000;
/// How long after a file could not be written the next is tried.
const RETRY: Duration = Duration::from_secs(5);

/// Name of the file's metadata that says what made its readings.
pub const ORIGIN: &str = "gantry.origin";

/// Why a file could not be written.
#[derive(Debug, Error)]
#[error("`{}`: {what}: {source}", path.display())]
pub struct ParquetError {
    /// File or folder.
    pub path: PathBuf,
    /// What was tried.
    pub what: &'static str,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// One reading. Field names are the columns.
#[derive(Debug, Serialize, serde::Deserialize)]
struct Row {
    run: String,
    camera: String,
    track_id: u64,
    first_frame: u64,
    plate: String,
    confidence: f64,
    first_seen_s: f64,
    last_seen_s: f64,
    captured_at: Option<String>,
    syntax: String,
    frames_read: u32,
    reads: u32,
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
    evidence_frame: u64,
    evidence: Option<String>,
    overview: Option<String>,
    votes: Vec<VoteRecord>,
}

/// The folder of files.
pub struct Parquet {
    folder: PathBuf,
    run: String,
    /// What makes the readings, as JSON; each file has it under [`ORIGIN`].
    origin: String,
    fields: Vec<FieldRef>,
    rows: Vec<Row>,
    since: Instant,
    every: Duration,
    written: u64,
    /// When the last file could not be written.
    failed: Option<Instant>,
}

impl Parquet {
    /// Makes the folder. A file is written every `every`, if there is something to write.
    ///
    /// # Errors
    /// [`ParquetError`].
    pub fn open(folder: &Path, run: &str, origin: &Origin, every: Duration) -> Result<Self, ParquetError> {
        std::fs::create_dir_all(folder).map_err(fault(folder, "folder cannot be made"))?;
        let options = TracingOptions::default().strings_as_large_utf8(false).sequence_as_large_list(false);
        let fields = Vec::<FieldRef>::from_type::<Row>(options).map_err(fault(folder, "columns cannot be told"))?;
        let origin = serde_json::to_string(origin).map_err(fault(folder, "the origin cannot be written as JSON"))?;
        let (folder, run) = (folder.to_owned(), run.to_owned());
        Ok(Self { folder, run, origin, fields, rows: Vec::new(), since: Instant::now(), every, written: 0, failed: None })
    }

    /// Takes readings; they are due in a file after the time given to [`Parquet::open`].
    pub fn write(&mut self, records: &[(&ReadingRow, Record)]) {
        if self.rows.is_empty() {
            self.since = Instant::now();
        }
        for (row, r) in records {
            let [x0, y0, x1, y1] = r.bbox_xyxy;
            self.rows.push(Row {
                run: self.run.clone(),
                camera: r.camera.clone(),
                track_id: r.track_id,
                first_frame: row.first_frame,
                plate: r.plate.clone(),
                confidence: r.confidence,
                first_seen_s: r.first_seen_s,
                last_seen_s: r.last_seen_s,
                captured_at: r.captured_at.clone(),
                syntax: r.syntax.clone(),
                frames_read: r.frames_read,
                reads: r.reads,
                x0,
                y0,
                x1,
                y1,
                evidence_frame: r.evidence_frame,
                evidence: r.evidence.clone(),
                overview: r.overview.clone(),
                votes: r.votes.clone(),
            });
        }
    }

    /// Whether it is time for [`Parquet::flush`].
    #[must_use]
    pub fn is_due(&self) -> bool {
        let has_file = self.rows.len() >= MAX_ROWS || self.since.elapsed() >= self.every;
        has_file && !self.rows.is_empty() && self.failed.is_none_or(|at| at.elapsed() >= RETRY)
    }

    /// Gives up the oldest readings above `most`; how many.
    pub fn bound(&mut self, most: usize) -> u64 {
        let above = self.rows.len().saturating_sub(most);
        self.rows.drain(..above);
        above as u64
    }

    /// Writes what there is into a new file, whole or not at all.
    ///
    /// # Errors
    /// [`ParquetError`], for example on a full disk; the readings are kept for the next time.
    pub fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.failed = Some(Instant::now());
        // Colons are no good in names of files. The number keeps files of one moment apart.
        let stamp = crate::retention::now().replace([':', '-'], "");
        let name = format!("readings-{stamp}-{}-{}.parquet", std::process::id(), self.written);
        let path = self.folder.join(&name);
        let beside = self.folder.join(format!("{name}.part"));
        let batch = serde_arrow::to_record_batch(&self.fields, &self.rows).map_err(fault(&path, "readings do not fit their columns"))?;
        let origin = KeyValue::new(ORIGIN.to_owned(), self.origin.clone());
        let properties =
            WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(Some(vec![origin])).build();
        let written = File::create(&beside).map_err(::parquet::errors::ParquetError::from).and_then(|file| {
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            let file = writer.into_inner()?;
            file.sync_data()?;
            std::fs::rename(&beside, &path)?;
            Ok(())
        });
        if let Err(e) = written {
            let _ = std::fs::remove_file(&beside);
            return Err(fault(&path, "cannot be written")(e));
        }
        self.rows.clear();
        self.written += 1;
        self.failed = None;
        Ok(())
    }
}

fn fault<E: std::error::Error + Send + Sync + 'static>(path: &Path, what: &'static str) -> impl FnOnce(E) -> ParquetError + use<E> {
    let path = path.to_owned();
    move |source| ParquetError { path, what, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use gantry_messages::Vote;

    fn rows(n: u64) -> Vec<ReadingRow> {
        let vote = |text: &str| Vote { text: text.into(), variant: "original".into(), frames: vec![1, 2], weight: 1.5 };
        let row = |id| ReadingRow {
            source: "gate".into(),
            track_id: id,
            plate: format!("AB{id}"),
            captured_ns: if id % 2 == 0 { 1_700_000_000_000_000_000 } else { 40 },
            votes: vec![vote("AB1"), vote("A81")],
            ..ReadingRow::default()
        };
        (0..n).map(row).collect()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        all
    }

    #[test]
    fn files_have_the_readings_with_their_votes() {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin { digest: "ab12".into(), ..Origin::default() };
        let mut parquet = Parquet::open(&dir.path().join("new/folder"), "run", &origin, Duration::from_secs(3600)).unwrap();
        let all = rows(5);
        for part in [&all[..3], &all[3..]] {
            parquet.write(&part.iter().map(|r| (r, Record::of(r, None))).collect::<Vec<_>>());
            assert!(!parquet.is_due());
        }
        parquet.flush().unwrap();
        parquet.flush().unwrap();
        let [file] = &files(&parquet.folder)[..] else { panic!("one file") };
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
        let about = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let said = about.iter().find(|entry| entry.key == ORIGIN).and_then(|entry| entry.value.clone()).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["digest"], "ab12");
        let reader = reader.build().unwrap();
        let mut back: Vec<Row> = Vec::new();
        for batch in reader {
            back.extend(serde_arrow::from_record_batch::<Vec<Row>>(&batch.unwrap()).unwrap());
        }
        assert_eq!(back.len(), 5);
        assert_eq!((back[4].plate.as_str(), back[4].captured_at.as_deref()), ("AB4", Some("2023-11-14T22:13:20.000Z")));
        assert_eq!((back[3].captured_at.as_deref(), back[3].votes.len(), &back[3].votes[1].frames), (None, 2, &vec![1, 2]));
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_the_readings() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("readings");
        let mut parquet = Parquet::open(&folder, "run", &Origin::default(), Duration::ZERO).unwrap();
        let all = rows(2);
        parquet.write(&all.iter().map(|r| (r, Record::of(r, None))).collect::<Vec<_>>());
        std::fs::remove_dir(&folder).unwrap();
        assert!(parquet.is_due());
        let error = parquet.flush().unwrap_err().to_string();
        assert!(error.contains("cannot be written"), "{error}");
        assert!(!parquet.is_due(), "a file that fails is not tried at each tick");
        assert_eq!((parquet.bound(1), parquet.rows[0].plate.as_str()), (1, "AB1"), "the oldest goes");
        std::fs::create_dir(&folder).unwrap();
        parquet.flush().unwrap();
        assert_eq!(files(&folder).len(), 1);
    }
}
