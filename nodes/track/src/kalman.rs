//! Constant-velocity Kalman filter of a box.

use gantry_messages::BoxXyxy;

/// How much a box jitters and how fast its motion changes, as parts of the box's size per frame.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Standard deviation of a measured edge, in sizes.
    pub position: f64,
    /// Standard deviation of the change of velocity from frame to frame, in sizes.
    pub velocity: f64,
}

/// One coordinate: value, velocity per frame and their covariance.
#[derive(Clone, Copy, Debug)]
struct Axis {
    value: f64,
    velocity: f64,
    p00: f64,
    p01: f64,
    p11: f64,
}

impl Axis {
    fn new(value: f64, position_sd: f64, velocity_sd: f64) -> Self {
        Self { value, velocity: 0.0, p00: position_sd * position_sd, p01: 0.0, p11: velocity_sd * velocity_sd }
    }

    fn predict(&mut self, frames: f64, position_sd: f64, velocity_sd: f64) {
        self.value += self.velocity * frames;
        self.p00 += frames * (2.0 * self.p01 + frames * self.p11) + frames * position_sd * position_sd;
        self.p01 += frames * self.p11;
        self.p11 += frames * velocity_sd * velocity_sd;
    }

    fn update(&mut self, measured: f64, sd: f64) {
        let s = self.p00 + sd * sd;
        let (k0, k1) = (self.p00 / s, self.p01 / s);
        let error = measured - self.value;
        self.value += k0 * error;
        self.velocity += k1 * error;
        self.p11 -= k1 * self.p01;
        self.p01 *= 1.0 - k0;
        self.p00 *= 1.0 - k0;
    }
}

/// State `(cx, cy, w, h)` with velocities, source pixels and pixels per frame.
///
/// All noise is diagonal, so the usual 8 x 8 filter falls apart into four of 2 x 2. Width and height are state instead of
/// ByteTrack's aspect and height: a plate that turns changes its aspect. Method: Zhang et al., "ByteTrack", ECCV 2022
/// (noise relative to the size), with width as in Aharon et al., "BoT-SORT", 2022.
#[derive(Clone, Copy, Debug)]
pub struct BoxFilter {
    axes: [Axis; 4],
    noise: Noise,
}

impl BoxFilter {
    /// A filter at rest on the first measured box; its velocity is as good as unknown (one third of the size per frame).
    pub fn new(bbox: &BoxXyxy, noise: Noise) -> Self {
        let z = measured(bbox);
        let size = size_of(&z);
        let axis = |i: usize| Axis::new(z[i], 2.0 * noise.position * size, if i < 2 { size / 3.0 } else { size / 10.0 });
        Self { axes: [axis(0), axis(1), axis(2), axis(3)], noise }
    }

    /// Moves the state by `frames` frames.
    pub fn predict(&mut self, frames: u64) {
        let size = self.size();
        let frames = frames.clamp(1, 30) as f64;
        for (i, axis) in self.axes.iter_mut().enumerate() {
            let scale = if i < 2 { 1.0 } else { 0.5 };
            axis.predict(frames, self.noise.position * size * scale * 0.5, self.noise.velocity * size * scale);
        }
        // A box that shrinks to nothing cannot be matched any more; it stops shrinking instead.
        for axis in &mut self.axes[2..] {
            if axis.value < 2.0 {
                axis.value = 2.0;
                axis.velocity = 0.0;
            }
        }
    }

    /// Takes in a measured box. `trust` below 1 makes it count less (low-score detections).
    pub fn update(&mut self, bbox: &BoxXyxy, trust: f64) {
        let z = measured(bbox);
        let size = size_of(&z);
        let sd = self.noise.position * size / trust.clamp(0.1, 1.0);
        for (axis, value) in self.axes.iter_mut().zip(z) {
            axis.update(value, sd);
        }
    }

    /// A lost box no longer grows or shrinks: a growing prediction would swallow its neighbours.
    pub fn freeze_size(&mut self) {
        self.axes[2].velocity = 0.0;
        self.axes[3].velocity = 0.0;
    }

    /// The box, source pixels.
    pub fn bbox(&self) -> BoxXyxy {
        let [cx, cy, w, h] = [self.axes[0].value, self.axes[1].value, self.axes[2].value.max(1.0), self.axes[3].value.max(1.0)];
        BoxXyxy::new((cx - w / 2.0) as f32, (cy - h / 2.0) as f32, (cx + w / 2.0) as f32, (cy + h / 2.0) as f32)
    }

    /// Velocity of the centre, pixels per frame.
    pub fn velocity(&self) -> (f64, f64) {
        (self.axes[0].velocity, self.axes[1].velocity)
    }

    fn size(&self) -> f64 {
        size_of(&[0.0, 0.0, self.axes[2].value.max(1.0), self.axes[3].value.max(1.0)])
    }
}

fn measured(bbox: &BoxXyxy) -> [f64; 4] {
    let (x0, y0, x1, y1) = (f64::from(bbox.x0), f64::from(bbox.y0), f64::from(bbox.x1), f64::from(bbox.y1));
    [(x0 + x1) / 2.0, (y0 + y1) / 2.0, (x1 - x0).max(1.0), (y1 - y0).max(1.0)]
}

/// Length that noise is relative to: the geometric mean of width and height.
fn size_of(z: &[f64; 4]) -> f64 {
    (z[2] * z[3]).sqrt().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::{BoxFilter, Noise};
    use gantry_messages::BoxXyxy;

    const NOISE: Noise = Noise { position: 0.05, velocity: 0.02 };

    fn at(x: f32) -> BoxXyxy {
        BoxXyxy::new(x, 100.0, x + 60.0, 115.0)
    }

    #[test]
    fn learns_a_steady_motion_within_a_few_frames() {
        let mut filter = BoxFilter::new(&at(0.0), NOISE);
        for i in 1..=6 {
            filter.predict(1);
            filter.update(&at(25.0 * i as f32), 1.0);
        }
        filter.predict(1);
        assert!((filter.bbox().x0 - 175.0).abs() < 3.0, "{:?}", filter.bbox());
        assert!((filter.velocity().0 - 25.0).abs() < 1.0, "{:?}", filter.velocity());
    }

    #[test]
    fn predicts_several_frames_at_once_as_one_by_one() {
        let mut one = BoxFilter::new(&at(0.0), NOISE);
        for i in 1..=8 {
            one.predict(1);
            one.update(&at(10.0 * i as f32), 1.0);
        }
        let mut many = one;
        many.predict(5);
        (0..5).for_each(|_| one.predict(1));
        assert!((one.bbox().x0 - many.bbox().x0).abs() < 1e-3);
    }

    #[test]
    fn never_shrinks_to_nothing() {
        let mut filter = BoxFilter::new(&at(0.0), NOISE);
        for i in 1..=4 {
            filter.predict(1);
            let half = 30.0 - 6.0 * i as f32;
            filter.update(&BoxXyxy::new(30.0 - half, 100.0, 30.0 + half, 104.0), 1.0);
        }
        for _ in 0..100 {
            filter.predict(1);
        }
        assert!(filter.bbox().width() >= 1.0 && filter.bbox().height() >= 1.0);
    }
}
