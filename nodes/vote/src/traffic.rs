//! Tells plates of vehicles from boards: a sign with letters stands still, and no sure vehicle carries it.
//!
//! What moves is traffic, whatever is around it. What never moves is a parked vehicle only where the detector is sure of a vehicle and the
//! text sits where a vehicle has its plate; boxes of half-sure vehicles around a board (a kiosk, a shop front) do not count.

use gantry_messages::{BoxXyxy, Track};

/// Share of its frames in which a sure vehicle must carry a plate that does not move.
const WITH_VEHICLE: f32 = 0.5;

/// Width of a plate in widths of its vehicle: 0.29 for a long plate on a car seen from the front, half of that from the side, 0.11
/// for a two-row plate on a truck, 0.5 on a motorcycle; with loose boxes.
const WIDTHS: std::ops::RangeInclusive<f32> = 0.08..=0.7;

/// Height of the plate's centre in the vehicle's box, 0 at the top: plates hang in the lower part.
const LOWEST_PART: f32 = 0.4;

/// Distance, in widths of the plate, that counts as motion. Boxes of a plate at rest jitter by a tenth.
const MOVED: f32 = 0.75;

/// Frames after which a track that has not moved stands still, and is not a piece of a vehicle's way.
const STILL_FRAMES: u32 = 15;

/// What the frames of a track say about that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    frames: u32,
    carried: u32,
    /// Largest width of the plate in px.
    width: f32,
    /// Smallest and largest centre: x0, y0, x1, y1.
    extent: Option<[f32; 4]>,
}

impl Traffic {
    /// Takes one frame in which the track was seen. A vehicle counts from `sure` (0 to 1) on.
    pub fn add(&mut self, track: &Track, sure: f32) {
        let Some(plate) = track.plate_in_source.filter(|_| track.matched) else { return };
        self.frames += 1;
        let vehicle = track.vehicle_in_source.filter(|_| track.vehicle_confidence >= sure);
        self.carried += u32::from(vehicle.is_some_and(|v| hangs_on(&plate, &v)));
        self.width = self.width.max(plate.width());
        let (x, y) = plate.center();
        let [x0, y0, x1, y1] = self.extent.unwrap_or([x, y, x, y]);
        self.extent = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
    }

    /// Both together, for parts of one pass. The same word on two boards is no motion from one to the other.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let extent = match (self.extent, other.extent) {
            (Some(_), Some(_)) if self.stands() && other.stands() => {
                if self.frames >= other.frames {
                    self.extent
                } else {
                    other.extent
                }
            }
            (Some(a), Some(b)) => Some([a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]),
            (a, b) => a.or(b),
        };
        Self { frames: self.frames + other.frames, carried: self.carried + other.carried, width: self.width.max(other.width), extent }
    }

    /// Whether this is a board: it never moved and most of the time no sure vehicle carried it. Unknown counts as a vehicle.
    #[must_use]
    pub fn is_board(&self) -> bool {
        self.extent.is_some() && !self.moved() && (self.carried as f32) < WITH_VEHICLE * self.frames as f32
    }

    fn moved(&self) -> bool {
        self.extent.is_some_and(|[x0, y0, x1, y1]| (x1 - x0).hypot(y1 - y0) >= MOVED * self.width)
    }

    fn stands(&self) -> bool {
        self.frames >= STILL_FRAMES && !self.moved()
    }
}

/// Whether the plate is as wide as a plate of that vehicle and hangs where plates do.
fn hangs_on(plate: &BoxXyxy, vehicle: &BoxXyxy) -> bool {
    let height = (plate.center().1 - vehicle.y0) / vehicle.height().max(1.0);
    WIDTHS.contains(&(plate.width() / vehicle.width().max(1.0))) && height >= LOWEST_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(x: f32, vehicle: bool) -> Track {
        Track {
            track_id: 1,
            age_frames: 1,
            matched: true,
            vehicle_in_source: vehicle.then(|| BoxXyxy::new(x - 100.0, 0.0, x + 200.0, 300.0)),
            vehicle_confidence: 0.9,
            plate_in_source: Some(BoxXyxy::new(x, 200.0, x + 100.0, 225.0)),
            plate_confidence: 0.9,
            plate_frames: 1,
        }
    }

    fn of(frames: impl IntoIterator<Item = Track>) -> Traffic {
        let mut traffic = Traffic::default();
        frames.into_iter().for_each(|t| traffic.add(&t, 0.65));
        traffic
    }

    #[test]
    fn a_still_text_without_a_vehicle_is_a_board() {
        assert!(of((0..50).map(|i| seen((i % 3) as f32 * 4.0, i == 7))).is_board());
    }

    #[test]
    fn a_parked_vehicle_and_a_moving_plate_are_none() {
        assert!(!of((0..50).map(|_| seen(0.0, true))).is_board());
        assert!(!of((0..50).map(|i| seen(i as f32 * 2.0, false))).is_board());
        assert!(!Traffic::default().is_board());
    }

    #[test]
    fn a_half_sure_vehicle_or_one_that_does_not_fit_carries_nothing() {
        let unsure = Track { vehicle_confidence: 0.6, ..seen(0.0, true) };
        let kiosk = Track { vehicle_in_source: Some(BoxXyxy::new(-700.0, 0.0, 800.0, 300.0)), ..seen(0.0, true) };
        let above = Track { vehicle_in_source: Some(BoxXyxy::new(-100.0, 150.0, 200.0, 450.0)), ..seen(0.0, true) };
        for track in [unsure, kiosk, above] {
            assert!(of((0..50).map(|_| track.clone())).is_board(), "{track:?}");
        }
    }

    #[test]
    fn parts_of_a_pass_count_together() {
        let (a, b) = (of([seen(0.0, false)]), of([seen(300.0, false)]));
        assert!(a.is_board() && b.is_board());
        assert!(!a.with(b).is_board());
    }

    #[test]
    fn the_same_word_on_two_boards_has_not_moved() {
        let [a, b] = [0.0, 400.0].map(|x| of((0..30).map(|_| seen(x, false))));
        assert!(a.with(b).is_board() && b.with(a).is_board());
        // Nor has a parked vehicle that was lost and found again.
        assert!(!of((0..30).map(|_| seen(0.0, true))).with(of((0..30).map(|_| seen(2.0, true)))).is_board());
    }
}
