//! The `gantry` command, as a library: `tests/accuracy` and the tests call the same code.

#[macro_use]
pub mod stdout;

mod annotate;
pub mod check;
pub mod compare;
pub mod doctor;
mod draw;
pub mod failure;
mod login;
pub mod ocr;
pub mod paths;
pub mod plan;
pub mod probe;
pub mod read;
pub mod record;
pub mod replay;
pub mod report;
pub mod runs;
pub mod score;
pub mod top;
