//! An operator with bugs, for the tests: panics on wide pictures, refuses tall ones.

use gantry_operators::{Operator, Param, Picture, PictureMut, export_operator};
use serde::Deserialize;

struct Panics;

#[derive(Deserialize)]
struct Params {}

impl Operator for Panics {
    const NAME: &'static str = "panics";
    const PARAMS: &'static [Param] = &[];
    type Params = Params;

    fn open(_: Params) -> Result<Self, String> {
        Ok(Self)
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        if input.height() > 100 {
            return Err(format!("{} rows are too many", input.height()));
        }
        assert!(input.width() < 100, "{} columns are too many", input.width());
        output.row_mut(0)[0] = 1;
        Ok(())
    }
}

export_operator!(Panics);
