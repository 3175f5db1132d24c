//! A picture that stands still while packets come: the camera's sensor or encoder hangs, or somebody feeds it a still.

use std::time::Duration;

/// Time between two looks.
const LOOK_EVERY_NS: i64 = 500_000_000;
/// Rows that a look takes in, evenly over the picture.
const ROWS: usize = 48;
/// Neighbouring samples of a row whose mean is compared.
const BLOCK: usize = 16;
/// Means that differ by more are another picture. Encodings of one picture, 1 Mbit/s of 640x360 with a key frame a second: 6 at most.
const ANOTHER: u8 = 12;
/// Different encodings of one picture that are remembered. x264 and x265 at a constant quality make 4 to 22 of it: a key frame, then finer and finer ones.
const ENCODINGS: usize = 64;
/// A longer time without frames is an outage: what comes after it has to stand still anew.
const OUTAGE_NS: i64 = 5_000_000_000;

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The picture has stood still for that long.
    Froze,
    /// It moves again.
    Moved,
}

/// Looks at one camera.
///
/// A lens sees noise: two frames of a living camera differ somewhere in their luma, at the latest with the next key frame. A still that is encoded again and again
/// gives few different frames, all of them alike. So a camera stands still when for some time no frame came that had not been there before, sample for sample,
/// and none was another picture.
#[derive(Debug)]
pub struct Frozen {
    after_ns: i64,
    last: Option<Still>,
    is_frozen: bool,
}

/// One picture, in all its encodings so far.
#[derive(Debug)]
struct Still {
    means: Vec<u8>,
    prints: Vec<u64>,
    /// When an encoding was seen that was new.
    new_ns: i64,
    /// When it was looked at last.
    at_ns: i64,
}

impl Frozen {
    /// Reports a picture that stands still for `after`.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self { after_ns: i64::try_from(after.as_nanos()).unwrap_or(i64::MAX), last: None, is_frozen: false }
    }

    /// Looks at the luma of a frame, rows of `width` bytes each `stride` apart, that was captured at `captured_ns`. Not at every frame.
    pub fn look(&mut self, captured_ns: i64, luma: &[u8], width: usize, stride: usize) -> Option<Change> {
        if self.last.as_ref().is_some_and(|last| captured_ns >= last.at_ns && captured_ns - last.at_ns < LOOK_EVERY_NS) {
            return None;
        }
        let (print, means) = fingerprint(luma, width, stride);
        let same = |last: &Still| (0..OUTAGE_NS).contains(&(captured_ns - last.at_ns)) && alike(&last.means, &means);
        let mut still = match self.last.take().filter(same) {
            Some(last) => last,
            None => Still { means, prints: Vec::new(), new_ns: captured_ns, at_ns: captured_ns },
        };
        still.at_ns = captured_ns;
        if !still.prints.contains(&print) {
            if still.prints.len() == ENCODINGS {
                still.prints.clear();
            }
            still.prints.push(print);
            still.new_ns = captured_ns;
        }
        let stands_still = captured_ns - still.new_ns >= self.after_ns;
        self.last = Some(still);
        match (std::mem::replace(&mut self.is_frozen, stands_still), stands_still) {
            (false, true) => Some(Change::Froze),
            (true, false) => Some(Change::Moved),
            _ => None,
        }
    }
}

/// Whether two pictures may be encodings of one.
fn alike(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= ANOTHER)
}

/// Of some rows, whole: 48 rows of 1080p are 92 kB, some µs. FNV-1a over words of 8 bytes, and the means of blocks of samples.
fn fingerprint(luma: &[u8], width: usize, stride: usize) -> (u64, Vec<u8>) {
    let rows = luma.len().checked_div(stride).unwrap_or(0);
    let (mut print, mut means) = (0xcbf2_9ce4_8422_2325_u64, Vec::with_capacity(ROWS.min(rows) * width.div_ceil(BLOCK)));
    for i in 0..ROWS.min(rows) {
        let start = (i * rows / ROWS.min(rows)) * stride;
        let row = &luma[start..(start + width.min(stride)).min(luma.len())];
        for word in row.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            print = (print ^ u64::from_le_bytes(bytes)).wrapping_mul(0x0100_0000_01b3);
        }
        means.extend(row.chunks(BLOCK).map(|block| (block.iter().map(|s| usize::from(*s)).sum::<usize>() / block.len()) as u8));
    }
    (print, means)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const START: i64 = 1_700_000_000 * S;

    /// What is said at each quarter of a second of a camera whose picture is `level(quarter)` in some samples of a row.
    fn said(quarters: i64, samples: usize, level: impl Fn(i64) -> u8) -> Vec<(i64, Change)> {
        let mut frozen = Frozen::new(Duration::from_secs(10));
        let mut said = Vec::new();
        for quarter in 0..quarters {
            let mut luma = vec![60; 64 * 100];
            luma[31 * 64 + 32..][..samples].fill(level(quarter));
            if let Some(change) = frozen.look(START + quarter * S / 4, &luma, 60, 64) {
                said.push((quarter, change));
            }
        }
        said
    }

    #[test]
    fn the_same_picture_for_ten_seconds_is_said_once_and_so_is_its_end() {
        assert_eq!(said(200, 1, |_| 7), [(40, Change::Froze)]);
        // One sample of one row changes after 20 s.
        assert_eq!(
            said(200, 1, |quarter| if quarter < 80 { 7 } else { (quarter % 250) as u8 }),
            [(40, Change::Froze), (80, Change::Moved)]
        );
        // A still scene with a key frame every 4 s that differs a little.
        assert_eq!(said(400, 1, |quarter| (quarter / 16) as u8), []);
    }

    #[test]
    fn a_still_that_is_encoded_again_and_again_is_said_and_a_loop_is_not() {
        // Every 4 s the same key frame and the same finer ones behind it; all of them were there after 3.5 s.
        assert_eq!(said(200, 1, |quarter| (quarter % 16) as u8), [(14 + 40, Change::Froze)]);
        // A clip of 4 s, again and again: the same frames, and not of one picture.
        assert_eq!(said(200, 16, |quarter| (quarter % 16 * 15) as u8), []);
        // Noise, in more different pictures than are remembered.
        assert_eq!(said(800, 1, |quarter| (quarter / 2 % 100) as u8), []);
    }

    #[test]
    fn an_outage_is_no_still_picture() {
        let mut frozen = Frozen::new(Duration::from_secs(10));
        let luma = [9; 640];
        for round in 0..4 {
            for second in 0..8 {
                assert_eq!(frozen.look(START + round * 60 * S + second * S, &luma, 64, 64), None);
            }
        }
        // A clock that was set back starts anew too.
        assert_eq!(frozen.look(START, &luma, 64, 64), None);
        assert_eq!(frozen.look(START + S, &[], 0, 0), None);
    }

    #[test]
    fn what_lies_between_rows_and_behind_them_does_not_count() {
        let mut luma = vec![5; 100 * 64];
        let print = fingerprint(&luma, 60, 64).0;
        luma[63] = 200;
        assert_eq!(fingerprint(&luma, 60, 64).0, print, "padding");
        luma[5] = 200;
        assert_ne!(fingerprint(&luma, 60, 64).0, print);
    }
}
