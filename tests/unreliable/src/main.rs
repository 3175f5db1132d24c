//! Passes rows on as a bad transport would. `FAULTS: repeat+swap` sends messages twice and in another order, `lose` leaves out the
//! second one, `lose-some` every fourth, `all` does all of that. `delay` holds each message back for up to 40 ms.
//!
//! Rows of `frames/v1` name buffers: this node is one of their declared readers, never takes them, and is done with each as soon as its
//! message went out or was left out. `lost_rows` of its statistics counts those that were left out; the ends of cameras do not count.

use gantry_contract::{Arity, Contract, choice_param, input, list, output, text};
use gantry_frames::{Client, Handle, Mode};
use gantry_messages::{DetectionsRow, FrameRow, Message, PixelsRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::process::ExitCode;
use std::time::Duration;

const CONTRACT: Contract = Contract {
    name: text("unreliable"),
    summary: text("Repeats, swaps, loses or delays the messages that it passes on; for tests."),
    inputs: list(
        const {
            &[
                input("detections", "detections/v1", Arity::Optional, "what is passed on"),
                input("frames", "frames/v1", Arity::Optional, "what is passed on"),
                input("pixels", "pixels/v1", Arity::Optional, "what is passed on"),
            ]
        },
    ),
    outputs: list(
        const {
            &[
                output("detections", "detections/v1", "the same rows, not always once and in order"),
                output("frames", "frames/v1", "the same rows, not always once and in order"),
                output("pixels", "pixels/v1", "the same rows, not always once and in order"),
            ]
        },
    ),
    params: list(
        const {
            &[choice_param(
                "faults",
                const { &[text("none"), text("repeat+swap"), text("lose"), text("lose-some"), text("all"), text("delay")] },
                "none",
                "what happens to messages",
            )]
        },
    ),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    faults: Faults,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
enum Faults {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "repeat+swap")]
    RepeatAndSwap,
    #[serde(rename = "lose")]
    Lose,
    #[serde(rename = "lose-some")]
    LoseSome,
    #[serde(rename = "all")]
    All,
    #[serde(rename = "delay")]
    Delay,
}

struct Unreliable {
    client: Client,
    detections: Line<DetectionsRow>,
    frames: Line<FrameRow>,
    pixels: Line<PixelsRow>,
}

/// One port, in and out.
struct Line<T> {
    port: &'static str,
    faults: Faults,
    /// Rows in each message that goes out: the number of messages must not depend on the time.
    rows_each: usize,
    rows: Vec<T>,
    sent: usize,
    held_back: Vec<T>,
    /// One of so many messages is lost where some are.
    one_of: usize,
    /// The end of a camera can be lost for ever: its reader does without. Else it counts as any other message.
    loses_ends: bool,
}

/// Rows in each message of a lossless run; a live one does not wait for more.
const ROWS: usize = 8;

impl Stage for Unreliable {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let rows_each = if context.mode == Mode::Live { 1 } else { ROWS };
        let (client, faults) = (context.client(1)?, params.faults);
        let detections = Line::new("detections", faults, rows_each);
        let frames = Line::new("frames", faults, rows_each);
        // Their sender waits for an answer after 4 of them and repeats those: with one of 4 it would always be the same that is lost.
        let pixels = Line { one_of: 5, loses_ends: false, ..Line::new("pixels", faults, 1) };
        Ok(Self { client, detections, frames, pixels })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if input.port == self.detections.port {
            return self.detections.take(input.rows()?, out);
        }
        if input.port == self.pixels.port {
            return self.pixels.take(input.rows()?, out);
        }
        let rows: Vec<FrameRow> = input.rows()?;
        let handles: Vec<Handle> = rows.iter().filter(|row| !row.end).map(|row| Handle::from_bytes(row.handle)).collect();
        self.frames.take(rows, out)?;
        handles.iter().try_for_each(|handle| Ok(self.client.ack(handle)?))
    }
}

impl<T: Message + Clone> Line<T> {
    fn new(port: &'static str, faults: Faults, rows_each: usize) -> Self {
        Self { port, faults, rows_each, rows: Vec::new(), sent: 0, held_back: Vec::new(), one_of: 4, loses_ends: true }
    }

    fn take(&mut self, rows: Vec<T>, out: &mut Outputs) -> Result<(), Fault> {
        for row in rows {
            let end = row.is_end();
            self.rows.push(row);
            if self.rows.len() == self.rows_each || end {
                let rows = std::mem::take(&mut self.rows);
                self.pass_on(rows, end, out)?;
            }
        }
        Ok(())
    }

    fn pass_on(&mut self, rows: Vec<T>, end: bool, out: &mut Outputs) -> Result<(), Fault> {
        let turn = self.sent;
        self.sent += 1;
        let (loses, mixes) = match self.faults {
            Faults::None | Faults::Delay => (false, false),
            Faults::RepeatAndSwap => (false, true),
            Faults::Lose => (turn == 1, false),
            Faults::LoseSome => (turn.is_multiple_of(4), false),
            // The first one and every fourth behind it, and the last.
            Faults::All => (turn.is_multiple_of(self.one_of) || (end && self.loses_ends), true),
        };
        if self.faults == Faults::Delay {
            // 0 to 40 ms, another time for each message.
            let ms = (turn as u64).wrapping_mul(0x9e37_79b9) >> 7 & 0x3f;
            std::thread::sleep(Duration::from_millis(ms.min(40)));
        }
        if loses {
            out.count("lost_rows", rows.iter().filter(|row| !row.is_end()).count() as u64);
        } else if mixes && turn % 5 == 1 && !end {
            // Every fifth message comes after the next one.
            self.held_back = rows;
            return Ok(());
        } else {
            out.send(self.port, &rows)?;
        }
        out.send(self.port, &std::mem::take(&mut self.held_back))?;
        // Every third comes twice.
        if mixes && !loses && turn.is_multiple_of(3) { out.send(self.port, &rows) } else { Ok(()) }
    }
}

fn main() -> ExitCode {
    gantry_node::run::<Unreliable>()
}
