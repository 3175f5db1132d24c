//! A queue on disk, for what must reach a far end that may be away.
//!
//! ```text
//!  append ──► 00000000000000000001.segment   fsync before it returns
//!             00000000000000004711.segment ──► peek, in order, until ──► ack
//!             acked                            the last sequence number that the far end has
//! ```
//!
//! - **Nothing that was appended is lost** by a kill, a crash or a power cut: [`Spool::append`] returns after the disk has it.
//! - **Order**: entries come back in the order in which they were appended, so those of one camera do, too.
//! - **At least once**: an entry comes back until it is acked. The last acks before a power cut may be forgotten; the
//!   [`Entry::key`] tells a receiver what it has already.
//! - **Bounded**: above [`SpoolConfig::max_bytes`] the oldest entries go, or new ones are refused ([`WhenFull`]); both are counted.
//! - **Damage is contained**: every record has a checksum. A torn end or a flipped bit costs the record it lies in, and no other.
//! - What was acked leaves the disk with its segment, at the latest with [`Spool::tidy`].
//!
//! ```
//! use gantry_spool::{Entry, Spool, SpoolConfig};
//! # let dir = std::env::temp_dir().join(format!("gantry-spool-doc-{}", std::process::id()));
//! let mut spool = Spool::open(SpoolConfig::new(&dir, 64 << 20))?;
//! let entry = Entry { key: "run/gate/7/120".into(), kind: "reading".into(), camera: "gate".into(), body: b"{}".to_vec() };
//! spool.append(&[entry])?;
//! for (seq, entry) in spool.peek(16)? {
//!     // ... the far end has `entry` ...
//!     spool.ack(seq)?;
//! }
//! assert_eq!(spool.stats().waiting, 0);
//! # std::fs::remove_dir_all(dir).unwrap();
//! # Ok::<(), gantry_spool::SpoolError>(())
//! ```

mod cursor;
mod error;
mod record;
mod segment;
mod spool;

pub use error::SpoolError;
pub use record::{Entry, MAX_ENTRY_BYTES};
pub use spool::{Spool, SpoolConfig, SpoolStats, WhenFull};
