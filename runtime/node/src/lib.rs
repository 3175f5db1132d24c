//! The harness that every node runs in.
//!
//! A node implements [`Stage`] and its `main` calls [`run`]. The harness reads the node's place in the graph and its
//! parameters, receives events, checks message types, counts gaps, writes statistics, follows `dora param set`, and ends
//! the node when its inputs are closed or dora says stop.
//!
//! ```text
//!  dora event thread ──► bounded queue ──► Stage::on_input / on_tick / on_params / work ──► Outputs ──► dora
//!        └─ Stop, SIGTERM ──► StopFlag (also ends a wait for a free slot)
//! ```

mod added;
mod backoff;
mod busy;
mod context;
mod delivery;
mod episode;
mod fault;
mod frames;
mod harness;
mod input;
mod latency;
mod memory;
mod outputs;
mod rates;
mod scheduling;
mod shortage;
mod stats;
pub mod testing;
mod topology;
mod waker;
mod writer;
mod zenoh;

pub use added::READERS_ENV;
pub use backoff::Backoff;
pub use busy::{BUSY_EDGES_US, Busy};
pub use context::Context;
pub use episode::Episode;
pub use fault::Fault;
pub use frames::frame_row;
pub use harness::run;
pub use input::Input;
pub use latency::{LATENCY_EDGES_MS, Latency};
pub use outputs::Outputs;
pub use scheduling::give_way;
pub use shortage::Shortage;
pub use stats::{CopyStats, MadeStats, NodeStats, ReadStats, STATS_DIR};
pub use topology::{Consumer, Edge};
pub use waker::Waker;
pub use writer::{Encoded, Writer};
pub use zenoh::{ZENOH_OVERLAY, ZENOH_OVERLAY_ENV};

/// Environment variable that names the folder for statistics and faults of a run.
pub const RUN_DIR_ENV: &str = "GANTRY_RUN_DIR";
/// Environment variable of the graph: `live` or `lossless` (default).
pub const MODE_ENV: &str = "GANTRY_MODE";
/// Environment variable of a node: `auto` (default), `cuda` or `host`, where its buffers lie.
pub const MEMORY_ENV: &str = "GANTRY_MEMORY";
/// Environment variable that names the folder of the pool sockets.
pub const RUNTIME_DIR_ENV: &str = "GANTRY_RUNTIME_DIR";

/// What a [`Stage`] wants next, when no input is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Wait for the next event.
    Idle,
    /// Call `work` again after a look at the inputs.
    Again,
    /// Call `work` again after this time, or after the next event.
    After(std::time::Duration),
    /// The node has done its job: finish and exit.
    Done,
}

/// One job of the graph.
pub trait Stage: Sized {
    /// Parameters, with the names of the contract; `deny_unknown_fields`.
    type Params: serde::de::DeserializeOwned;
    /// Ports and parameters.
    const CONTRACT: gantry_contract::Contract;

    /// Loads what the node needs: models, pools whose sizes are known, output files.
    ///
    /// # Errors
    /// Whatever keeps the node from working; it ends with an error exit.
    fn open(params: Self::Params, context: &Context) -> Result<Self, Fault>;

    /// Takes one message.
    ///
    /// # Errors
    /// What cannot be skipped; the node ends with an error exit.
    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault>;

    /// Called whenever no input is waiting.
    ///
    /// # Errors
    /// As [`Stage::on_input`].
    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        let _ = out;
        Ok(Work::Idle)
    }

    /// Called at each timer input (`tick`): twice a second in the shipped graphs.
    ///
    /// # Errors
    /// As [`Stage::on_input`].
    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let _ = out;
        Ok(())
    }

    /// Takes the complete new parameters after `dora param set` changed a live one.
    ///
    /// # Errors
    /// As [`Stage::on_input`].
    fn on_params(&mut self, params: Self::Params) -> Result<(), Fault> {
        let _ = params;
        Ok(())
    }

    /// An upstream node was restarted: forget what was agreed with it.
    ///
    /// # Errors
    /// As [`Stage::on_input`].
    fn on_peer_restarted(&mut self, node_id: &str, out: &mut Outputs) -> Result<(), Fault> {
        let _ = (node_id, out);
        Ok(())
    }

    /// All inputs are closed, or dora said stop: send what is still held, wait for readers of the pools.
    ///
    /// # Errors
    /// As [`Stage::on_input`].
    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let _ = out;
        Ok(())
    }
}
