//! Operator `adaptive_threshold`: a pixel is white if it is lighter than the mean of its surroundings less `c`, else black.
//! The mean is that of a square of `block_px`, plain or weighed by a Gaussian of sigma `0.3 * ((block_px - 1) / 2 - 1) + 0.8`
//! (as OpenCV's `adaptiveThreshold` does). Borders repeat.

use gantry_operators::pixels::Gaussian;
use gantry_operators::{Operator, Param, Picture, PictureMut, Text, choice_param, export_operator, f64_param, int_param, text};
use serde::Deserialize;

const MEANS: &[Text] = &[text("gaussian"), text("mean")];

/// The operator.
#[derive(Debug)]
pub struct AdaptiveThreshold {
    mean: Mean,
    c: i32,
    local: Vec<u8>,
}

#[derive(Debug)]
enum Mean {
    Gaussian(Gaussian),
    Plain { radius: usize, sums: Vec<u32> },
}

/// Options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    mean: String,
    block_px: usize,
    c: f64,
}

impl Operator for AdaptiveThreshold {
    const NAME: &'static str = "adaptive_threshold";
    const PARAMS: &'static [Param] = &[
        choice_param("mean", MEANS, "gaussian", "how the surroundings are weighed"),
        int_param("block_px", "px", 3, 255, 31, "side of the surroundings, odd; wider than a stroke"),
        f64_param("c", "", -128.0, 128.0, 8.0, "levels by which a pixel must be darker than its surroundings to be black"),
    ];
    type Params = Params;

    fn open(params: Params) -> Result<Self, String> {
        if params.block_px.is_multiple_of(2) {
            return Err(format!("`block_px` is {}, an odd number is wanted; try {}", params.block_px, params.block_px + 1));
        }
        let radius = params.block_px / 2;
        let mean = if params.mean == "gaussian" {
            Mean::Gaussian(Gaussian::new(0.3 * (radius as f64 - 1.0) + 0.8, radius))
        } else {
            Mean::Plain { radius, sums: Vec::new() }
        };
        Ok(Self { mean, c: params.c.round() as i32, local: Vec::new() })
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        match &mut self.mean {
            Mean::Gaussian(gaussian) => gaussian.blur(input, &mut self.local),
            Mean::Plain { radius, sums } => box_mean(input, *radius, sums, &mut self.local),
        }
        let c = self.c;
        for (y, (row, local)) in input.rows().zip(self.local.chunks_exact(input.width())).enumerate() {
            for ((to, &from), &mean) in output.row_mut(y).iter_mut().zip(row).zip(local) {
                *to = if i32::from(from) > i32::from(mean) - c { 255 } else { 0 };
            }
        }
        Ok(())
    }
}

/// Mean of a square, borders repeated, with running sums along columns and then along the row.
fn box_mean(input: &Picture<'_>, radius: usize, sums: &mut Vec<u32>, out: &mut Vec<u8>) {
    let (w, h) = (input.width(), input.height());
    let area = ((2 * radius + 1) * (2 * radius + 1)) as u32;
    out.resize(w * h, 0);
    sums.clear();
    sums.resize(w, 0);
    let row = |y: isize| input.row(y.clamp(0, h as isize - 1) as usize);
    let reach = radius as isize;
    for y in -reach..=reach {
        for (sum, &v) in sums.iter_mut().zip(row(y)) {
            *sum += u32::from(v);
        }
    }
    for y in 0..h as isize {
        let column = |x: isize| sums[x.clamp(0, w as isize - 1) as usize];
        let mut sum: u32 = (-reach..=reach).map(column).sum();
        for (x, to) in (0isize..).zip(&mut out[y as usize * w..][..w]) {
            *to = ((sum + area / 2) / area) as u8;
            sum = sum + column(x + reach + 1) - column(x - reach);
        }
        for ((sum, &new), &old) in sums.iter_mut().zip(row(y + reach + 1)).zip(row(y - reach)) {
            *sum = *sum + u32::from(new) - u32::from(old);
        }
    }
}

export_operator!(AdaptiveThreshold);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_operators::plugin::open;

    fn run(options: &str, input: &[u8], w: usize, h: usize) -> Vec<u8> {
        let mut out = vec![0; w * h];
        let mut operator = open::<AdaptiveThreshold>(options).unwrap();
        operator.run(&Picture::new(input, w, h, w).unwrap(), &mut PictureMut::new(&mut out, w, h, w).unwrap()).unwrap();
        out
    }

    #[test]
    fn separates_ink_from_a_background_that_climbs() {
        let (w, h) = (200, 60);
        let ink = |x: usize| (x / 8).is_multiple_of(2);
        let input: Vec<u8> = (0..w * h).map(|i| (60 + (i % w) * 150 / w) as u8 - if ink(i % w) { 40 } else { 0 }).collect();
        for options in ["", "mean=mean", "mean=mean;block_px=25;c=5"] {
            let out = run(options, &input, w, h);
            let wrong = (0..w * h).filter(|i| (20..180).contains(&(i % w)) && (out[*i] == 0) != ink(i % w)).count();
            assert!(wrong * 50 < w * h, "{options}: {wrong} of {} wrong", w * h);
        }
    }

    #[test]
    fn the_plain_mean_is_that_of_the_square_with_repeated_borders() {
        let (w, h, radius) = (17usize, 9usize, 3isize);
        let input: Vec<u8> = (0..w * h).map(|i| (i * 37 % 251) as u8).collect();
        let mut found = Vec::new();
        box_mean(&Picture::new(&input, w, h, w).unwrap(), 3, &mut Vec::new(), &mut found);
        for y in 0..h as isize {
            for x in 0..w as isize {
                let mut sum = 0u32;
                for dy in -radius..=radius {
                    for dx in -radius..=radius {
                        let (sx, sy) = ((x + dx).clamp(0, w as isize - 1), (y + dy).clamp(0, h as isize - 1));
                        sum += u32::from(input[sy as usize * w + sx as usize]);
                    }
                }
                assert_eq!(u32::from(found[y as usize * w + x as usize]), (sum + 24) / 49, "({x}, {y})");
            }
        }
    }

    #[test]
    fn an_even_block_is_refused() {
        assert!(open::<AdaptiveThreshold>("block_px=30").unwrap_err().contains("try 31"));
    }
}
