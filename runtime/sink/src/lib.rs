//! What the sinks share. A sink is a [`FarEnd`] (how to hand entries to a server) and a contract; the rest is here.
//!
//! ```text
//!  readings, visits ──► Entry (JSON, idempotency key) ──► spool on disk, fsync ──► thread: FarEnd::send ──► ack
//!                                                                        └── away: wait 0.1 s, 0.2 s, ... and the same again
//! ```
//!
//! - **At least once.** What is in the spool is sent until the far end has it, over its outages, restarts of the node and of the
//!   machine. What comes twice has the same key ([`key_of_reading`]).
//! - **Order.** Entries are sent in the order in which they came, so those of a camera arrive in order. A receiver that leaves out the keys
//!   that it knows sees each once and in order.
//! - **An entry that the far end will never take** (it says so) is put aside into `refused.jsonl` of the spool's folder, counted, and
//!   does not hold up the others.
//! - **A disk that cannot be written** holds entries in memory, a bounded number, until it can.

mod body;
mod contract;
mod delivery;
mod far_end;
mod params;
mod refused;
mod stage;
pub mod testing;

pub use body::{key_of_reading, reading_entry, visit_entry};
pub use contract::*;
pub use far_end::{FarEnd, Sent, Trouble};
pub use gantry_spool::{Entry, WhenFull};
pub use params::{SinkConfig, SinkParams};
pub use stage::{Sink, SinkNode};
