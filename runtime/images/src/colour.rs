//! Y, U, V to R, G, B in 16-bit fixed point.

use gantry_frames::{Colour, Matrix, Range};

/// One matrix in the fixed point that [`rgb_row`] uses: products are taken as the upper half of 16 x 16 bits, one instruction
/// (`pmulhw`) for 16 samples. Y comes as Q7 times Q14, colour as Q8 times Q13; both give Q5. The result is within one level of
/// the exact value.
///
/// Constants: ITU-R BT.601-7, BT.709-6 and BT.2020-2, `Kr` and `Kb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficients {
    y_offset_q7: i16,
    y_q14: i16,
    r_v_q13: i16,
    g_u_q13: i16,
    g_v_q13: i16,
    b_u_q13: i16,
}

impl Coefficients {
    /// The matrix of `colour`. [`Matrix::Rgb`] on a YUV picture is a stream that says nonsense; BT.709 is taken.
    #[must_use]
    pub fn of(colour: Colour) -> Self {
        let (kr, kb) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 | Matrix::Rgb => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let kg = 1.0 - kr - kb;
        let (y_offset, y, c) = match colour.range {
            Range::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0, 1.0, 1.0),
        };
        let q13 = |v: f64| (v * 8192.0).round() as i16;
        Self {
            y_offset_q7: y_offset * 128,
            y_q14: (y * 16384.0_f64).round() as i16,
            r_v_q13: q13(c * 2.0 * (1.0 - kr)),
            g_u_q13: q13(c * 2.0 * (1.0 - kb) * kb / kg),
            g_v_q13: q13(c * 2.0 * (1.0 - kr) * kr / kg),
            b_u_q13: q13(c * 2.0 * (1.0 - kb)),
        }
    }
}

impl Coefficients {
    /// For the kernels: offset of Y in Q7, factor of Y in Q14, then in Q13 those of V for red, of U and V for green, of U for blue.
    #[must_use]
    pub fn raw(&self) -> [i16; 6] {
        [self.y_offset_q7, self.y_q14, self.r_v_q13, self.g_u_q13, self.g_v_q13, self.b_u_q13]
    }

    /// One pixel, as [`rgb_row`] makes it: luma times 128, chroma centred and times 256.
    #[inline(always)]
    #[must_use]
    pub fn rgb(&self, y_q7: i16, u_q8: i16, v_q8: i16) -> [u8; 3] {
        let luma = mul_high(y_q7 - self.y_offset_q7, self.y_q14);
        [
            level(luma + mul_high(v_q8, self.r_v_q13)),
            level(luma - mul_high(u_q8, self.g_u_q13) - mul_high(v_q8, self.g_v_q13)),
            level(luma + mul_high(u_q8, self.b_u_q13)),
        ]
    }
}

/// Each product is rounded down, half a step of Q5 too low on average: 17 instead of 16 makes up for it.
#[inline(always)]
fn level(q5: i16) -> u8 {
    ((q5 + 17) >> 5).clamp(0, 255) as u8
}

#[inline(always)]
fn mul_high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

/// A chroma sample as `(value - 128) * 256`.
pub trait ChromaSample: Copy {
    /// Centred, Q8.
    fn q8(self) -> i16;
}

impl ChromaSample for u8 {
    #[inline(always)]
    fn q8(self) -> i16 {
        (i16::from(self) - 128) << 8
    }
}

/// Already centred Q8: an interpolated sample that keeps its fraction.
impl ChromaSample for i16 {
    #[inline(always)]
    fn q8(self) -> i16 {
        self
    }
}

/// Converts one row: `y_q7` is luma times 128, `u` and `v` one sample per pixel. Slices are used up to the shortest.
#[inline(always)]
pub fn rgb_row<C: ChromaSample>(c: &Coefficients, y_q7: &[i16], u: &[C], v: &[C], r: &mut [u8], g: &mut [u8], b: &mut [u8]) {
    let n = y_q7.len().min(u.len()).min(v.len()).min(r.len()).min(g.len()).min(b.len());
    let (y_q7, u, v) = (&y_q7[..n], &u[..n], &v[..n]);
    let (r, g, b) = (&mut r[..n], &mut g[..n], &mut b[..n]);
    for i in 0..n {
        [r[i], g[i], b[i]] = c.rgb(y_q7[i], u[i].q8(), v[i].q8());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_within_one_level_of_the_exact_matrix() {
        let kr_kb = |m| match m {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt2020 => (0.2627, 0.0593),
            _ => (0.2126, 0.0722),
        };
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for range in [Range::Limited, Range::Full] {
                let c = Coefficients::of(Colour { matrix, range });
                let (kr, kb): (f64, f64) = kr_kb(matrix);
                let ys: Vec<i16> = (0..256).map(|y| y * 128).collect();
                for u in (0..256).step_by(3) {
                    for v in (0..256).step_by(5) {
                        let (us, vs) = (vec![u as u8; 256], vec![v as u8; 256]);
                        let (mut r, mut g, mut b) = (vec![0; 256], vec![0; 256], vec![0; 256]);
                        rgb_row(&c, &ys, &us, &vs, &mut r, &mut g, &mut b);
                        for y in 0..256 {
                            let (l, cs) =
                                if range == Range::Limited { ((y as f64 - 16.0) / 219.0, 224.0) } else { (y as f64 / 255.0, 255.0) };
                            let (pb, pr) = ((u as f64 - 128.0) / cs, (v as f64 - 128.0) / cs);
                            let red = l + 2.0 * (1.0 - kr) * pr;
                            let blue = l + 2.0 * (1.0 - kb) * pb;
                            let green = (l - kr * red - kb * blue) / (1.0 - kr - kb);
                            for (found, wanted) in [(r[y], red), (g[y], green), (b[y], blue)] {
                                let wanted = (wanted * 255.0).clamp(0.0, 255.0);
                                assert!(
                                    (f64::from(found) - wanted).abs() <= 1.0,
                                    "{matrix:?} {range:?} y {y} u {u} v {v}: {found} for {wanted}"
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
