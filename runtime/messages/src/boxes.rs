use serde::{Deserialize, Serialize};

/// A box in pixels, corners `x0, y0` (top left, inside) and `x1, y1` (bottom right, outside); x right, y down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoxXyxy {
    /// Left.
    pub x0: f32,
    /// Top.
    pub y0: f32,
    /// Right.
    pub x1: f32,
    /// Bottom.
    pub y1: f32,
}

impl BoxXyxy {
    /// From corners.
    pub const fn new(x0: f32, y0: f32, x1: f32, y1: f32) -> Self {
        Self { x0, y0, x1, y1 }
    }

    /// Width in pixels, 0 for an inverted box.
    pub fn width(&self) -> f32 {
        (self.x1 - self.x0).max(0.0)
    }

    /// Height in pixels, 0 for an inverted box.
    pub fn height(&self) -> f32 {
        (self.y1 - self.y0).max(0.0)
    }

    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Centre `(x, y)`.
    pub fn center(&self) -> (f32, f32) {
        ((self.x0 + self.x1) * 0.5, (self.y0 + self.y1) * 0.5)
    }

    /// Common part of two boxes.
    pub fn intersection(&self, other: &Self) -> f32 {
        let w = self.x1.min(other.x1) - self.x0.max(other.x0);
        let h = self.y1.min(other.y1) - self.y0.max(other.y0);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union in `0.0..=1.0`; 0 when both are empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let common = self.intersection(other);
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }

    /// Whether the point lies inside.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        x >= self.x0 && x < self.x1 && y >= self.y0 && y < self.y1
    }

    /// The part inside an image of `width` x `height`.
    pub fn clipped(&self, width: f32, height: f32) -> Self {
        Self::new(self.x0.clamp(0.0, width), self.y0.clamp(0.0, height), self.x1.clamp(0.0, width), self.y1.clamp(0.0, height))
    }
}

#[cfg(test)]
mod tests {
    use super::BoxXyxy;

    #[test]
    fn iou_is_symmetric_and_bounded() {
        let a = BoxXyxy::new(0.0, 0.0, 10.0, 10.0);
        let b = BoxXyxy::new(5.0, 5.0, 15.0, 15.0);
        assert!((a.iou(&b) - 25.0 / 175.0).abs() < 1e-6);
        assert_eq!(a.iou(&b), b.iou(&a));
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(a.iou(&BoxXyxy::new(20.0, 20.0, 30.0, 30.0)), 0.0);
        assert_eq!(BoxXyxy::default().iou(&BoxXyxy::default()), 0.0);
    }
}
