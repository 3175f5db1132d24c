//! Frames that wait for a run, and when it starts. Pure bookkeeping over a clock that the caller holds.
//!
//! Live: a camera has a few places. When they are taken, its frames move up by one, the oldest is left out and the newest gets the last place. So nobody loses its turn by being fast, a slow camera's only frame is
//! run no later than all cameras that were there before it, and with more cameras than fit a run they take turns.

use gantry_messages::FrameRow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames in the order of their turns.
#[derive(Debug, Default)]
pub struct Waiting {
    frames: VecDeque<(Instant, FrameRow)>,
}

impl Waiting {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes a frame behind the others.
    pub fn push(&mut self, row: FrameRow, now: Instant) {
        self.frames.push_back((now, row));
    }

    /// Live: takes a frame. If `most` of its camera wait already, the oldest of them is left out, and the others move up to its place; whether that was so.
    /// A camera's end never takes the place of a frame.
    pub fn push_newest(&mut self, mut row: FrameRow, most: usize, now: Instant) -> bool {
        let of_camera = |older: &FrameRow| !older.end && older.source == row.source;
        let waiting = self.frames.iter().filter(|(_, older)| of_camera(older)).count();
        if row.end || waiting < most {
            self.push(row, now);
            return false;
        }
        let source = row.source.clone();
        for (_, place) in self.frames.iter_mut().rev().filter(|(_, older)| !older.end && older.source == source) {
            std::mem::swap(place, &mut row);
        }
        true
    }

    /// How long a run may still wait for more frames: until `most` are there or the first has waited for `patience`. `None`: none waits; zero: it starts.
    #[must_use]
    pub fn until_run(&self, most: usize, patience: Duration, now: Instant) -> Option<Duration> {
        let (first, _) = self.frames.front()?;
        // Behind an end nothing follows for which it could wait.
        let is_full = self.frames.len() >= most || self.frames.iter().any(|(_, row)| row.end);
        Some(if is_full { Duration::ZERO } else { patience.saturating_sub(now.saturating_duration_since(*first)) })
    }

