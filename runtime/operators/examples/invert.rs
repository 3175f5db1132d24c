//! The smallest operator: black becomes white.

use gantry_operators::{Operator, Param, Picture, PictureMut, export_operator, f64_param};
use serde::Deserialize;

struct Invert {
    strength: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    strength: f64,
}

impl Operator for Invert {
    const NAME: &'static str = "example";
    const PARAMS: &'static [Param] = &[f64_param("strength", "", 0.0, 1.0, 1.0, "1 inverts fully")];
    type Params = Params;

    fn open(params: Params) -> Result<Self, String> {
        Ok(Self { strength: params.strength })
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        for (y, row) in input.rows().enumerate() {
            for (to, &from) in output.row_mut(y).iter_mut().zip(row) {
                *to = (f64::from(from) + self.strength * (255.0 - 2.0 * f64::from(from))).round() as u8;
            }
        }
        Ok(())
    }
}

export_operator!(Invert);
