//! Which operators run on which crop of a track.
//!
//! Crops of one plate from neighbouring frames hardly differ, and six pictures of each say the same thing six times. So the first
//! crops of a track get every operator, which is all that a short pass has; later ones get a few in turn, so that over the track
//! every operator still has its say. The choice depends on the crops of the track alone, in their order.

use std::collections::BTreeMap;

/// Frames after which a track that sent no crop is forgotten. Should it come back, its first crops get every operator again.
const FORGOTTEN_FRAMES: u64 = 1000;
/// Tracks of a camera from which on it is worth looking for those to forget.
const MANY_TRACKS: usize = 64;

/// Counts the crops of all tracks.
#[derive(Clone, Debug)]
pub struct Turns {
    operators: usize,
    full_crops: u64,
    per_crop: usize,
    cameras: BTreeMap<String, BTreeMap<u64, Seen>>,
    chosen: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    crops: u64,
    last_frame: u64,
}

impl Turns {
    /// For that many operators: all of them on the first `full_crops` of a track, then `per_crop` (0: all, always).
    #[must_use]
    pub fn new(operators: usize, full_crops: u64, per_crop: usize) -> Self {
        let per_crop = if per_crop == 0 { operators } else { per_crop.min(operators) };
        Self { operators, full_crops, per_crop, cameras: BTreeMap::new(), chosen: Vec::with_capacity(operators) }
    }

    /// The operators for the next crop of that track: ascending indices. Takes note of the crop.
    pub fn next(&mut self, camera: &str, frame: u64, track_id: u64) -> &[usize] {
        self.chosen.clear();
        if self.per_crop == self.operators {
            self.chosen.extend(0..self.operators);
            return &self.chosen;
        }
        if !self.cameras.contains_key(camera) {
            self.cameras.insert(camera.to_owned(), BTreeMap::new());
        }
        let Some(tracks) = self.cameras.get_mut(camera) else { return &self.chosen };
        if tracks.len() >= MANY_TRACKS {
            tracks.retain(|_, seen| seen.last_frame.saturating_add(FORGOTTEN_FRAMES) >= frame);
        }
        let seen = tracks.entry(track_id).or_default();
        if seen.crops < self.full_crops {
            self.chosen.extend(0..self.operators);
        } else {
            let first = (seen.crops - self.full_crops) * self.per_crop as u64;
            self.chosen.extend((0..self.per_crop as u64).map(|i| ((first + i) % self.operators as u64) as usize));
            self.chosen.sort_unstable();
        }
        seen.crops += 1;
        seen.last_frame = frame;
        &self.chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_crops_get_all_later_ones_each_operator_in_turn() {
        let mut turns = Turns::new(5, 2, 2);
        let chosen: Vec<Vec<usize>> = (0..8).map(|frame| turns.next("gate", frame, 1).to_vec()).collect();
        assert_eq!(chosen[..2], [vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 4]]);
        assert_eq!(chosen[2..], [vec![0, 1], vec![2, 3], vec![0, 4], vec![1, 2], vec![3, 4], vec![0, 1]]);
    }

    #[test]
    fn tracks_and_cameras_do_not_disturb_each_other() {
        let alone: Vec<Vec<usize>> = {
            let mut turns = Turns::new(5, 1, 1);
            (0..7).map(|frame| turns.next("gate", frame, 1).to_vec()).collect()
        };
        let mut turns = Turns::new(5, 1, 1);
        let beside: Vec<Vec<usize>> = (0..7)
            .map(|frame| {
                turns.next("road", frame, 1);
                turns.next("gate", frame, 2);
                turns.next("gate", frame, 1).to_vec()
            })
            .collect();
        assert_eq!(alone, beside);
    }

    #[test]
    fn zero_and_too_many_per_crop_mean_all() {
        for per_crop in [0, 3, 16] {
            let mut turns = Turns::new(3, 0, per_crop);
            assert_eq!(turns.next("gate", 9, 1), [0, 1, 2]);
            assert_eq!(turns.next("gate", 10, 1), [0, 1, 2]);
        }
        assert!(Turns::new(0, 4, 2).next("gate", 0, 1).is_empty());
    }

    #[test]
    fn what_is_remembered_stays_bounded() {
        let mut turns = Turns::new(5, 1, 1);
        for track in 0..100_000 {
            turns.next("gate", track * 20, track);
        }
        assert!(turns.cameras["gate"].len() <= MANY_TRACKS + 1);
    }
}
