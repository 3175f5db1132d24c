//! Ends FFmpeg's waits for the network: at a flag, or when nothing came for too long.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No deadline.
const NEVER: u64 = u64::MAX;

/// What FFmpeg asks, about ten times a second, while it waits. It reads it through a raw pointer, so it lives in a box.
#[derive(Debug)]
pub(crate) struct Patience {
    stop: Option<Arc<AtomicBool>>,
    born: Instant,
    /// Milliseconds after `born`.
    deadline: AtomicU64,
}

impl Patience {
    pub(crate) fn new(stop: Option<Arc<AtomicBool>>) -> Box<Self> {
        Box::new(Self { stop, born: Instant::now(), deadline: AtomicU64::new(NEVER) })
    }

    /// From now on a wait of `limit` in all is too long; `None`: none is.
    pub(crate) fn allow(&self, limit: Option<Duration>) {
        let until = limit.map_or(NEVER, |limit| (self.born.elapsed() + limit).as_millis() as u64);
        self.deadline.store(until, Ordering::Relaxed);
    }

    /// Whether the deadline has passed, which tells a stall from a stop.
    pub(crate) fn is_over(&self) -> bool {
        self.born.elapsed().as_millis() as u64 >= self.deadline.load(Ordering::Relaxed)
    }

    /// Whether a wait is to end.
    pub(crate) fn ends(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) || self.is_over()
    }
}

/// # Safety
/// `patience` points to a [`Patience`] that outlives every call on the context that it was given to.
pub(crate) unsafe extern "C" fn interrupted(patience: *mut c_void) -> c_int {
    // SAFETY: by the promise above.
    let patience = unsafe { &*patience.cast::<Patience>() };
    c_int::from(patience.ends())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_the_flag_or_at_the_deadline_and_tells_which() {
        let stop = Arc::new(AtomicBool::new(false));
        let patience = Patience::new(Some(stop.clone()));
        assert!(!patience.ends());
        patience.allow(Some(Duration::from_secs(3600)));
        assert!(!patience.ends() && !patience.is_over());
        patience.allow(Some(Duration::ZERO));
        assert!(patience.ends() && patience.is_over());
        patience.allow(None);
        assert!(!patience.ends());
        stop.store(true, Ordering::Relaxed);
        assert!(patience.ends() && !patience.is_over());
    }
}
