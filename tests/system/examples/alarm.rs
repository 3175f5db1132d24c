//! An operator with a bug, for the tests: it panics at the first picture.

use gantry_operators::{Operator, Param, Picture, PictureMut, export_operator};

struct Alarm;

#[derive(serde::Deserialize)]
struct Params {}

impl Operator for Alarm {
    const NAME: &'static str = "alarm";
    const PARAMS: &'static [Param] = &[];
    type Params = Params;

    fn open(_: Params) -> Result<Self, String> {
        Ok(Self)
    }

    fn run(&mut self, input: &Picture<'_>, _: &mut PictureMut<'_>) -> Result<(), String> {
        panic!("{} columns are too many", input.width())
    }
}

export_operator!(Alarm);
