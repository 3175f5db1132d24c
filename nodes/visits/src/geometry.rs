//! Points, polygons and lines in source pixels, x right, y down.

/// `[x, y]` in px.
pub type Point = [f32; 2];

/// Which way a vehicle went over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the left of the line to its right, seen from its first point to its second: downwards over a line that is drawn from left to right.
    In,
    /// The other way.
    Out,
}

/// Whether the polygon has the point inside (even-odd rule; corners in any direction).
#[must_use]
pub fn contains(polygon: &[Point], [x, y]: Point) -> bool {
    let mut inside = false;
    let mut previous = polygon.last();
    for corner in polygon {
        if let Some([px, py]) = previous
            && (corner[1] > y) != (*py > y)
            && x < (px - corner[0]) * (y - corner[1]) / (py - corner[1]) + corner[0]
        {
            inside = !inside;
        }
        previous = Some(corner);
    }
    inside
}

/// Whether the step from `a` to `b` goes over the line from `from` to `to`, and which way. The line itself belongs to its left side.
#[must_use]
pub fn crossing(from: Point, to: Point, a: Point, b: Point) -> Option<Direction> {
    let side = |p: Point| (to[0] - from[0]) * (p[1] - from[1]) - (to[1] - from[1]) * (p[0] - from[0]);
    let step = |p: Point| (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]);
    let (before, after) = (side(a) > 0.0, side(b) > 0.0);
    let (one, other) = (step(from), step(to));
    if before == after || (one > 0.0) == (other > 0.0) {
        return None;
    }
    Some(if after { Direction::In } else { Direction::Out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_inside_whatever_the_order_of_corners() {
        let mut zone = vec![[10.0, 10.0], [50.0, 10.0], [30.0, 30.0], [50.0, 50.0], [10.0, 50.0]];
        for _ in 0..2 {
            assert!(contains(&zone, [15.0, 30.0]) && contains(&zone, [45.0, 12.0]));
            assert!(!contains(&zone, [45.0, 30.0]) && !contains(&zone, [5.0, 30.0]) && !contains(&zone, [30.0, 60.0]));
            zone.reverse();
        }
        assert!(!contains(&[], [0.0, 0.0]));
    }

    #[test]
    fn a_line_is_crossed_one_way_or_the_other_and_only_between_its_ends() {
        let (left, right) = ([100.0, 500.0], [900.0, 500.0]);
        assert_eq!(crossing(left, right, [400.0, 480.0], [420.0, 520.0]), Some(Direction::In));
        assert_eq!(crossing(left, right, [420.0, 520.0], [400.0, 480.0]), Some(Direction::Out));
        assert_eq!(crossing(right, left, [400.0, 480.0], [420.0, 520.0]), Some(Direction::Out));
        assert_eq!(crossing(left, right, [950.0, 480.0], [960.0, 520.0]), None);
        assert_eq!(crossing(left, right, [400.0, 480.0], [500.0, 490.0]), None);
        // Onto the line and then over it: once.
        let steps = [[400.0, 480.0], [400.0, 500.0], [400.0, 520.0]];
        let crossed: Vec<_> = steps.windows(2).filter_map(|s| crossing(left, right, s[0], s[1])).collect();
        assert_eq!(crossed, [Direction::In]);
    }
}
