//! Planes of bytes: copy, turn, fill in a missing field. Pure functions.

/// One plane to read.
#[derive(Clone, Copy, Debug)]
pub struct PlaneRef<'a> {
    /// `stride * (height - 1) + width` bytes at least.
    pub bytes: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
    /// Visible bytes per row.
    pub width: usize,
    /// Visible rows.
    pub height: usize,
}

/// One plane to write.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// As in [`PlaneRef`].
    pub bytes: &'a mut [u8],
    /// Bytes from row to row.
    pub stride: usize,
    /// Visible bytes per row.
    pub width: usize,
    /// Visible rows.
    pub height: usize,
}

impl<'a> PlaneRef<'a> {
    /// Row `y`, visible bytes only.
    #[must_use]
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.width]
    }
}

impl PlaneMut<'_> {
    /// Row `y`, visible bytes only.
    pub fn row(&mut self, y: usize) -> &mut [u8] {
        &mut self.bytes[y * self.stride..][..self.width]
    }

    /// For reading.
    #[must_use]
    pub fn as_ref(&self) -> PlaneRef<'_> {
        PlaneRef { bytes: self.bytes, stride: self.stride, width: self.width, height: self.height }
    }
}

/// Copies the visible rows; both planes have the same visible size.
pub fn copy(from: PlaneRef<'_>, to: &mut PlaneMut<'_>) {
    for y in 0..from.height {
        to.row(y).copy_from_slice(from.row(y));
    }
}

/// Turns clockwise by `degrees` (0, 90, 180, 270); for quarter turns `to` has the sides swapped.
///
/// 90: the left column, read from bottom to top, becomes the top row.
pub fn rotate(from: PlaneRef<'_>, to: &mut PlaneMut<'_>, degrees: u32) {
    let (w, h) = (from.width, from.height);
    match degrees {
        90 | 270 => {
            // Blocks of 16x16 keep both sides in cache: a column walk over 1080 rows misses on every byte.
            const BLOCK: usize = 16;
            for y0 in (0..h).step_by(BLOCK) {
                for x0 in (0..w).step_by(BLOCK) {
                    for y in y0..(y0 + BLOCK).min(h) {
                        let row = from.row(y);
                        for (x, &value) in row.iter().enumerate().take((x0 + BLOCK).min(w)).skip(x0) {
                            let (tx, ty) = if degrees == 90 { (h - 1 - y, x) } else { (y, w - 1 - x) };
                            to.bytes[ty * to.stride + tx] = value;
                        }
                    }
                }
            }
        }
        180 => {
            for y in 0..h {
                let row = from.row(h - 1 - y);
                for (a, b) in to.row(y).iter_mut().zip(row.iter().rev()) {
                    *a = *b;
                }
            }
        }
        _ => copy(from, to),
    }
}

/// Makes a whole picture of one field: keeps its rows and puts the mean of the neighbours between them.
///
/// `keep_top`: the rows 0, 2, 4, .. are kept. Moving edges lose their combs, still ones lose half their vertical detail.
pub fn deinterlace(from: PlaneRef<'_>, to: &mut PlaneMut<'_>, keep_top: bool) {
    let kept = usize::from(!keep_top);
    for y in 0..from.height {
        if y % 2 == kept || from.height < 2 {
            to.row(y).copy_from_slice(from.row(y));
            continue;
        }
        let above = if y == 0 { y + 1 } else { y - 1 };
        let below = if y + 1 < from.height { y + 1 } else { y - 1 };
        let (above, below) = (from.row(above), from.row(below));
        for ((out, a), b) in to.row(y).iter_mut().zip(above).zip(below) {
            *out = (u16::from(*a) + u16::from(*b)).div_ceil(2) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(bytes: &[u8], stride: usize, width: usize, height: usize) -> PlaneRef<'_> {
        PlaneRef { bytes, stride, width, height }
    }

    fn turned(bytes: &[u8], width: usize, height: usize, degrees: u32) -> Vec<u8> {
        let (w, h) = if degrees.is_multiple_of(180) { (width, height) } else { (height, width) };
        let mut out = vec![0; w * h];
        rotate(plane(bytes, width, width, height), &mut PlaneMut { bytes: &mut out, stride: w, width: w, height: h }, degrees);
        out
    }

    #[test]
    fn turns_clockwise() {
        let picture = [1, 2, 3, 4, 5, 6];
        assert_eq!(turned(&picture, 3, 2, 90), [4, 1, 5, 2, 6, 3]);
        assert_eq!(turned(&picture, 3, 2, 180), [6, 5, 4, 3, 2, 1]);
        assert_eq!(turned(&picture, 3, 2, 270), [3, 6, 2, 5, 1, 4]);
        assert_eq!(turned(&picture, 3, 2, 0), picture);
    }

    #[test]
    fn four_quarter_turns_of_an_odd_size_give_the_picture_back() {
        let (w, h) = (37, 53);
        let picture: Vec<u8> = (0..w * h).map(|i| (i * 7 % 251) as u8).collect();
        let mut now = picture.clone();
        let (mut cw, mut ch) = (w, h);
        for _ in 0..4 {
            now = turned(&now, cw, ch, 90);
            (cw, ch) = (ch, cw);
        }
        assert_eq!(now, picture);
        assert_eq!(turned(&turned(&picture, w, h, 90), h, w, 270), picture);
    }

    #[test]
    fn deinterlacing_removes_the_other_field_and_leaves_padding_alone() {
        // Field rows 10, 20, 30; comb rows 200. Stride 3, visible width 2.
        let comb = [10, 10, 9, 200, 200, 9, 20, 20, 9, 200, 200, 9, 30, 30, 9, 200, 200, 9];
        let mut out = [7u8; 18];
        deinterlace(plane(&comb, 3, 2, 6), &mut PlaneMut { bytes: &mut out, stride: 3, width: 2, height: 6 }, true);
        assert_eq!(out, [10, 10, 7, 15, 15, 7, 20, 20, 7, 25, 25, 7, 30, 30, 7, 30, 30, 7]);
        deinterlace(plane(&comb, 3, 2, 6), &mut PlaneMut { bytes: &mut out, stride: 3, width: 2, height: 6 }, false);
        assert!(out.iter().all(|v| [200, 7].contains(v)));
    }
}
