//! Tells plates of vehicles from boards: a sign with letters stands still and has no vehicle around it.

use gantry_messages::Track;

/// Share of its frames in which a vehicle must be tied to a plate that does not move.
const WITH_VEHICLE: f32 = 0.25;

/// Distance, in widths of the plate, that counts as motion. Boxes of a plate at rest jitter by a tenth.
const MOVED: f32 = 0.75;

/// What the frames of a track say about that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    frames: u32,
    with_vehicle: u32,
    /// Largest width of the plate in px.
    width: f32,
    /// Smallest and largest centre: x0, y0, x1, y1.
    extent: Option<[f32; 4]>,
}

impl Traffic {
    /// Takes one frame in which the track was seen.
    pub fn add(&mut self, track: &Track) {
        let Some(plate) = track.plate_in_source.filter(|_| track.matched) else { return };
        self.frames += 1;
        self.with_vehicle += u32::from(track.vehicle_in_source.is_some());
        self.width = self.width.max(plate.width());
        let (x, y) = plate.center();
        let [x0, y0, x1, y1] = self.extent.unwrap_or([x, y, x, y]);
        self.extent = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
    }

    /// Both together, for parts of one pass.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let extent = match (self.extent, other.extent) {
            (Some(a), Some(b)) => Some([a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]),
            (a, b) => a.or(b),
        };
        Self {
            frames: self.frames + other.frames,
            with_vehicle: self.with_vehicle + other.with_vehicle,
            width: self.width.max(other.width),
            extent,
        }
    }

    /// Whether this is a board: it never moved and hardly ever had a vehicle around it. Unknown counts as a vehicle.
    #[must_use]
    pub fn is_board(&self) -> bool {
        let Some([x0, y0, x1, y1]) = self.extent else { return false };
        let moved = (x1 - x0).hypot(y1 - y0) >= MOVED * self.width;
        !moved && (self.with_vehicle as f32) < WITH_VEHICLE * self.frames as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::BoxXyxy;

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
        frames.into_iter().for_each(|t| traffic.add(&t));
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
    fn parts_of_a_pass_count_together() {
        let (a, b) = (of([seen(0.0, false)]), of([seen(300.0, false)]));
        assert!(a.is_board() && b.is_board());
        assert!(!a.with(b).is_board());
    }
}
