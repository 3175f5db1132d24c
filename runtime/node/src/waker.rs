//! Wakes a stage that waits for the next event.

use dora_node_api::Event;
use std::fmt;
use std::sync::mpsc::SyncSender;

/// What a node waits for.
pub(crate) enum Happening {
    Event(Event),
    Woken,
    /// dora has no more events.
    Over,
}

/// Lets a thread of a stage have [`crate::Stage::work`] called, also where no event comes.
#[derive(Clone, Default)]
pub struct Waker(Option<SyncSender<Happening>>);

impl Waker {
    pub(crate) fn new(happens: SyncSender<Happening>) -> Self {
        Self(Some(happens))
    }

    /// Has `work` called soon. Does nothing in tests, which call it themselves.
    pub fn wake(&self) {
        if let Some(happens) = &self.0 {
            // Where the queue is full the stage is awake; where nobody listens it has ended.
            let _ = happens.try_send(Happening::Woken);
        }
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn it_wakes_whoever_waits_and_waits_for_nobody() {
        let (happens, happenings) = sync_channel(1);
        let waker = Waker::new(happens);
        waker.wake();
        // The queue is full: the stage is awake.
        waker.wake();
        assert!(matches!(happenings.recv(), Ok(Happening::Woken)));
        assert!(happenings.try_recv().is_err());
        drop(happenings);
        waker.wake();
    }
}
