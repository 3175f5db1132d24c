//! What the whole-system tests share: a sandbox in which the built `gantry` runs, and which sees what a run leaves behind.
//!
//! Every process of a run inherits the variable [`MARK_ENV`], so that a test finds its own processes and no other test's, whoever
//! started or adopted them. The tests need `target/release` built and `cargo xtask setup` done; `cargo xtask test` does both.

mod arrivals;
mod browser;
mod disks;
mod files;
mod processes;
mod readings;
mod run;
mod schedules;
mod site;
mod written;

pub use arrivals::{assert_spool_is_empty, once, said, spooled};
pub use browser::{Browser, Page};
pub use disks::Disk;
pub use files::{clip, odd_inputs, program, root, unreliable_graph};
pub use processes::{Process, may_mount};
pub use readings::{Stats, lines, stats};
pub use run::{Finished, Running, Sandbox};
pub use schedules::{Busy, Schedule};
pub use site::{ReadingsSite, site_folder};
pub use written::Written;

/// Carried by every process of a sandbox.
pub const MARK_ENV: &str = "GANTRY_SYSTEM_TEST";
