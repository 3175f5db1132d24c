//! Operator `equalize`: histogram equalisation of the whole picture. The darkest level there is becomes 0, the lightest 255.

use gantry_operators::{Operator, Param, Picture, PictureMut, export_operator};
use serde::Deserialize;

/// The operator.
#[derive(Debug)]
pub struct Equalize;

/// It has no options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {}

impl Operator for Equalize {
    const NAME: &'static str = "equalize";
    const PARAMS: &'static [Param] = &[];
    type Params = Params;

    fn open(_: Params) -> Result<Self, String> {
        Ok(Self)
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        let mut counts = [0u64; 256];
        for row in input.rows() {
            for &level in row {
                counts[usize::from(level)] += 1;
            }
        }
        let darkest = counts.iter().copied().find(|&n| n > 0).unwrap_or(0);
        let spread = (input.width() * input.height()) as u64 - darkest;
        let mut table = [0u8; 256];
        let mut sum = 0u64;
        for (level, (to, count)) in table.iter_mut().zip(counts).enumerate() {
            sum += count;
            // A picture of one level stays as it is.
            *to = (sum.saturating_sub(darkest) * 255 + spread / 2).checked_div(spread).map_or(level as u8, |rank| rank as u8);
        }
        for (y, row) in input.rows().enumerate() {
            for (to, &from) in output.row_mut(y).iter_mut().zip(row) {
                *to = table[usize::from(from)];
            }
        }
        Ok(())
    }
}

export_operator!(Equalize);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8], w: usize, h: usize) -> Vec<u8> {
        let mut out = vec![0; w * h];
        Equalize.run(&Picture::new(input, w, h, w).unwrap(), &mut PictureMut::new(&mut out, w, h, w).unwrap()).unwrap();
        out
    }

    #[test]
    fn spreads_levels_by_rank_over_the_whole_range() {
        assert_eq!(run(&[100, 101, 102, 103], 2, 2), [0, 85, 170, 255]);
        assert_eq!(run(&[50, 50, 60, 60, 200, 200], 3, 2), [0, 0, 128, 128, 255, 255]);
    }

    #[test]
    fn a_picture_of_one_level_stays_as_it_is() {
        assert_eq!(run(&[77; 12], 4, 3), [77; 12]);
    }
}
