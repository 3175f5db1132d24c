//! What was sent and not yet acknowledged: pure bookkeeping, no clock, no dora.

use gantry_messages::{CreditRow, PacketRow};
use std::collections::VecDeque;

/// Packets under way.
#[derive(Debug)]
pub struct Window {
    rows: VecDeque<PacketRow>,
    /// Number of the first row in `rows`: everything before it is acknowledged.
    acknowledged: u64,
    /// Rows at the end of `rows` that were not sent yet.
    unsent: usize,
    bytes: usize,
    max_packets: u64,
    max_bytes: usize,
    ended: bool,
    finished: bool,
}

/// The receiver asks for packets that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPlace {
    /// Packet that is asked for.
    pub wanted: u64,
    /// Oldest one that is kept.
    pub oldest: u64,
}

impl std::fmt::Display for LostPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "packet {} is asked for, everything before {} was acknowledged and is gone", self.wanted, self.oldest)
    }
}

impl Window {
    /// At most `max_packets` and about `max_bytes` under way; packets are numbered from `first`.
    #[must_use]
    pub fn starting_at(first: u64, max_packets: u32, max_bytes: usize) -> Self {
        Self {
            rows: VecDeque::new(),
            acknowledged: first,
            unsent: 0,
            bytes: 0,
            max_packets: u64::from(max_packets),
            max_bytes,
            ended: false,
            finished: false,
        }
    }

    /// Number of the next packet.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.acknowledged + self.rows.len() as u64
    }

    /// Packets that may be added now. The end row needs no room.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.bytes >= self.max_bytes && !self.rows.is_empty() {
            0
        } else {
            self.max_packets.saturating_sub(self.rows.len() as u64) as usize
        }
    }

    /// Rows that are kept.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.rows.len()
    }

    /// Keeps a row; its number must be [`Window::next`].
    pub fn push(&mut self, row: PacketRow) {
        debug_assert_eq!(row.frame, self.next());
        self.bytes += row.data.len();
        self.ended |= row.end;
        self.unsent += 1;
        self.rows.push_back(row);
    }

    /// The rows that were not sent yet.
    pub fn unsent(&mut self) -> &[PacketRow] {
        let from = self.rows.len() - self.unsent;
        &self.rows.make_contiguous()[from..]
    }

    /// All rows are sent.
    pub fn mark_sent(&mut self) {
        self.unsent = 0;
    }

    /// All rows that are kept, to be sent again.
    pub fn all(&mut self) -> &mut [PacketRow] {
        self.rows.make_contiguous()
    }

    /// Forgets what is acknowledged. Late and repeated credits change nothing.
    ///
    /// # Errors
    /// [`LostPlace`] when the receiver wants a packet again that it acknowledged before.
    pub fn on_credit(&mut self, credit: &CreditRow) -> Result<(), LostPlace> {
        if credit.window > 0 {
            self.max_packets = self.max_packets.min(u64::from(credit.window)).max(1);
        }
        if credit.resend && credit.frame < self.acknowledged {
            return Err(LostPlace { wanted: credit.frame, oldest: self.acknowledged });
        }
        while self.acknowledged < credit.frame {
            let Some(row) = self.rows.pop_front() else { break };
            self.bytes -= row.data.len();
            self.acknowledged += 1;
        }
        self.unsent = self.unsent.min(self.rows.len());
        self.finished |= credit.end;
        Ok(())
    }

    /// The end row was sent and acknowledged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        (self.ended && self.rows.is_empty()) || self.finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(frame: u64, bytes: usize) -> PacketRow {
        PacketRow { frame, data: vec![0; bytes], ..Default::default() }
    }

    fn credit(frame: u64) -> CreditRow {
        CreditRow { frame, ..Default::default() }
    }

    #[test]
    fn keeps_what_is_not_acknowledged_and_sends_it_again_in_order() {
        let mut window = Window::starting_at(0, 4, 1000);
        for frame in 0..4 {
            window.push(packet(frame, 10));
        }
        assert_eq!(window.room(), 0);
        assert_eq!(window.unsent().len(), 4);
        window.mark_sent();
        window.on_credit(&credit(2)).unwrap();
        assert_eq!((window.room(), window.next()), (2, 4));
        window.on_credit(&credit(1)).unwrap();
        assert_eq!(window.all().iter().map(|r| r.frame).collect::<Vec<_>>(), [2, 3]);
        window.push(packet(4, 10));
        assert_eq!(window.unsent().iter().map(|r| r.frame).collect::<Vec<_>>(), [4]);
        assert_eq!(window.on_credit(&CreditRow { frame: 1, resend: true, ..Default::default() }), Err(LostPlace { wanted: 1, oldest: 2 }));
    }

    #[test]
    fn is_done_only_when_the_end_row_is_acknowledged() {
        let mut window = Window::starting_at(0, 2, 1000);
        window.push(packet(0, 1));
        window.push(PacketRow { frame: 1, end: true, ..Default::default() });
        window.mark_sent();
        window.on_credit(&credit(1)).unwrap();
        assert!(!window.is_done());
        window.on_credit(&credit(2)).unwrap();
        assert!(window.is_done());
    }

    #[test]
    fn large_packets_close_the_window_early_but_one_always_fits() {
        let mut window = Window::starting_at(0, 64, 1000);
        assert_eq!(window.room(), 64);
        window.push(packet(0, 5000));
        assert_eq!(window.room(), 0);
        window.on_credit(&credit(1)).unwrap();
        assert_eq!(window.room(), 64);
        window.on_credit(&CreditRow { frame: 1, window: 16, ..Default::default() }).unwrap();
        assert_eq!(window.room(), 16);
    }
}
