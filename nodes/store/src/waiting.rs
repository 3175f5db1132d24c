//! Readings and events on their way to the disk: in a live site those that it does not take wait until it does.

use crate::evidence::Evidence;
use crate::jsonl::Jsonl;
use gantry_messages::{ReadingRow, VisitRow};
use gantry_node::Fault;
use gantry_records::{Record, VisitRecord};
use std::collections::VecDeque;

/// What waits at most, of either kind: a reading takes 5 to 50 kB with the picture of its plate.
pub(crate) const MAX_HELD: usize = 10_000;
/// Readings that wait with the picture of their whole frame, another 50 kB or so.
const MAX_OVERVIEWS: usize = 1000;

/// Why something is not on the disk.
pub(crate) struct Unwritten {
    pub fault: Fault,
    /// Whether the same may go later: a disk that is full, and not a reading that fits no table.
    pub may_pass: bool,
}

impl Unwritten {
    /// A file that cannot be written now.
    pub fn now(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { fault: Fault::from(error).hint(crate::HINT), may_pass: true }
    }
}

struct Reading {
    row: ReadingRow,
    /// Once its picture is written.
    record: Option<Record>,
    has_line: bool,
}

/// What has come and is not written to every place yet, oldest first.
#[derive(Default)]
pub(crate) struct Waiting {
    readings: VecDeque<Reading>,
    visits: VecDeque<VisitRow>,
}

impl Waiting {
    pub fn add_readings(&mut self, rows: impl IntoIterator<Item = ReadingRow>) {
        self.readings.extend(rows.into_iter().map(|row| Reading { row, record: None, has_line: false }));
    }

    pub fn add_visits(&mut self, rows: impl IntoIterator<Item = VisitRow>) {
        self.visits.extend(rows);
    }

    pub fn len(&self) -> usize {
        self.readings.len() + self.visits.len()
    }

    /// Writes the picture of each reading and then its line, so that a disk that fills up at the next picture has this reading complete.
    pub fn write_lines(&mut self, evidence: Option<&Evidence>, mut jsonl: Option<&mut Jsonl>) -> Result<(), Unwritten> {
        for Reading { row, record, has_line } in &mut self.readings {
            let record = match record {
                Some(record) => record,
                None => {
                    let (picture, overview) = evidence.map(|e| e.write(row)).transpose().map_err(Unwritten::now)?.unwrap_or_default();
                    record.insert(Record::of(row, picture).with_overview(overview))
                }
            };
            if let Some(jsonl) = jsonl.as_mut().filter(|_| !*has_line) {
                jsonl.write(record).map_err(Unwritten::now)?;
            }
            *has_line = true;
        }
        Ok(())
    }

    /// The readings with their records, after [`Waiting::write_lines`].
    pub fn records(&self) -> Vec<(&ReadingRow, Record)> {
        self.readings.iter().filter_map(|reading| Some((&reading.row, reading.record.clone()?))).collect()
    }

    /// The readings are everywhere.
    pub fn readings_are_written(&mut self) {
        self.readings.clear();
    }

    /// Writes events of visits; how many.
    pub fn write_visits(&mut self, file: &mut Jsonl) -> (u64, Result<(), Unwritten>) {
        let mut written = 0;
        while let Some(row) = self.visits.front() {
            if let Err(error) = file.append(&VisitRecord::of(row)) {
                return (written, Err(Unwritten::now(error)));
            }
            written += 1;
            self.visits.pop_front();
        }
        (written, Ok(()))
    }

    /// Gives up the oldest above [`MAX_HELD`]; how many.
    pub fn bound(&mut self) -> u64 {
        let readings = self.readings.len().saturating_sub(MAX_HELD);
        let visits = self.visits.len().saturating_sub(MAX_HELD);
        self.readings.drain(..readings);
        let without = self.readings.len().saturating_sub(MAX_OVERVIEWS);
        self.readings.iter_mut().take(without).for_each(|reading| reading.row.overview = Vec::new());
        self.visits.drain(..visits);
        (readings + visits) as u64
    }
}
