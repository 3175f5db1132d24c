//! What the whole-system tests share: a sandbox in which the built `gantry` runs, and which sees what a run leaves behind.
//!
//! Every process of a run inherits the variable [`MARK_ENV`], so that a test finds its own processes and no other test's, whoever
//! started or adopted them. The tests need `target/release` built and `cargo xtask setup` done; `cargo xtask test` does both.

mod browser;
mod files;
mod processes;
mod readings;
mod run;
mod schedules;
mod soak;
mod written;

pub use browser::{Browser, Page};
pub use files::{as_a_camera_sends, clip, odd_inputs, program, root, unreliable_graph};
pub use processes::{Process, may_mount};
pub use readings::{Stats, lines, stats};
pub use run::{Finished, Running, Sandbox};
pub use schedules::{Busy, Schedule};
pub use soak::{Limits, Sample, Seen, Series, Soak, Verdict, sample};
pub use written::Written;

/// Carried by every process of a sandbox.
pub const MARK_ENV: &str = "GANTRY_SYSTEM_TEST";
