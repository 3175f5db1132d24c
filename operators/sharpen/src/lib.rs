//! Operator `sharpen`: unsharp mask, `picture + amount * (picture - blurred)`, where the difference exceeds `threshold` levels.

use gantry_operators::pixels::Gaussian;
use gantry_operators::{Operator, Param, Picture, PictureMut, export_operator, f64_param, int_param};
use serde::Deserialize;

/// The operator.
#[derive(Debug)]
pub struct Sharpen {
    gaussian: Gaussian,
    amount_q8: i32,
    threshold: i32,
    blurred: Vec<u8>,
}

/// Options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    sigma_px: f64,
    amount: f64,
    threshold: i32,
}

impl Operator for Sharpen {
    const NAME: &'static str = "sharpen";
    const PARAMS: &'static [Param] = &[
        f64_param("sigma_px", "px", 0.3, 16.0, 2.0, "width of the blur that is taken away"),
        f64_param("amount", "", 0.0, 10.0, 1.5, "how much of the difference is added"),
        int_param("threshold", "levels", 0, 255, 0, "smaller differences are noise and stay as they are"),
    ];
    type Params = Params;

    fn open(p: Params) -> Result<Self, String> {
        let gaussian = Gaussian::new(p.sigma_px, (3.0 * p.sigma_px).ceil() as usize);
        Ok(Self { gaussian, amount_q8: (p.amount * 256.0).round() as i32, threshold: p.threshold, blurred: Vec::new() })
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        self.gaussian.blur(input, &mut self.blurred);
        let (amount, threshold) = (self.amount_q8, self.threshold);
        for (y, (row, blurred)) in input.rows().zip(self.blurred.chunks_exact(input.width())).enumerate() {
            for ((to, &from), &soft) in output.row_mut(y).iter_mut().zip(row).zip(blurred) {
                let difference = i32::from(from) - i32::from(soft);
                let added = if difference.abs() > threshold { (difference * amount + 128) >> 8 } else { 0 };
                *to = (i32::from(from) + added).clamp(0, 255) as u8;
            }
        }
        Ok(())
    }
}

export_operator!(Sharpen);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_operators::plugin::open;

    fn run(options: &str, input: &[u8], w: usize, h: usize) -> Vec<u8> {
        let mut out = vec![0; w * h];
        let mut operator = open::<Sharpen>(options).unwrap();
        operator.run(&Picture::new(input, w, h, w).unwrap(), &mut PictureMut::new(&mut out, w, h, w).unwrap()).unwrap();
        out
    }

    #[test]
    fn steepens_a_soft_edge_and_leaves_flat_places() {
        let (w, h) = (40usize, 12usize);
        let edge = |x: usize| (100.0 + 60.0 / (1.0 + (-(x as f64 - 19.5) / 1.5).exp())) as u8;
        let input: Vec<u8> = (0..w * h).map(|i| edge(i % w)).collect();
        let out = run("", &input, w, h);
        let steepest = |p: &[u8]| (1..w).map(|x| p[5 * w + x].abs_diff(p[5 * w + x - 1])).max().unwrap();
        assert!(f64::from(steepest(&out)) > 1.2 * f64::from(steepest(&input)), "{} from {}", steepest(&out), steepest(&input));
        assert_eq!(out[5 * w..5 * w + 3], input[5 * w..5 * w + 3]);
    }

    #[test]
    fn amount_zero_and_differences_below_the_threshold_change_nothing() {
        let input: Vec<u8> = (0..30 * 10).map(|i| (i * 13 % 200) as u8).collect();
        assert_eq!(run("amount=0", &input, 30, 10), input);
        assert_eq!(run("threshold=255", &input, 30, 10), input);
        assert_ne!(run("", &input, 30, 10), input);
    }
}
