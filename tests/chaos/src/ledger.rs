//! The books: what one consumer was told of, read and found stale.

use std::collections::BTreeSet;

/// What one consumer got of the pool of today.
#[derive(Default)]
pub struct Ledger {
    pub next: u64,
    /// Where its next incarnation must begin: the cursor at its death.
    pub resume: Option<u64>,
    pub used: BTreeSet<u64>,
    pub stale: BTreeSet<u64>,
    pub forwarded: BTreeSet<u64>,
    pub kills: u64,
}
