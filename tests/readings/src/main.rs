//! Sends `COUNT` readings of two cameras, `PER_SECOND` of them, with rising track numbers, and ends.

use gantry_contract::{Contract, int_param, list, output, text};
use gantry_messages::{ReadingRow, Vote};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use serde::Deserialize;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const CONTRACT: Contract = Contract {
    name: text("readings_source"),
    summary: text("Sends made-up readings; for tests."),
    inputs: list(&[]),
    outputs: list(const { &[output("readings", "readings/v1", "cameras `entry` and `exit` in turn")] }),
    params: list(
        const { &[int_param("count", "", 1, 1_000_000, 100, "how many"), int_param("per_second", "1/s", 1, 10_000, 50, "how fast")] },
    ),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    count: u64,
    per_second: u64,
}

struct Source {
    params: Params,
    started: Option<Instant>,
    sent: u64,
}

impl Stage for Source {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, _context: &Context) -> Result<Self, Fault> {
        Ok(Self { params, started: None, sent: 0 })
    }

    fn on_input(&mut self, _input: &Input, _out: &mut Outputs) -> Result<(), Fault> {
        Ok(())
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        if self.sent == self.params.count {
            return Ok(Work::Done);
        }
        let due = (self.started.get_or_insert_with(Instant::now).elapsed().as_millis() as u64 * self.params.per_second) / 1000;
        let rows: Vec<ReadingRow> = (self.sent..due.min(self.params.count)).map(reading).collect();
        self.sent += rows.len() as u64;
        out.send("readings", &rows)?;
        Ok(Work::After(Duration::from_millis(1000 / self.params.per_second.min(200))))
    }
}

fn reading(n: u64) -> ReadingRow {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    ReadingRow {
        source: if n.is_multiple_of(2) { "entry" } else { "exit" }.to_owned(),
        track_id: n + 1,
        first_frame: n,
        plate: format!("KXW{n:05}"),
        confidence: 0.9,
        captured_ns: i64::try_from(now.as_nanos()).unwrap_or(0),
        votes: vec![Vote { text: format!("KXW{n:05}"), variant: "original".to_owned(), frames: vec![n, n + 1], weight: 1.5 }],
        evidence: vec![0xff, 0xd8, 0xff],
        ..ReadingRow::default()
    }
}

fn main() -> ExitCode {
    gantry_node::run::<Source>()
}
