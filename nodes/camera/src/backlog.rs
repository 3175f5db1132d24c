//! Packets of a live source between the thread that reads and the node: the newest win.

use gantry_media::{StreamInfo, VideoPacket};
use std::collections::{BTreeMap, VecDeque};

/// Packets without a key frame after which decoding is tried without one: streams with gradual refresh have none.
const KEY_PATIENCE: u32 = 300;

/// A packet with what the reading thread knows about it.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The packet, its times since 1970.
    pub packet: VideoPacket,
    /// When it came, ns since 1970.
    pub captured_ns: i64,
    /// The stream, where it is new or changed.
    pub info: Option<StreamInfo>,
    /// Packets before it are missing.
    pub discontinuity: bool,
}

/// At most so many packets. One more throws away everything up to the next key frame, because packets in between cannot be
/// decoded without those before them.
#[derive(Debug)]
pub struct Backlog {
    queue: VecDeque<Arrived>,
    most: usize,
    /// Packets passed over while waiting for a key frame; `None`: not waiting.
    passed_over: Option<u32>,
    /// The stream of packets that were thrown away, for the next one.
    info: Option<StreamInfo>,
    ended: bool,
    counts: BTreeMap<&'static str, u64>,
}

impl Backlog {
    /// Empty, for `most` packets, waiting for its first key frame.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { queue: VecDeque::new(), most, passed_over: Some(0), info: None, ended: false, counts: BTreeMap::new() }
    }

    /// Adds to a counter.
    pub fn count(&mut self, name: &'static str, n: u64) {
        *self.counts.entry(name).or_default() += n;
    }

    /// Takes the counters.
    pub fn take_counts(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.counts)
    }

    /// The packets before the next one are lost: wait for a key frame.
    pub fn interrupted(&mut self) {
        self.passed_over = Some(0);
    }

    /// No packet follows.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether everything was taken and nothing follows.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended && self.queue.is_empty()
    }

    /// Whether there is something to take.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ended || !self.queue.is_empty()
    }

    /// Takes up to `count` packets.
    pub fn take(&mut self, count: usize) -> Vec<Arrived> {
        self.queue.drain(..count.min(self.queue.len())).collect()
    }

    /// A packet came.
    pub fn push(&mut self, mut arrived: Arrived) {
        if let Some(info) = self.info.take() {
            arrived.info.get_or_insert(info);
        }
        let key = arrived.packet.keyframe;
        if let Some(passed_over) = &mut self.passed_over {
            if !key && *passed_over < KEY_PATIENCE {
                *passed_over += 1;
                self.info = arrived.info;
                self.count("packets_before_keyframe", 1);
                return;
            }
            self.passed_over = None;
            arrived.discontinuity = true;
        }
        if self.queue.len() >= self.most {
            if !key {
                self.info = arrived.info;
                self.count("packets_dropped", 1);
                self.interrupted();
                return;
            }
            self.count("packets_dropped", self.queue.len() as u64);
            let info = self.queue.drain(..).filter_map(|old| old.info).next_back();
            arrived.info = arrived.info.or(info);
            arrived.discontinuity = true;
        }
        self.queue.push_back(arrived);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n: i64, keyframe: bool) -> Arrived {
        let packet = VideoPacket { pts_ns: Some(n), keyframe, ..VideoPacket::default() };
        Arrived { packet, captured_ns: n, info: None, discontinuity: false }
    }

    fn taken(backlog: &mut Backlog) -> Vec<(i64, bool, bool)> {
        let told = |a: Arrived| (a.captured_ns, a.discontinuity, a.info.is_some());
        backlog.take(100).into_iter().map(told).collect()
    }

    #[test]
    fn starts_with_a_key_frame_and_keeps_what_the_stream_is() {
        let mut backlog = Backlog::new(4);
        backlog.push(Arrived { info: Some(StreamInfo::default()), ..packet(0, false) });
        backlog.push(packet(1, false));
        assert!(!backlog.is_ready());
        backlog.push(packet(2, true));
        backlog.push(packet(3, false));
        assert_eq!(taken(&mut backlog), [(2, true, true), (3, false, false)]);
        backlog.interrupted();
        backlog.push(packet(4, false));
        backlog.push(packet(5, true));
        assert_eq!(taken(&mut backlog), [(5, true, false)]);
        assert_eq!(backlog.take_counts(), BTreeMap::from([("packets_before_keyframe", 3)]));
        assert!(backlog.take_counts().is_empty());
    }

    #[test]
    fn when_full_the_next_key_frame_wins_over_all_that_waits() {
        let mut backlog = Backlog::new(3);
        backlog.push(Arrived { info: Some(StreamInfo::default()), ..packet(0, true) });
        for n in 1..6 {
            backlog.push(packet(n, false));
        }
        backlog.push(packet(6, true));
        backlog.push(packet(7, false));
        assert_eq!(taken(&mut backlog), [(6, true, true), (7, false, false)]);
        let counts = backlog.take_counts();
        assert_eq!((counts["packets_dropped"], counts["packets_before_keyframe"]), (4, 2));
    }

    #[test]
    fn when_there_is_room_again_before_the_key_frame_only_the_hole_is_lost() {
        let mut backlog = Backlog::new(2);
        (0..4).for_each(|n| backlog.push(packet(n, n == 0)));
        assert_eq!(taken(&mut backlog), [(0, true, false), (1, false, false)]);
        backlog.push(packet(4, true));
        backlog.end();
        assert!(backlog.is_ready() && !backlog.is_over());
        assert_eq!(taken(&mut backlog), [(4, true, false)]);
        assert!(backlog.is_over());
    }

    #[test]
    fn a_stream_without_key_frames_is_tried_in_the_end() {
        let mut backlog = Backlog::new(2);
        (0..=i64::from(KEY_PATIENCE)).for_each(|n| backlog.push(packet(n, false)));
        assert_eq!(taken(&mut backlog).len(), 1);
    }
}
