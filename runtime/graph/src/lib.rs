//! Graph files: reading, expanding and checking them before anything starts.
//!
//! A graph is a dora dataflow (YAML). [`Graph::read`] reads it and expands its modules, [`check`] compares it with the
//! contracts of its nodes and with the rules of the engine and reports all faults at once, [`Graph::for_cameras`] repeats
//! the per-camera part (what is named `_cam0`) for each source.

mod check;
mod contracts;
mod edit;
mod faults;
mod file;
mod files;
mod memory;
mod modules;
mod pools;
mod repeat;
mod replay;
mod swap;

pub use check::check;
pub use contracts::{contract_of, goes_downstream};
pub use faults::{GraphFault, render};
pub use file::{Graph, InputSpec, NodeSpec, Origin};
pub use files::files;
pub use pools::{PoolSize, pool_sizes};
pub use repeat::Camera;
pub use replay::{Here, for_replay};
pub use swap::replace;
