//! What several operators need: a Gaussian.

use crate::Picture;

/// Separable Gaussian with repeated borders. Keeps its rows from picture to picture.
#[derive(Clone, Debug, Default)]
pub struct Gaussian {
    /// Half of a symmetric kernel in Q14: the middle, then outwards.
    weights: Vec<i32>,
    padded: Vec<u8>,
    /// Q6 after the horizontal pass.
    rows: Vec<u16>,
    sums: Vec<i32>,
}

const ONE: i32 = 1 << 14;

impl Gaussian {
    /// Standard deviation `sigma` in px, cut off at `radius` px.
    #[must_use]
    pub fn new(sigma: f64, radius: usize) -> Self {
        let exact: Vec<f64> = (0..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
        let sum = exact[0] + 2.0 * exact[1..].iter().sum::<f64>();
        let mut weights: Vec<i32> = exact.iter().map(|w| (w / sum * f64::from(ONE)).round() as i32).collect();
        // An even middle can be halved.
        weights[0] = ONE - 2 * weights[1..].iter().sum::<i32>();
        Self { weights, ..Self::default() }
    }

    /// Half of the symmetric kernel in Q14: the middle, then outwards. Middle and twice the others sum to 16384.
    #[must_use]
    pub fn weights_q14(&self) -> &[i32] {
        &self.weights
    }

    /// Writes the blurred picture into `out`: u8 `[H, W]` without padding.
    pub fn blur(&mut self, input: &Picture<'_>, out: &mut Vec<u8>) {
        let (w, h, radius) = (input.width(), input.height(), self.weights.len() - 1);
        self.rows.resize(w * h, 0);
        self.sums.resize(w, 0);
        self.padded.resize(w + 2 * radius, 0);
        for (row, to) in input.rows().zip(self.rows.chunks_exact_mut(w)) {
            self.padded[..radius].fill(row[0]);
            self.padded[radius..radius + w].copy_from_slice(row);
            self.padded[radius + w..].fill(row[w - 1]);
            self.sums.fill(1 << 7);
            for (k, &weight) in self.weights.iter().enumerate() {
                let (left, right) = (&self.padded[radius - k..][..w], &self.padded[radius + k..][..w]);
                // The middle is one sample, taken twice with half its weight.
                let weight = if k == 0 { weight / 2 } else { weight };
                for ((sum, &a), &b) in self.sums.iter_mut().zip(left).zip(right) {
                    *sum += weight * (i32::from(a) + i32::from(b));
                }
            }
            for (to, &sum) in to.iter_mut().zip(&self.sums) {
                *to = (sum >> 8) as u16;
            }
        }
        out.resize(w * h, 0);
        for (y, to) in out.chunks_exact_mut(w).enumerate() {
            self.sums.fill(1 << 19);
            for (k, &weight) in self.weights.iter().enumerate() {
                let above = &self.rows[y.saturating_sub(k) * w..][..w];
                let below = &self.rows[(y + k).min(h - 1) * w..][..w];
                let weight = if k == 0 { weight / 2 } else { weight };
                for ((sum, &a), &b) in self.sums.iter_mut().zip(above).zip(below) {
                    *sum += weight * (i32::from(a) + i32::from(b));
                }
            }
            for (to, &sum) in to.iter_mut().zip(&self.sums) {
                *to = (sum >> 20).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat_and_a_point_becomes_a_bell() {
        let flat = vec![201u8; 30 * 20];
        let mut out = Vec::new();
        let mut g = Gaussian::new(2.0, 6);
        g.blur(&Picture::new(&flat, 30, 20, 30).unwrap(), &mut out);
        assert!(out.iter().all(|&v| v == 201), "{out:?}");
        let mut point = vec![0u8; 31 * 31];
        point[15 * 31 + 15] = 255;
        g.blur(&Picture::new(&point, 31, 31, 31).unwrap(), &mut out);
        for (dx, dy) in [(0usize, 0usize), (1, 0), (0, 2), (2, 2), (3, 1)] {
            let wanted = 255.0 / (2.0 * std::f64::consts::PI * 4.0) * (-((dx * dx + dy * dy) as f64) / 8.0).exp();
            for at in [(15 + dy) * 31 + 15 + dx, (15 - dy) * 31 + 15 - dx] {
                assert!((f64::from(out[at]) - wanted).abs() <= 1.0, "{dx} {dy}: {} for {wanted}", out[at]);
            }
        }
    }
}