    /// The frames whose turn it is, `most` at most.
    pub fn take(&mut self, most: usize) -> Vec<FrameRow> {
        let count = self.frames.len().min(most);
        self.frames.drain(..count).map(|(_, row)| row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn frame(camera: usize, number: u64) -> FrameRow {
        FrameRow { source: format!("cam{camera}"), frame: number, ..FrameRow::default() }
    }

    /// An engine whose runs take `run` for any number of frames up to `most`, and cameras that send every `every[i]`; virtual time in steps of 1 ms.
    struct Site {
        every: Vec<Duration>,
        most: usize,
        patience: Duration,
        run: Duration,
    }

    /// Per camera: frames sent and frames run. And how long each frame waited that was run, and the sizes of the runs.
    type Served = (BTreeMap<usize, (u64, u64)>, Vec<(usize, Duration)>, Vec<usize>);

    impl Site {
        fn go(&self, seconds: u64) -> Served {
            let (start, step) = (Instant::now(), Duration::from_millis(1));
            let (mut waiting, mut served) = (Waiting::default(), BTreeMap::<usize, (u64, u64)>::new());
            let (mut sent_at, mut waits, mut sizes) = (BTreeMap::new(), Vec::new(), Vec::new());
            let mut next: Vec<Duration> =
                (0..self.every.len() as u32).map(|i| step * (i % self.every[i as usize].as_millis() as u32)).collect();
            let mut busy_until = Duration::ZERO;
            let mut now = Duration::ZERO;
            while now < Duration::from_secs(seconds) {
                for (camera, (due, every)) in next.iter_mut().zip(&self.every).enumerate() {
                    if now >= *due {
                        let (sent, _) = served.entry(camera).or_default();
                        waiting.push_newest(frame(camera, *sent), 1, start + now);
                        sent_at.insert((camera, *sent), now);
                        *sent += 1;
                        *due += *every;
                    }
                }
                if now >= busy_until && waiting.until_run(self.most, self.patience, start + now) == Some(Duration::ZERO) {
                    let frames = waiting.take(self.most);
                    sizes.push(frames.len());
                    for row in frames {
                        let camera: usize = row.source[3..].parse().unwrap();
                        served.get_mut(&camera).unwrap().1 += 1;
                        waits.push((camera, now - sent_at[&(camera, row.frame)]));
                    }
                    busy_until = now + self.run;
                }
                now += step;
            }
            (served, waits, sizes)
        }
    }

    const FPS_30: Duration = Duration::from_millis(33);

    #[test]
    fn a_slow_camera_loses_no_frame_to_31_fast_ones_and_the_fast_ones_share_alike() {
        let mut every = vec![FPS_30; 32];
        every[17] = Duration::from_millis(500);
        // A run of 8 in 20 ms: 400 frames/s of the 960 that come.
        let site = Site { every, most: 8, patience: Duration::from_millis(5), run: Duration::from_millis(20) };
        let (served, waits, _) = site.go(20);
        let (sent, run) = served[&17];
        assert!(run >= sent - 1, "{run} of {sent}");
        // Its turn comes after the others that wait: 32 cameras are four runs.
        let longest = waits.iter().filter(|(camera, _)| *camera == 17).map(|(_, wait)| *wait).max().unwrap();
        assert!(longest <= Duration::from_millis(100), "{longest:?}");
        let shares: Vec<u64> = served.iter().filter(|(camera, _)| **camera != 17).map(|(_, (_, run))| *run).collect();
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(most - least <= most / 20, "between {least} and {most} frames");
    }

    #[test]
    fn a_run_waits_for_more_no_longer_than_allowed_and_starts_at_once_when_it_is_full() {
        let site = Site { every: vec![FPS_30; 3], most: 8, patience: Duration::from_millis(5), run: Duration::from_millis(1) };
        let (served, waits, sizes) = site.go(5);
        assert!(waits.iter().all(|(_, wait)| *wait <= Duration::from_millis(6)), "{waits:?}");
        assert!(served.values().all(|(sent, run)| sent - run <= 1), "{served:?}");
        assert!(sizes.iter().all(|size| *size == 3), "cameras that send within 5 ms share a run: {sizes:?}");
        let start = Instant::now();
        let mut waiting = Waiting::default();
        assert_eq!(waiting.until_run(2, Duration::from_millis(5), start), None);
        waiting.push_newest(frame(0, 0), 1, start);
        assert_eq!(waiting.until_run(2, Duration::from_millis(5), start), Some(Duration::from_millis(5)));
        waiting.push_newest(frame(1, 0), 1, start);
        assert_eq!(waiting.until_run(2, Duration::from_millis(5), start), Some(Duration::ZERO));
    }

    #[test]
    fn the_newest_frame_takes_the_turn_of_the_older_one_and_an_end_takes_none() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        assert!(!waiting.push_newest(frame(0, 1), 1, now));
        assert!(!waiting.push_newest(frame(1, 1), 1, now));
        assert!(waiting.push_newest(frame(0, 2), 1, now));
        assert!(!waiting.push_newest(FrameRow { end: true, ..frame(1, 2) }, 1, now));
        assert_eq!(waiting.until_run(8, Duration::from_secs(1), now), Some(Duration::ZERO));
        let order: Vec<(String, u64, bool)> = waiting.take(8).into_iter().map(|row| (row.source, row.frame, row.end)).collect();
        assert_eq!(order, [("cam0".to_owned(), 2, false), ("cam1".to_owned(), 1, false), ("cam1".to_owned(), 2, true)]);
    }

    #[test]
    fn a_camera_with_all_places_taken_loses_its_oldest_frame_and_keeps_their_order_and_its_turns() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        for (camera, number) in [(0, 1), (1, 1), (0, 2)] {
            assert!(!waiting.push_newest(frame(camera, number), 2, now));
        }
        assert!(waiting.push_newest(frame(0, 3), 2, now));
        let order: Vec<(String, u64)> = waiting.take(8).into_iter().map(|row| (row.source, row.frame)).collect();
        assert_eq!(order, [("cam0".to_owned(), 2), ("cam1".to_owned(), 1), ("cam0".to_owned(), 3)]);
    }
}
