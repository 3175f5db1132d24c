//! Progressive alignment of reads: which character of one read stands for which of another.
//!
//! As in ROVER (Fiscus, "A post-processing system to yield reduced word error rates", ASRU 1997) each read is aligned to the
//! network built so far, here with probabilities in place of single words: the cost of pairing two positions is the chance
//! that they are different characters.

/// The characters of plates; sums run in this order, so they are the same in every run.
pub const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// One position of the network: mass per character.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Mass per character of [`ALPHABET`].
    pub mass: [f64; 36],
    /// Mass of the reads that have no character here.
    pub gap: f64,
}

impl Default for Column {
    fn default() -> Self {
        Self { mass: [0.0; 36], gap: 0.0 }
    }
}

fn index(c: char) -> Option<usize> {
    match c {
        '0'..='9' => Some(c as usize - '0' as usize),
        'A'..='Z' => Some(c as usize - 'A' as usize + 10),
        _ => None,
    }
}

impl Column {
    /// Sum of all mass.
    pub fn total(&self) -> f64 {
        self.gap + self.mass.iter().sum::<f64>()
    }

    /// Mass of one character.
    pub fn of(&self, c: char) -> f64 {
        index(c).map_or(0.0, |i| self.mass[i])
    }

    /// The heaviest character, the first of the alphabet among equals.
    pub fn best(&self) -> (char, f64) {
        let (mut best, mut mass) = (0, self.mass[0]);
        for (i, &m) in self.mass.iter().enumerate() {
            if m > mass {
                (best, mass) = (i, m);
            }
        }
        (char::from(ALPHABET[best]), mass)
    }

    /// Adds mass to a character; what is not in [`ALPHABET`] counts for nothing.
    pub fn add(&mut self, c: char, mass: f64) {
        if let Some(i) = index(c) {
            self.mass[i] += mass;
        }
    }
}

/// Reads aligned so far.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Positions, left to right.
    pub columns: Vec<Column>,
    /// Weight of all reads.
    pub weight: f64,
}

/// Cost of a character that only one side has.
const GAP_COST: f64 = 0.75;

impl Network {
    /// Aligns a read and adds its mass, `weight` per position, spread over its candidates. The part of a position's
    /// probability that its candidates leave open is spread over nothing: it counts for no character.
    ///
    /// Returns the cost of the alignment per position, 0 for a perfect fit; 0 for the first read.
    pub fn add(&mut self, read: &[Vec<(char, f32)>], weight: f64) -> f64 {
        if self.columns.is_empty() {
            self.columns = read.iter().map(|position| column(position, weight, 0.0)).collect();
            self.weight += weight;
            return 0.0;
        }
        let (path, cost) = self.align(read);
        let mut columns = Vec::with_capacity(self.columns.len() + 2);
        let mut old = std::mem::take(&mut self.columns).into_iter();
        for step in path {
            match step {
                Step::Pair(r) => {
                    let mut c = old.next().unwrap_or_default();
                    for (character, p) in &read[r] {
                        c.add(*character, weight * f64::from(*p));
                    }
                    columns.push(c);
                }
                Step::Missing => {
                    let mut c = old.next().unwrap_or_default();
                    c.gap += weight;
                    columns.push(c);
                }
                Step::Extra(r) => columns.push(column(&read[r], weight, self.weight)),
            }
        }
        let positions = columns.len().max(1) as f64;
        self.columns = columns;
        self.weight += weight;
        cost / positions
    }

    fn align(&self, read: &[Vec<(char, f32)>]) -> (Vec<Step>, f64) {
        let (rows, width) = (self.columns.len(), read.len() + 1);
        let mut cost = vec![0.0_f64; (rows + 1) * width];
        let missing: Vec<f64> = self.columns.iter().map(|c| GAP_COST * (1.0 - c.gap / c.total().max(1e-12))).collect();
        let differences: Vec<f64> = self.columns.iter().flat_map(|c| differences(c, read)).collect();
        let pair_cost = |i: usize, r: usize| differences[(i - 1) * (width - 1) + r - 1];
        for r in 1..width {
            cost[r] = cost[r - 1] + GAP_COST;
        }
        for i in 1..=rows {
            cost[i * width] = cost[(i - 1) * width] + missing[i - 1];
            for r in 1..width {
                let pair = cost[(i - 1) * width + r - 1] + pair_cost(i, r);
                let skip = cost[(i - 1) * width + r] + missing[i - 1];
                let extra = cost[i * width + r - 1] + GAP_COST;
                cost[i * width + r] = pair.min(skip).min(extra);
            }
        }
        let mut path = Vec::with_capacity(rows + width);
        let (mut i, mut r) = (rows, read.len());
        while i > 0 || r > 0 {
            let here = cost[i * width + r];
            if i > 0 && r > 0 && here == cost[(i - 1) * width + r - 1] + pair_cost(i, r) {
                i -= 1;
                r -= 1;
                path.push(Step::Pair(r));
            } else if i > 0 && here == cost[(i - 1) * width + r] + missing[i - 1] {
                i -= 1;
                path.push(Step::Missing);
            } else {
                r -= 1;
                path.push(Step::Extra(r));
            }
        }
        path.reverse();
        (path, cost[rows * width + read.len()])
    }
}

