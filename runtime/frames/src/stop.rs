//! A flag that ends waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells everything that waits to return; clones share the flag. Waiters look at it at least every 20 ms.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, for good.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the flag was set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
