//! What the whole-system tests share: a sandbox in which the built `gantry` runs, and which sees what a run leaves behind.
//!
//! Every process of a run inherits the variable [`MARK_ENV`], so that a test finds its own processes and no other test's, whoever
//! started or adopted them. The tests need `target/release` built and `cargo xtask setup` done; `cargo xtask test` does both.

mod arrivals;
mod authority;
mod browser;
mod disks;
mod files;
mod http_camera;
mod live;
mod page;
mod processes;
mod readings;
mod readings_site;
mod run;
mod schedules;
mod secrets;
mod seen;
mod site;
mod soak;
mod videos;
mod written;

pub use arrivals::{assert_spool_is_empty, once, said, spooled};
pub use authority::Authority;
pub use browser::{Browser, Page};
pub use disks::Disk;
pub use files::{clip, odd_inputs, program, root, unreliable_graph};
pub use http_camera::HttpCamera;
pub use live::{Live, Passes, Seen as LiveSeen, Setting as LiveSetting};
pub use page::{abouts, ask, find, get, page_of};
pub use processes::{Process, may_mount};
pub use readings::{Stats, lines, stats};
pub use readings_site::{ReadingsSite, site_folder};
pub use run::{Finished, Running, Sandbox};
pub use schedules::{Busy, Schedule};
pub use seen::{Seen, now_ns};
pub use site::{Site, shipped, two_live_cameras, watched};
pub use soak::{Limits, Outcome, Sample, Series, Soak, Verdict, sample};
pub use videos::{as_a_camera_sends, traffic, video};
pub use written::Written;

/// Carried by every process of a sandbox.
pub const MARK_ENV: &str = "GANTRY_SYSTEM_TEST";
