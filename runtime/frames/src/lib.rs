//! Frames in shared memory: pools, handles, leases.
//!
//! Pixels stay where they were decoded; a message carries a [`Handle`] of 192 bytes. A producer owns one [`Pool`] per output:
//! N slots of one size inside one sealed memfd, or in one allocation of a card's memory ([`Memory`]). A consumer process owns one
//! [`Client`], which joins a pool over its Unix socket at the first handle it sees, maps the pool once, and from then on takes and
//! gives back slots with one atomic operation each.
//!
//! ```text
//! producer:  Pool::create -> begin_write -> Loaned -> fill(Layout) -> Filled -> publish(meta) -> Published { handle, seq }
//! consumer:  observe(handle) -> acquire(handle) -> Acquired -> ack() | drop
//! ```
//!
//! On a card the steps that hand a slot over wait for the work that is under way there: `fill_after(layout, &stream)` and
//! `ack_after(&stream)` in place of `fill` and `ack`.
//!
//! Acquisitions are counted, never messages; memory is reclaimed on the proven death of a consumer, never on time. A message is a
//! doorbell, the shared pages are the truth: [`Client::observe`] and [`Client::recover`] pull what a lost doorbell did not tell.
//!
//! Modes: [`Mode::Live`] reuses the oldest slot that nobody holds and never waits, so a late handle is
//! [`AcquireError::Stale`]. [`Mode::Lossless`] reuses a slot only when each declared consumer has acknowledged its frame.

#![deny(unsafe_code)]

/// Names a place where the chaos harness kills or stops the process. Nothing at all without the feature `proofs`.
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(feature = "proofs")]
        crate::proofs::reached($name);
    };
}

mod acquired;
mod book;
pub mod choice;
mod client;
mod config;
mod data;
mod error;
mod handle;
mod import;
mod layout;
mod loan;
mod meta;
#[cfg(test)]
mod model;
#[cfg(test)]
mod one_mapping;
mod pages;
mod pool;
#[cfg(feature = "proofs")]
pub mod proofs;
mod reaper;
mod runtime_dir;
mod samples;
mod shm;
mod stats;
mod stop;
mod waiting;
mod window;
mod wire;
mod word;

pub use acquired::Acquired;
pub use client::{Client, ClientConfig};
pub use config::{Backend, ConsumerSpec, MAX_CONSUMERS, MAX_SLOTS, Mode, NODE_MAX_HELD, PoolConfig};
pub use data::Memory;
pub use error::{AcquireError, BeginWriteError, DrainError, FillError, JoinError, PoolError};
pub use handle::{Descriptor, HANDLE_BYTES, Handle, HandleBytes, HandleError, PoolId};
pub use layout::{ImageLayout, Layout, LayoutError, MAX_PLANES, MAX_RANK, Plane, TensorLayout};
pub use loan::{Filled, Loaned, Published, SlotHold};
pub use meta::{FrameMeta, MAX_SOURCE_BYTES, SourceName, SourceNameError, View};
pub use pool::{Pool, PoolWatch};
pub use runtime_dir::runtime_base;
pub use samples::{Colour, DType, Matrix, PixelFormat, Range};
pub use stats::{ClientPoolStats, ConsumerStats, PoolStats};
pub use stop::StopFlag;
pub use waiting::waited;
