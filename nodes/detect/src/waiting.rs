//! Frames that wait for a run, and when it starts. Pure bookkeeping over a clock that the caller holds.
//!
//! Live: a camera has a few places, for the moments in which frames come in a burst or a run takes long. When they are taken, its frames move up, the oldest is left out and the newest gets the last place. So nobody
//! loses its turn by being fast, a slow camera's only frame is run no later than all cameras that were there before it, and with more cameras than fit a run they take turns. A camera that loses
//! frames for longer than [`Shortage::CALM`] has one place until it has lost none for as long: where there are more frames than can be run, those that wait only get old, and none more is run.

use gantry_messages::FrameRow;
use gantry_node::Shortage;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Frames in the order of their turns.
#[derive(Debug, Default)]
pub struct Waiting {
    frames: VecDeque<(Instant, FrameRow)>,
    /// Of each camera that lost a frame.
    shortages: BTreeMap<String, Shortage>,
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

    /// Live: takes a frame, and says how many were left out for it. If `most` of its camera wait already, or one where it has been losing frames, the oldest are left out and the others move up to their places.
    /// A camera's end never takes the place of a frame.
    pub fn push_newest(&mut self, row: FrameRow, most: usize, now: Instant) -> u64 {
        if row.end {
            self.shortages.remove(&row.source);
            self.push(row, now);
            return 0;
        }
        let is_short = self.shortages.get(&row.source).is_some_and(|shortage| shortage.lasts(now));
        let most = if is_short { 1 } else { most.max(1) };
        let of_camera = |(_, older): &(Instant, FrameRow)| !older.end && older.source == row.source;
        let places: Vec<usize> = (0..self.frames.len()).filter(|&place| of_camera(&self.frames[place])).collect();
        let left_out = (places.len() + 1).saturating_sub(most);
        if left_out == 0 {
            self.push(row, now);
            return 0;
        }
        if !self.shortages.contains_key(&row.source) {
            self.shortages.insert(row.source.clone(), Shortage::default());
        }
        if let Some(shortage) = self.shortages.get_mut(&row.source) {
            shortage.met(now);
        }
        let stay = places.iter().skip(left_out).map(|&place| std::mem::take(&mut self.frames[place].1));
        let stay: Vec<FrameRow> = stay.collect();
        for (&place, row) in places.iter().zip(stay.into_iter().chain([row])) {
            self.frames[place].1 = row;
        }
        for &place in places.iter().skip(most).rev() {
            self.frames.remove(place);
        }
        left_out as u64
    }

    /// How long a run may still wait for more frames: until `most` are there or the first has waited for `patience`. `None`: none waits; zero: it starts.
    #[must_use]
    pub fn until_run(&self, most: usize, patience: Duration, now: Instant) -> Option<Duration> {
        let (first, _) = self.frames.front()?;
        // Behind an end nothing follows for which it could wait.
        let is_full = self.frames.len() >= most || self.frames.iter().any(|(_, row)| row.end);
        Some(if is_full { Duration::ZERO } else { patience.saturating_sub(now.saturating_duration_since(*first)) })
    }

    /// Takes the first frame that is `ready`, of those that are their camera's first; with its place and since when it waits, for [`Waiting::put_back`].
    pub fn take_ready(&mut self, ready: impl Fn(&FrameRow) -> bool) -> Option<(usize, Instant, FrameRow)> {
        let is_first = |place: usize| !self.frames.iter().take(place).any(|(_, row)| row.source == self.frames[place].1.source);
        let place = (0..self.frames.len()).find(|&place| ready(&self.frames[place].1) && is_first(place))?;
        self.frames.remove(place).map(|(since, row)| (place, since, row))
    }

