//! Sums of levels.

use crate::{Plane, simd};
use std::ops::Range;

/// Adds every `step`-th of those rows of a plane to `sums`, column by column. Up to 257 rows fit.
///
/// # Panics
/// If the rows do not lie in the plane.
pub fn sum_columns(plane: &Plane<'_>, rows: Range<usize>, step: usize, sums: &mut [u16]) {
    #[inline(always)]
    fn run(plane: Plane<'_>, rows: Range<usize>, step: usize, sums: &mut [u16]) {
        for y in rows.step_by(step) {
            for (sum, &level) in sums.iter_mut().zip(plane.row(y)) {
                *sum = sum.wrapping_add(u16::from(level));
            }
        }
    }
    let plane = *plane;
    simd!(run(plane: Plane<'a>, rows: Range<usize>, step: usize, sums: &'a mut [u16]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_sums_of_the_rows_that_were_asked_for() {
        let bytes: Vec<u8> = (0..40u8 * 6).collect();
        let plane = Plane::new("test", &bytes, 37, 6, 40).unwrap();
        let mut sums = vec![5; 37];
        sum_columns(&plane, 1..6, 2, &mut sums);
        let wanted: Vec<u16> = (0..37).map(|x| 5 + [1, 3, 5].map(|y| u16::from(bytes[y * 40 + x])).iter().sum::<u16>()).collect();
        assert_eq!(sums, wanted);
    }
}
