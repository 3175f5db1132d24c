//! Pictures of what the reader saw.

use super::engine::{Pixels, Plate};
use crate::draw::Canvas;
use crate::failure::Failure;
use gantry_images::{Rgb, encode_jpeg};
use std::path::{Path, PathBuf};

const QUALITY: u8 = 92;
/// Height of a picture on the sheet in px, and the most it is wide.
const TALL: usize = 120;
const WIDE: usize = 480;
/// Space between pictures, and the height of a line of text, in px.
const GAP: usize = 12;
const LINE: usize = 22;
const PAPER: [u8; 3] = [250; 3];
const INK: [u8; 3] = [20; 3];
/// A JPEG has 65535 rows at most.
const MOST_ROWS: usize = 65_000 / (TALL + 3 * LINE + GAP);

/// Writes every picture of `plates` as `<image>-<plate>-<variant>.jpg` and notes the names.
pub fn write_pictures(dir: &Path, image: &Path, plates: &mut [Plate]) -> Result<(), Failure> {
    let stem = image.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    // Pictures of the same name in different folders must not overwrite each other.
    let free = |stem: &str| !dir.join(format!("{stem}-1-colour.jpg")).exists();
    let stem = if free(&stem) { stem } else { (2..).map(|n| format!("{stem}_{n}")).find(|s| free(s)).unwrap_or_default() };
    for (index, plate) in plates.iter_mut().enumerate() {
        let name = |variant: &str| dir.join(format!("{stem}-{}-{variant}.jpg", index + 1));
        let path = name("colour");
        save(&path, &plate.colour.bytes, plate.colour.width, plate.colour.height)?;
        plate.file = Some(path);
        for variant in &mut plate.variants {
            let path = name(&variant.variant);
            let (w, h) = (variant.grey.width, variant.grey.height);
            save(&path, &rgb_of(&variant.grey), w, h)?;
            variant.file = Some(path);
        }
    }
    Ok(())
}

/// Writes `sheet.jpg`: one row per plate, its crop in colour and then each variant with its text.
pub fn write_sheet(dir: &Path, rows: &[(&Path, &Plate)]) -> Result<PathBuf, Failure> {
    let path = dir.join("sheet.jpg");
    let rows = &rows[..rows.len().min(MOST_ROWS)];
    let columns = rows.iter().map(|(_, p)| 1 + p.variants.len()).max().unwrap_or(1);
    let cell = rows.iter().map(|(_, p)| shown(&p.colour).0).max().unwrap_or(WIDE).max(190);
    let (width, height) = (GAP + columns * (cell + GAP), rows.len() * (TALL + 3 * LINE + GAP) + GAP);
    let mut pixels = PAPER.repeat(width * height);
    let mut canvas = Canvas::new(&mut pixels, width as u32, height as u32);
    for (index, (image, plate)) in rows.iter().enumerate() {
        let top = GAP + index * (TALL + 3 * LINE + GAP);
        let vote = plate.vote.as_ref().map_or_else(|| "no plate text".to_owned(), |v| format!("{} {:.0} %", v.plate, v.confidence * 100.0));
        let title = format!("{}: {vote}", image.file_name().unwrap_or_default().to_string_lossy());
        canvas.label(GAP as f64, (top + LINE) as f64, &title, 2, INK, PAPER);
        let text = |canvas: &mut Canvas<'_>, column: usize, line: usize, text: &str, scale: i64| {
            let y = top + LINE + TALL + (line + 1) * LINE - 2;
            canvas.label((GAP + column * (cell + GAP)) as f64, y as f64, text, scale, INK, PAPER);
        };
        paste(&mut canvas, GAP, top + LINE, &plate.colour.bytes, &plate.colour);
        text(&mut canvas, 0, 0, &format!("legibility {:.2}", plate.legibility), 1);
        for (column, variant) in plate.variants.iter().enumerate().map(|(i, v)| (i + 1, v)) {
            paste(&mut canvas, GAP + column * (cell + GAP), top + LINE, &rgb_of(&variant.grey), &variant.grey);
            text(&mut canvas, column, 0, &format!("{} {:.0} %", variant.variant, variant.confidence * 100.0), 1);
            text(&mut canvas, column, 1, &variant.text, 2);
        }
    }
    save(&path, &pixels, width, height)?;
    Ok(path)
}

/// Size on the sheet: `TALL` high, `WIDE` at most.
fn shown(pixels: &Pixels) -> (usize, usize) {
    let (w, h) = (pixels.width.max(1), pixels.height.max(1));
    let width = (w * TALL).div_ceil(h);
    if width <= WIDE { (width, TALL) } else { (WIDE, (h * WIDE / w).max(1)) }
}

/// Nearest pixels: people are to see what the reader saw, not a smoother picture.
fn paste(canvas: &mut Canvas<'_>, x: usize, y: usize, rgb: &[u8], size: &Pixels) {
    let (width, height) = shown(size);
    for dy in 0..height {
        for dx in 0..width {
            let at = ((dy * size.height / height) * size.width + dx * size.width / width) * 3;
            let Some(&[r, g, b]) = rgb.get(at..at + 3).and_then(|p| p.first_chunk::<3>()) else { continue };
            let (px, py) = ((x + dx) as i64, (y + dy) as i64);
            canvas.fill(px, py, px + 1, py + 1, [r, g, b]);
        }
    }
}

fn rgb_of(grey: &Pixels) -> Vec<u8> {
    grey.bytes.iter().flat_map(|v| [*v; 3]).collect()
}

fn save(path: &Path, rgb: &[u8], width: usize, height: usize) -> Result<(), Failure> {
    let failed = |why: String| Failure::failed(format!("{}: {why}", path.display()));
    let picture = Rgb::new(rgb, width, height, width * 3).map_err(|e| failed(e.to_string()))?;
    let jpeg = encode_jpeg(&picture, QUALITY).map_err(|e| failed(e.to_string()))?;
    std::fs::write(path, jpeg).map_err(|e| failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_fit_their_cell_and_keep_their_shape() {
        let size = |width, height| shown(&Pixels { width, height, bytes: Vec::new() });
        assert_eq!(size(160, 80), (240, 120));
        assert_eq!(size(960, 160), (480, 80));
        assert_eq!(size(1, 1000), (1, 120));
    }
}
