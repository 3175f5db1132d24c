//! Operator `clahe`: contrast-limited adaptive histogram equalisation (Zuiderveld, "Contrast Limited Adaptive Histogram
//! Equalization", Graphics Gems IV, 1994). Evens out shadow and glare across a plate.
//!
//! The grid is at most `tiles` x `tiles`; a tile has at least 24 px a side, so an 80x320 plate gets 3x8.

use gantry_operators::{Operator, Param, Picture, PictureMut, export_operator, f64_param, int_param};
use serde::Deserialize;

/// A tile smaller than a character's half only amplifies noise.
const MIN_TILE_PX: usize = 24;
const LEVELS: usize = 256;

/// The operator.
#[derive(Debug)]
pub struct Clahe {
    clip_limit: f64,
    tiles: usize,
    /// One table per tile, row by row.
    tables: Vec<[u8; LEVELS]>,
    /// Per column: left tile, right tile, weight of the right one in Q8.
    columns: Vec<(usize, usize, i32)>,
}

/// Options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    clip_limit: f64,
    tiles: usize,
}

impl Operator for Clahe {
    const NAME: &'static str = "clahe";
    const PARAMS: &'static [Param] = &[
        f64_param("clip_limit", "", 1.0, 100.0, 2.0, "a level may hold this many times its even share of a tile; the rest is spread"),
        int_param("tiles", "", 1, 64, 8, "most tiles along each side"),
    ];
    type Params = Params;

    fn open(params: Params) -> Result<Self, String> {
        Ok(Self { clip_limit: params.clip_limit, tiles: params.tiles, tables: Vec::new(), columns: Vec::new() })
    }

    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String> {
        let (w, h) = (input.width(), input.height());
        let grid = |side: usize| (side / MIN_TILE_PX).clamp(1, self.tiles);
        let (across, down) = (grid(w), grid(h));
        self.tables.clear();
        for ty in 0..down {
            for tx in 0..across {
                let (x0, x1) = (tx * w / across, (tx + 1) * w / across);
                let (y0, y1) = (ty * h / down, (ty + 1) * h / down);
                let mut counts = [0u32; LEVELS];
                for y in y0..y1 {
                    for &level in &input.row(y)[x0..x1] {
                        counts[usize::from(level)] += 1;
                    }
                }
                self.tables.push(table(counts, (x1 - x0) * (y1 - y0), self.clip_limit));
            }
        }
        self.columns.clear();
        self.columns.extend((0..w).map(|x| between(x, w, across)));
        for y in 0..h {
            let (above, below, weight) = between(y, h, down);
            let (upper, lower) = (&self.tables[above * across..][..across], &self.tables[below * across..][..across]);
            for ((to, &from), &(left, right, side)) in output.row_mut(y).iter_mut().zip(input.row(y)).zip(&self.columns) {
                let level = usize::from(from);
                let mix = |row: &[[u8; LEVELS]]| i32::from(row[left][level]) * (256 - side) + i32::from(row[right][level]) * side;
                *to = ((mix(upper) * (256 - weight) + mix(lower) * weight + (1 << 15)) >> 16) as u8;
            }
        }
        Ok(())
    }
}

/// The two tiles whose centres lie around position `i` of `n`, and the weight of the second in Q8.
fn between(i: usize, n: usize, tiles: usize) -> (usize, usize, i32) {
    let at = ((i as f64 + 0.5) * tiles as f64 / n as f64 - 0.5).clamp(0.0, (tiles - 1) as f64);
    let first = at.floor() as usize;
    (first, (first + 1).min(tiles - 1), ((at - first as f64) * 256.0).round() as i32)
}

/// The tile's mapping: its clipped histogram, summed up.
fn table(mut counts: [u32; LEVELS], pixels: usize, clip_limit: f64) -> [u8; LEVELS] {
    let limit = ((clip_limit * pixels as f64 / LEVELS as f64).round() as u32).max(1);
    let mut excess = 0;
    for count in &mut counts {
        excess += count.saturating_sub(limit);
        *count = (*count).min(limit);
    }
    let (share, rest) = (excess / LEVELS as u32, excess as usize % LEVELS);
    let mut out = [0; LEVELS];
    let mut sum = 0u64;
    for (i, to) in out.iter_mut().enumerate() {
        // The remainder goes to evenly spaced levels.
        let extra = u32::from((i + 1) * rest / LEVELS > i * rest / LEVELS);
        sum += u64::from(counts[i] + share + extra);
        *to = ((sum * 255 + pixels as u64 / 2) / pixels as u64) as u8;
    }
    out
}

export_operator!(Clahe);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_operators::plugin::open;

    fn run(options: &str, input: &[u8], w: usize, h: usize) -> Vec<u8> {
        let mut out = vec![0; w * h];
        let mut operator = open::<Clahe>(options).unwrap();
        operator.run(&Picture::new(input, w, h, w).unwrap(), &mut PictureMut::new(&mut out, w, h, w).unwrap()).unwrap();
        out
    }

    #[test]
    fn brings_out_strokes_in_shadow_and_in_glare_alike() {
        // Strokes 20 levels darker than a background that climbs from 30 to 220.
        let (w, h) = (240, 72);
        let input: Vec<u8> = (0..w * h).map(|i| (30 + (i % w) * 190 / w) as u8 - if (i % w / 6) % 2 == 0 { 20 } else { 0 }).collect();
        let out = run("clip_limit=8", &input, w, h);
        for tile in [0..60, 90..150, 180..240] {
            let contrast = |p: &[u8]| {
                let row = &p[36 * w..37 * w];
                let mean = |ink: usize| {
                    let v: Vec<f64> = tile.clone().filter(|x| (x / 6) % 2 == ink).map(|x| f64::from(row[x])).collect();
                    v.iter().sum::<f64>() / v.len() as f64
                };
                mean(1) - mean(0)
            };
            assert!(contrast(&out) > 1.8 * contrast(&input), "{tile:?}: {} from {}", contrast(&out), contrast(&input));
        }
    }

    #[test]
    fn one_tile_without_clipping_is_plain_equalisation() {
        let input: Vec<u8> = (0..4096).map(|i| (100 + i % 16) as u8).collect();
        let out = run("tiles=1;clip_limit=100", &input, 64, 64);
        // 16 levels of 256 pixels, cut at 100 times 16: nothing is cut.
        for (i, &v) in out.iter().enumerate() {
            assert_eq!(u32::from(v), ((i as u32 % 16 + 1) * 256 * 255 + 2048) / 4096);
        }
    }

    #[test]
    fn any_size_works_down_to_one_pixel() {
        for (w, h) in [(1, 1), (23, 5), (25, 300), (333, 81)] {
            let input: Vec<u8> = (0..w * h).map(|i| (i * 7 % 256) as u8).collect();
            assert_eq!(run("", &input, w, h).len(), w * h);
        }
    }
}