enum Step {
    Pair(usize),
    Missing,
    Extra(usize),
}

fn column(position: &[(char, f32)], weight: f64, gap: f64) -> Column {
    let mut c = Column { gap, ..Column::default() };
    for (character, p) in position {
        c.add(*character, weight * f64::from(*p));
    }
    c
}

/// Chance that the column and each position of the read hold different characters, `0.0..=1.0`.
fn differences(column: &Column, read: &[Vec<(char, f32)>]) -> Vec<f64> {
    let total = column.total().max(1e-12);
    let same = |position: &[(char, f32)]| position.iter().map(|(c, p)| f64::from(*p) * column.of(*c) / total).sum::<f64>();
    read.iter().map(|position| (1.0 - same(position)).clamp(0.0, 1.0)).collect()
}

pub use gantry_contract::distance as edit_distance;

/// Length of the longest common subsequence of two texts.
pub fn common_length(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row = vec![0_usize; b.len() + 1];
    for ca in a.chars() {
        let mut diagonal = 0;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if ca == *cb { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sure(text: &str) -> Vec<Vec<(char, f32)>> {
        text.chars().map(|c| vec![(c, 0.95)]).collect()
    }

    fn best(network: &Network) -> String {
        network.columns.iter().filter(|c| c.best().1 > c.gap).map(|c| c.best().0).collect()
    }

    #[test]
    fn a_missing_character_leaves_the_others_in_their_columns() {
        let mut n = Network::default();
        for text in ["AB12CDE", "A12CDE", "AB12CDE"] {
            n.add(&sure(text), 1.0);
        }
        assert_eq!(n.columns.len(), 7);
        assert_eq!(best(&n), "AB12CDE");
        assert_eq!(n.columns[1].gap, 1.0);
    }

    #[test]
    fn an_extra_character_is_outvoted() {
        let mut n = Network::default();
        for text in ["AB12CDE", "AB112CDE", "AB12CDE", "IAB12CDE"] {
            n.add(&sure(text), 1.0);
        }
        assert_eq!(best(&n), "AB12CDE");
    }

    #[test]
    fn a_substitution_meets_its_column() {
        let mut n = Network::default();
        n.add(&sure("AB12CDE"), 1.0);
        n.add(&sure("AB72CDE"), 0.4);
        assert_eq!(n.columns.len(), 7);
        assert!((n.columns[2].of('7') - 0.38).abs() < 1e-6);
    }

    #[test]
    fn distances_are_the_known_ones() {
        assert_eq!(edit_distance("KITTEN", "SITTING"), 3);
        assert_eq!(edit_distance("", "ABC"), 3);
        assert_eq!(common_length("AB12CDE", "B1CE"), 4);
        assert_eq!(common_length("ABC", "XYZ"), 0);
    }

    proptest! {
        #[test]
        fn every_read_puts_its_weight_into_every_column_of_the_network(texts in prop::collection::vec("[A-D0-3]{1,9}", 1..6)) {
            let mut n = Network::default();
            for t in &texts {
                n.add(&t.chars().map(|c| vec![(c, 1.0)]).collect::<Vec<_>>(), 1.0);
            }
            for c in &n.columns {
                prop_assert!((c.total() - texts.len() as f64).abs() < 1e-9, "{c:?}");
            }
        }

        #[test]
        fn the_same_text_again_adds_no_column(text in "[A-Z0-9]{1,10}", times in 1_usize..6) {
            let mut n = Network::default();
            for _ in 0..times {
                n.add(&sure(&text), 0.7);
            }
            prop_assert_eq!(best(&n), text);
        }
    }
}