    /// Puts a frame back that was taken last.
    pub fn put_back(&mut self, place: usize, since: Instant, row: FrameRow) {
        self.frames.insert(place.min(self.frames.len()), (since, row));
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

    const CALM: Duration = Shortage::CALM;

    fn frame(camera: usize, number: u64) -> FrameRow {
        FrameRow { source: format!("cam{camera}"), frame: number, ..FrameRow::default() }
    }

    /// An engine whose runs take `run` for any number of frames up to `most`, and cameras that send every `every[i]`; virtual time in steps of 1 ms.
    struct Site {
        every: Vec<Duration>,
        places: usize,
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
                        waiting.push_newest(frame(camera, *sent), self.places, start + now);
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
        let site = Site { every, places: 1, most: 8, patience: Duration::from_millis(5), run: Duration::from_millis(20) };
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
        let site = Site { every: vec![FPS_30; 3], places: 1, most: 8, patience: Duration::from_millis(5), run: Duration::from_millis(1) };
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
        assert_eq!(waiting.push_newest(frame(0, 1), 1, now), 0);
        assert_eq!(waiting.push_newest(frame(1, 1), 1, now), 0);
        assert_eq!(waiting.push_newest(frame(0, 2), 1, now), 1);
        assert_eq!(waiting.push_newest(FrameRow { end: true, ..frame(1, 2) }, 1, now), 0);
        assert_eq!(waiting.until_run(8, Duration::from_secs(1), now), Some(Duration::ZERO));
        let order: Vec<(String, u64, bool)> = waiting.take(8).into_iter().map(|row| (row.source, row.frame, row.end)).collect();
        assert_eq!(order, [("cam0".to_owned(), 2, false), ("cam1".to_owned(), 1, false), ("cam1".to_owned(), 2, true)]);
    }

    #[test]
    fn the_first_ready_frame_is_taken_in_the_order_of_its_camera_and_comes_back_to_its_place() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        for (camera, number) in [(0, 1), (1, 1), (0, 2), (2, 1), (1, 2)] {
            waiting.push(frame(camera, number), now);
        }
        let taken = |waiting: &mut Waiting, ready: &[(&str, u64)]| {
            let is_ready = |row: &FrameRow| ready.contains(&(row.source.as_str(), row.frame));
            waiting.take_ready(is_ready)
        };
        assert!(taken(&mut waiting, &[("cam0", 2), ("cam1", 2)]).is_none(), "their cameras' first come first");
        let (place, since, row) = taken(&mut waiting, &[("cam1", 1), ("cam2", 1)]).unwrap();
        assert_eq!((place, row.source.as_str(), row.frame), (1, "cam1", 1));
        waiting.put_back(place, since, row);
        let (_, _, row) = taken(&mut waiting, &[("cam2", 1)]).unwrap();
        assert_eq!((row.source.as_str(), row.frame), ("cam2", 1));
        let left = [("cam0", 1), ("cam1", 1), ("cam0", 2), ("cam1", 2)].map(|(camera, number)| (camera.to_owned(), number));
        assert_eq!(order(&mut waiting), left);
    }

    #[test]
    fn a_camera_with_all_places_taken_loses_its_oldest_frame_and_keeps_their_order_and_its_turns() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        for (camera, number) in [(0, 1), (1, 1), (0, 2)] {
            assert_eq!(waiting.push_newest(frame(camera, number), 2, now), 0);
        }
        assert_eq!(waiting.push_newest(frame(0, 3), 2, now), 1);
        assert_eq!(order(&mut waiting), [("cam0".to_owned(), 2), ("cam1".to_owned(), 1), ("cam0".to_owned(), 3)]);
    }

    fn order(waiting: &mut Waiting) -> Vec<(String, u64)> {
        waiting.take(8).into_iter().map(|row| (row.source, row.frame)).collect()
    }

    #[test]
    fn a_camera_that_goes_on_losing_frames_has_one_place_until_it_has_lost_none_for_a_while() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        for (camera, number) in [(0, 1), (1, 1), (0, 2), (0, 3)] {
            assert_eq!(waiting.push_newest(frame(camera, number), 3, now), 0);
        }
        for (number, halves) in [(4, 0), (5, 1), (6, 2)] {
            assert_eq!(waiting.push_newest(frame(0, number), 3, now + halves * CALM / 2), 1);
        }
        // Three wait, and one may from now on.
        assert_eq!(waiting.push_newest(frame(0, 7), 3, now + CALM), 3);
        assert_eq!(order(&mut waiting), [("cam0".to_owned(), 7), ("cam1".to_owned(), 1)]);
        for number in [8, 9] {
            assert_eq!(waiting.push_newest(frame(0, number), 3, now + 2 * CALM), 0);
        }
        assert_eq!(order(&mut waiting), [("cam0".to_owned(), 8), ("cam0".to_owned(), 9)]);
    }

    #[test]
    fn where_frames_are_left_out_those_that_are_run_have_waited_for_one_round_and_no_longer() {
        // Four cameras of 30 frames/s, a frame in 25 ms: a third of them, in turn.
        let site = Site { every: vec![FPS_30; 4], places: 3, most: 1, patience: Duration::ZERO, run: Duration::from_millis(25) };
        let (served, waits, _) = site.go(20);
        let late = waits.iter().skip(100).map(|(_, wait)| *wait).max().unwrap();
        assert!(late <= Duration::from_millis(100), "{late:?}");
        let run: u64 = served.values().map(|(_, run)| *run).sum();
        assert!((795..=801).contains(&run), "{run} of 800");
    }
}
