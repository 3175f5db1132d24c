//! Passes detections on as a bad transport would: `FAULTS: repeat+swap` sends messages twice and in another order, `lose` leaves
//! out the second one.

use gantry_contract::{Arity, Contract, choice_param, input, list, output, text};
use gantry_messages::DetectionsRow;
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::process::ExitCode;

const CONTRACT: Contract = Contract {
    name: text("unreliable"),
    summary: text("Repeats, swaps or loses the messages that it passes on; for tests."),
    inputs: list(const { &[input("detections", "detections/v1", Arity::One, "what is passed on")] }),
    outputs: list(const { &[output("detections", "detections/v1", "the same rows, not always once and in order")] }),
    params: list(
        const { &[choice_param("faults", const { &[text("none"), text("repeat+swap"), text("lose")] }, "none", "what happens to messages")] },
    ),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    faults: Faults,
}

#[derive(PartialEq, Deserialize)]
enum Faults {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "repeat+swap")]
    RepeatAndSwap,
    #[serde(rename = "lose")]
    Lose,
}

struct Unreliable {
    faults: Faults,
    /// Frames that are sent in one message: the number of messages must not depend on the time.
    rows: Vec<DetectionsRow>,
    sent: usize,
    held_back: Vec<DetectionsRow>,
}

/// Rows in each message that goes out.
const ROWS: usize = 8;

impl Stage for Unreliable {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, _context: &Context) -> Result<Self, Fault> {
        Ok(Self { faults: params.faults, rows: Vec::new(), sent: 0, held_back: Vec::new() })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        for row in input.rows::<DetectionsRow>()? {
            let end = row.end;
            self.rows.push(row);
            if self.rows.len() == ROWS || end {
                let rows = std::mem::take(&mut self.rows);
                self.pass_on(rows, end, out)?;
            }
        }
        Ok(())
    }
}

impl Unreliable {
    fn pass_on(&mut self, rows: Vec<DetectionsRow>, end: bool, out: &mut Outputs) -> Result<(), Fault> {
        let turn = self.sent;
        self.sent += 1;
        match self.faults {
            Faults::Lose if turn == 1 => Ok(()),
            // Every fifth message comes after the next one.
            Faults::RepeatAndSwap if turn % 5 == 1 && !end => {
                self.held_back = rows;
                Ok(())
            }
            Faults::RepeatAndSwap => {
                out.send("detections", &rows)?;
                out.send("detections", &std::mem::take(&mut self.held_back))?;
                // Every third comes twice.
                if turn.is_multiple_of(3) { out.send("detections", &rows) } else { Ok(()) }
            }
            Faults::None | Faults::Lose => out.send("detections", &rows),
        }
    }
}

fn main() -> ExitCode {
    gantry_node::run::<Unreliable>()
}
