//! Operator `morphology`: erosion (minimum) and dilation (maximum) over a rectangle, and what is made of them.
//!
//! | `operation` | is |
//! |---|---|
//! | `open` | erode, then dilate: light specks go, dark strokes close up |
//! | `close` | dilate, then erode: dark specks go, thin dark joints open |
//! | `tophat` | picture - open: light details on any background |
//! | `blackhat` | close - picture: dark details on any background |
//! | `gradient` | dilate - erode: outlines |
//! | `erode`, `dilate` | by themselves |
//!
//! Beyond the border there is nothing: the rectangle is cut off there.

use gantry_operators::{Operator, Param, Picture, PictureMut, Text, choice_param, export_operator, int_param, text};
use serde::Deserialize;

const OPERATIONS: &[Text] =
    &[text("open"), text("close"), text("tophat"), text("blackhat"), text("gradient"), text("erode"), text("dilate")];

/// The operator.
#[derive(Debug)]
pub struct Morphology {
    operation: Operation,
    left: usize,
    up: usize,
    right: usize,
    down: usize,
    first: Vec<u8>,
    second: Vec<u8>,
    third: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Open,
    Close,
    Tophat,
    Blackhat,
    Gradient,
    Erode,
    Dilate,
}

/// Options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    operation: Operation,
    width_px: usize,
    height_px: usize,
}

impl Operator for Morphology {
    const NAME: &'static str = "morphology";
    const PARAMS: &'static [Param] = &[
        choice_param("operation", OPERATIONS, "close", "what is made of minimum and maximum"),
        int_param("width_px", "px", 1, 64, 3, "width of the rectangle"),
        int_param("height_px", "px", 1, 64, 3, "height of the rectangle"),
    ];
    type Params = Params;

    fn open(p: Params) -> Result<Self, String> {
        let (left, up) = (p.width_px / 2, p.height_px / 2);
        Ok(Self {
            operation: p.operation,
            left,
            up,
            right: p.width_px - 1 - left,
            down: p.height_px - 1 - up,
            first: Vec::new(),
            second: Vec::new(),
            third: Vec::new(),
        })
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        let (w, h) = (input.width(), input.height());
        let Self { first, second, third, .. } = self;
        let reach = [self.left, self.up, self.right, self.down];
        // The second pass mirrors the rectangle, so that an even one does not shift the picture.
        let back = [self.right, self.down, self.left, self.up];
        third.clear();
        input.rows().for_each(|row| third.extend_from_slice(row));
        match self.operation {
            Operation::Erode => extreme(third, second, first, w, h, reach, u8::min),
            Operation::Dilate => extreme(third, second, first, w, h, reach, u8::max),
            Operation::Open | Operation::Tophat => {
                extreme(third, second, first, w, h, reach, u8::min);
                let eroded = std::mem::take(first);
                extreme(&eroded, second, first, w, h, back, u8::max);
                if self.operation == Operation::Tophat {
                    first.iter_mut().zip(third.iter()).for_each(|(v, &p)| *v = p - *v);
                }
            }
            Operation::Close | Operation::Blackhat => {
                extreme(third, second, first, w, h, reach, u8::max);
                let dilated = std::mem::take(first);
                extreme(&dilated, second, first, w, h, back, u8::min);
                if self.operation == Operation::Blackhat {
                    first.iter_mut().zip(third.iter()).for_each(|(v, &p)| *v -= p);
                }
            }
            Operation::Gradient => {
                extreme(third, second, first, w, h, reach, u8::min);
                let eroded = std::mem::take(first);
                extreme(third, second, first, w, h, reach, u8::max);
                first.iter_mut().zip(&eroded).for_each(|(v, &e)| *v -= e);
            }
        }
        for (y, row) in first.chunks_exact(w).enumerate() {
            output.row_mut(y).copy_from_slice(row);
        }
        Ok(())
    }
}

/// Minimum or maximum over `[left, up, right, down]` around each pixel: along rows into `middle`, then along columns into `out`.
fn extreme(
    input: &[u8],
    middle: &mut Vec<u8>,
    out: &mut Vec<u8>,
    w: usize,
    h: usize,
    [left, up, right, down]: [usize; 4],
    pick: fn(u8, u8) -> u8,
) {
    // Monomorphic loops vectorise; a call through a pointer would not.
    if pick(0, 1) == 0 {
        passes(input, middle, out, (w, h), [left, up, right, down], u8::min);
    } else {
        passes(input, middle, out, (w, h), [left, up, right, down], u8::max);
    }
}

