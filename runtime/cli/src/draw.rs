//! Boxes and labels on an RGB picture.

use font8x8::UnicodeFonts;

/// A picture, u8 `[H, W, 3]` RGB without gaps.
pub struct Canvas<'a> {
    pixels: &'a mut [u8],
    width: i64,
    height: i64,
}

/// Side of a character before scaling, in px.
const CELL: i64 = 8;

impl<'a> Canvas<'a> {
    /// A canvas over `pixels`; rows beyond the slice are left out.
    pub fn new(pixels: &'a mut [u8], width: u32, height: u32) -> Self {
        let height = i64::from(height).min(pixels.len() as i64 / (i64::from(width) * 3).max(1));
        Self { pixels, width: i64::from(width), height }
    }

    /// Fills the part of the rectangle that lies inside.
    pub fn fill(&mut self, x0: i64, y0: i64, x1: i64, y1: i64, colour: [u8; 3]) {
        let (x0, x1) = (x0.clamp(0, self.width), x1.clamp(0, self.width));
        for y in y0.clamp(0, self.height)..y1.clamp(0, self.height) {
            let row = ((y * self.width + x0) * 3) as usize..((y * self.width + x1.max(x0)) * 3) as usize;
            self.pixels[row].as_chunks_mut::<3>().0.fill(colour);
        }
    }

    /// The outline of a box, `thick` px inwards.
    pub fn outline(&mut self, [x0, y0, x1, y1]: [f64; 4], thick: i64, colour: [u8; 3]) {
        let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|v| v.round() as i64);
        self.fill(x0, y0, x1, y0 + thick, colour);
        self.fill(x0, y1 - thick, x1, y1, colour);
        self.fill(x0, y0, x0 + thick, y1, colour);
        self.fill(x1 - thick, y0, x1, y1, colour);
    }

    /// Text on a filled strip whose lower left corner is at `x`, `y`; moved inside the picture where it would leave it.
    pub fn label(&mut self, x: f64, y: f64, text: &str, scale: i64, ink: [u8; 3], paper: [u8; 3]) {
        let (w, h) = (text.chars().count() as i64 * CELL * scale + 2 * scale, (CELL + 2) * scale);
        let x = (x.round() as i64).clamp(0, (self.width - w).max(0));
        let y = (y.round() as i64 - h).clamp(0, (self.height - h).max(0));
        self.fill(x, y, x + w, y + h, paper);
        for (index, c) in text.chars().enumerate() {
            let Some(rows) = font8x8::BASIC_FONTS.get(c) else { continue };
            for (dy, row) in rows.iter().enumerate() {
                for dx in 0..CELL {
                    if row >> dx & 1 == 1 {
                        let px = x + scale + (index as i64 * CELL + dx) * scale;
                        let py = y + scale + dy as i64 * scale;
                        self.fill(px, py, px + scale, py + scale, ink);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Canvas;

    #[test]
    fn boxes_beyond_the_edge_are_cut_and_labels_moved_inside() {
        let mut pixels = vec![0; 40 * 20 * 3];
        let mut canvas = Canvas::new(&mut pixels, 40, 20);
        canvas.outline([-10.0, -10.0, 100.0, 100.0], 2, [255, 0, 0]);
        canvas.label(1e9, -50.0, "A", 1, [255; 3], [0, 0, 9]);
        assert!(pixels.chunks(3).any(|p| p == [255, 255, 255]));
        assert!(pixels.chunks(3).any(|p| p == [0, 0, 9]));
        assert!(!pixels.chunks(3).any(|p| p == [255, 0, 0]), "the outline lies outside");
    }
}
