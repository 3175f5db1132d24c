//! How long this thread has waited for free slots, so that a node can tell its work from its waits.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

pub(crate) fn add(time: Duration) {
    WAITED.with(|sum| sum.set(sum.get() + time));
}

/// Time that the calling thread has spent in [`Pool::begin_write`](crate::Pool::begin_write) waiting for a free slot, since it began.
#[must_use]
pub fn waited() -> Duration {
    WAITED.with(Cell::get)
}
