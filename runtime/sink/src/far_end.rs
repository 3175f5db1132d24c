use gantry_spool::Entry;
use std::time::Duration;

/// A server that takes entries.
pub trait FarEnd: Send + 'static {
    /// Hands over entries, in order, and says how many of the first ones the server has for certain. Takes seconds at most: it is
    /// asked again. What it says never shows plates or passwords.
    fn send(&mut self, entries: &[Entry]) -> Sent;

    /// Called ten times a second while there is nothing to send, for protocols that must say that they are alive. Must not wait.
    fn idle(&mut self) {}
}

/// What became of an attempt.
#[derive(Debug, Default)]
pub struct Sent {
    /// The server has these first entries.
    pub taken: usize,
    /// Why not the next one.
    pub trouble: Option<Trouble>,
}

/// Why an entry was not taken.
#[derive(Debug)]
pub enum Trouble {
    /// The server is away or busy: the same later.
    Away {
        /// Why.
        why: String,
        /// When, if the server said so.
        after: Option<Duration>,
    },
    /// The server has read this entry and will never take it.
    Refused {
        /// Why.
        why: String,
    },
}

impl Sent {
    /// All of `entries` are there.
    #[must_use]
    pub fn all(entries: &[Entry]) -> Self {
        Self { taken: entries.len(), trouble: None }
    }

    /// The first `taken` are there, then it went away.
    #[must_use]
    pub fn away(taken: usize, why: impl Into<String>) -> Self {
        Self { taken, trouble: Some(Trouble::Away { why: why.into(), after: None }) }
    }
}
