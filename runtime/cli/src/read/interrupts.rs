//! Ctrl-C and SIGTERM, counted: the first asks a run to end, more of them to end at once.

use crate::failure::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often the user has asked to end. Clones count together.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Counts from now on; neither signal ends this process any more.
    ///
    /// # Errors
    /// The system takes no handler.
    pub fn watch() -> Result<Self, Failure> {
        let mut signals =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(|e| Failure::failed(format!("signal handler: {e}")))?;
        let interrupts = Self::default();
        let counter = interrupts.clone();
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                counter.0.fetch_add(1, Ordering::SeqCst);
            }
        });
        thread.map(|_| interrupts).map_err(|e| Failure::failed(format!("signal thread: {e}")))
    }

    /// So often.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
