//! Operator `OPERATOR_NAME`: moves every level away from the middle grey.

use gantry_operators::{Operator, Param, Picture, PictureMut, export_operator, f64_param};
use serde::Deserialize;

/// The operator with its options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    gain: f64,
}

impl Operator for Template {
    const NAME: &'static str = "OPERATOR_NAME";
    const PARAMS: &'static [Param] = &[f64_param("gain", "", 0.0, 8.0, 1.5, "1 changes nothing")];
    type Params = Self;

    fn open(params: Self) -> Result<Self, String> {
        Ok(params)
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        for (y, row) in input.rows().enumerate() {
            for (to, &from) in output.row_mut(y).iter_mut().zip(row) {
                *to = (128.0 + self.gain * (f64::from(from) - 128.0)).clamp(0.0, 255.0).round() as u8;
            }
        }
        Ok(())
    }
}

export_operator!(Template);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_move_away_from_the_middle() {
        let mut out = [0; 4];
        let input = Picture::new(&[0, 100, 128, 200], 4, 1, 4).unwrap();
        Template { gain: 2.0 }.run(&input, &mut PictureMut::new(&mut out, 4, 1, 4).unwrap()).unwrap();
        assert_eq!(out, [0, 72, 128, 255]);
    }
}