fn passes(
    input: &[u8],
    middle: &mut Vec<u8>,
    out: &mut Vec<u8>,
    (w, h): (usize, usize),
    [left, up, right, down]: [usize; 4],
    pick: impl Fn(u8, u8) -> u8,
) {
    let merge = |to: &mut [u8], from: &[u8]| to.iter_mut().zip(from).for_each(|(t, &f)| *t = pick(*t, f));
    middle.clear();
    middle.extend_from_slice(input);
    for (to, row) in middle.chunks_exact_mut(w).zip(input.chunks_exact(w)) {
        for k in 1..=left.min(w - 1) {
            merge(&mut to[k..], &row[..w - k]);
        }
        for k in 1..=right.min(w - 1) {
            merge(&mut to[..w - k], &row[k..]);
        }
    }
    out.clear();
    out.extend_from_slice(middle);
    for y in 0..h {
        for k in y.saturating_sub(up)..=(y + down).min(h - 1) {
            if k != y {
                merge(&mut out[y * w..(y + 1) * w], &middle[k * w..(k + 1) * w]);
            }
        }
    }
}

export_operator!(Morphology);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_operators::plugin::open;

    fn run(options: &str, input: &[u8], w: usize, h: usize) -> Vec<u8> {
        let mut out = vec![0; w * h];
        let mut operator = open::<Morphology>(options).unwrap();
        operator.run(&Picture::new(input, w, h, w).unwrap(), &mut PictureMut::new(&mut out, w, h, w).unwrap()).unwrap();
        out
    }

    fn slow(input: &[u8], w: usize, h: usize, kw: usize, kh: usize, max: bool) -> Vec<u8> {
        (0..w * h)
            .map(|i| {
                let (x, y) = ((i % w) as isize, (i / w) as isize);
                let (l, u) = ((kw / 2) as isize, (kh / 2) as isize);
                let cells = (y - u..y - u + kh as isize).flat_map(|sy| (x - l..x - l + kw as isize).map(move |sx| (sx, sy)));
                let inside = cells.filter(|&(sx, sy)| sx >= 0 && sy >= 0 && sx < w as isize && sy < h as isize);
                let values = inside.map(|(sx, sy)| input[sy as usize * w + sx as usize]);
                if max { values.max().unwrap() } else { values.min().unwrap() }
            })
            .collect()
    }

    #[test]
    fn minimum_and_maximum_are_those_of_the_rectangle() {
        let (w, h) = (23, 14);
        let input: Vec<u8> = (0..w * h).map(|i| (i * 91 % 253) as u8).collect();
        for (kw, kh) in [(1, 1), (3, 3), (4, 2), (7, 5), (40, 40)] {
            let options = |op: &str| format!("operation={op};width_px={kw};height_px={kh}");
            let (low, high) = (slow(&input, w, h, kw, kh, false), slow(&input, w, h, kw, kh, true));
            assert_eq!(run(&options("erode"), &input, w, h), low, "{kw}x{kh}");
            assert_eq!(run(&options("dilate"), &input, w, h), high, "{kw}x{kh}");
            let difference: Vec<u8> = high.iter().zip(&low).map(|(a, b)| a - b).collect();
            assert_eq!(run(&options("gradient"), &input, w, h), difference, "{kw}x{kh}");
        }
    }

    #[test]
    fn opening_is_below_and_closing_above_the_picture_and_both_are_idempotent() {
        let (w, h) = (31, 20);
        let input: Vec<u8> = (0..w * h).map(|i| (i * 57 % 255) as u8).collect();
        for size in ["width_px=3;height_px=3", "width_px=4;height_px=2"] {
            let open = format!("operation=open;{size}");
            let close = format!("operation=close;{size}");
            let (opened, closed) = (run(&open, &input, w, h), run(&close, &input, w, h));
            assert!(opened.iter().zip(&input).all(|(a, b)| a <= b) && opened != input);
            assert!(closed.iter().zip(&input).all(|(a, b)| a >= b) && closed != input);
            assert_eq!(run(&open, &opened, w, h), opened);
            assert_eq!(run(&close, &closed, w, h), closed);
            let top: Vec<u8> = input.iter().zip(&opened).map(|(a, b)| a - b).collect();
            assert_eq!(run(&format!("operation=tophat;{size}"), &input, w, h), top);
            let black: Vec<u8> = closed.iter().zip(&input).map(|(a, b)| a - b).collect();
            assert_eq!(run(&format!("operation=blackhat;{size}"), &input, w, h), black);
        }
    }
}
