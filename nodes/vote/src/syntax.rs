//! Soft plate syntaxes: which of two look-alikes stands at a position.
//!
//! Cost model, in nats. A text costs `-ln(weight)` of the cheapest layout it fits, or `unknown_cost` if it fits none. An
//! exchange of a look-alike costs `scale · -ln(mass(new) / mass(read))` by the votes at that position; a character without
//! votes has [`FLOOR`] of the mass. The cheapest text wins, the text as read among equals. With the table that is built in, a `0`
//! that got 60 % of the votes becomes the `O` with 40 % where the layout wants a letter (cost 0.6 · 0.41 = 0.24 against 1.8
//! for an unknown layout), while a well-read text of a layout of its own stays (0.6 · 4.6 = 2.8).

use crate::alignment::Column;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Share of the best character's mass that a look-alike without any votes is taken to have.
pub const FLOOR: f64 = 0.01;

const BUILT_IN: &str = include_str!("../syntaxes.yml");

/// Why a table of syntaxes was refused.
#[derive(Debug, Error)]
pub enum SyntaxError {
    /// The file could not be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not the YAML that is wanted.
    #[error("table of syntaxes is malformed: {0}")]
    Malformed(#[from] serde_yaml::Error),
    /// A pattern with other letters than L and D, or of a length no plate has.
    #[error("syntax `{name}`: pattern `{pattern}` is not 1 to 16 of the letters `L` and `D`")]
    Pattern {
        /// Name of the syntax.
        name: String,
        /// What it says.
        pattern: String,
    },
    /// A weight or scale outside its range.
    #[error("`{name}`: {value} is outside {range}")]
    Range {
        /// What it belongs to.
        name: String,
        /// What the file says.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// A look-alike pair that is not two characters.
    #[error("look-alikes `{pair}` are not two characters of A-Z0-9")]
    Pair {
        /// What the file says.
        pair: String,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    unknown_cost: f64,
    confusable: Vec<Confusable>,
    syntaxes: Vec<Layout>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confusable {
    pair: String,
    scale: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layout {
    name: String,
    pattern: String,
    weight: f64,
}

/// A checked table of layouts and look-alikes.
#[derive(Clone, Debug)]
pub struct Syntaxes {
    unknown_cost: f64,
    pairs: Vec<(char, char, f64)>,
    layouts: Vec<(String, Vec<u8>, f64)>,
}

/// A text after look-alikes were decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The text.
    pub text: String,
    /// Name of the layout it fits, empty if none.
    pub syntax: String,
}

impl Syntaxes {
    /// The table that is built in (`nodes/vote/syntaxes.yml`).
    ///
    /// # Panics
    /// Never: a test reads the table.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).unwrap_or_else(|e| panic!("built-in table of syntaxes: {e}"))
    }

    /// Reads a table from a file.
    ///
    /// # Errors
    /// See [`SyntaxError`].
    pub fn open(path: &Path) -> Result<Self, SyntaxError> {
        let text = std::fs::read_to_string(path).map_err(|source| SyntaxError::Read { path: path.to_owned(), source })?;
        Self::parse(&text)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// See [`SyntaxError`].
    pub fn parse(yaml: &str) -> Result<Self, SyntaxError> {
        let table: Table = serde_yaml::from_str(yaml)?;
        let in_range = |name: &str, value: f64, ok: bool, range| {
            if ok { Ok(value) } else { Err(SyntaxError::Range { name: name.to_owned(), value, range }) }
        };
        in_range("unknown_cost", table.unknown_cost, (0.0..=100.0).contains(&table.unknown_cost), "0..=100")?;
        let mut pairs = Vec::new();
        for c in table.confusable {
            in_range(&c.pair, c.scale, (0.0..=100.0).contains(&c.scale), "0..=100")?;
            let bytes = c.pair.as_bytes();
            let &[a, b] = bytes else { return Err(SyntaxError::Pair { pair: c.pair }) };
            if ![a, b].iter().all(|x| x.is_ascii_uppercase() || x.is_ascii_digit()) {
                return Err(SyntaxError::Pair { pair: c.pair });
            }
            pairs.push((char::from(a), char::from(b), c.scale));
            pairs.push((char::from(b), char::from(a), c.scale));
        }
        let mut layouts = Vec::new();
        for l in table.syntaxes {
            if !(1..=16).contains(&l.pattern.len()) || !l.pattern.bytes().all(|b| b == b'L' || b == b'D') {
                return Err(SyntaxError::Pattern { name: l.name, pattern: l.pattern });
            }
            in_range(&l.name, l.weight, l.weight > 0.0 && l.weight <= 1.0, "above 0, up to 1")?;
            layouts.push((l.name, l.pattern.into_bytes(), -l.weight.ln()));
        }
        Ok(Self { unknown_cost: table.unknown_cost, pairs, layouts })
    }

    /// Decides look-alikes in the text `read`, whose characters were voted for in `columns` (same length).
    pub fn fit(&self, read: &str, columns: &[Column]) -> Fitted {
        let characters: Vec<char> = read.chars().collect();
        let mut best = (self.unknown_cost, Fitted { text: read.to_owned(), syntax: String::new() });
        // First the text as it stands, so that it wins over an exchange of the same cost.
        for exchange in [false, true] {
            for (name, pattern, cost) in &self.layouts {
                if pattern.len() != characters.len() {
                    continue;
                }
                let Some((text, exchanged)) = self.forced(&characters, pattern, columns, exchange) else { continue };
                if cost + exchanged < best.0 {
                    best = (cost + exchanged, Fitted { text, syntax: name.clone() });
                }
            }
        }
        best.1
    }

    /// The cheapest way to make the characters fit the pattern, and its cost.
    fn forced(&self, characters: &[char], pattern: &[u8], columns: &[Column], exchange: bool) -> Option<(String, f64)> {
        let mut text = String::with_capacity(characters.len());
        let mut cost = 0.0;
        for (i, (&c, &wanted)) in characters.iter().zip(pattern).enumerate() {
            if fits(c, wanted) {
                text.push(c);
                continue;
            }
            if !exchange {
                return None;
            }
            let votes = columns.get(i)?;
            let base = votes.of(c).max(1e-9);
            let (other, price) = self
                .pairs
                .iter()
                .filter(|(from, to, _)| *from == c && fits(*to, wanted))
                .map(|(_, to, scale)| (*to, scale * -(votes.of(*to) / base).clamp(FLOOR, 1.0).ln()))
                .reduce(|a, b| if b.1 < a.1 { b } else { a })?;
            text.push(other);
            cost += price;
        }
        Some((text, cost))
    }
}

fn fits(c: char, wanted: u8) -> bool {
    if wanted == b'D' { c.is_ascii_digit() } else { c.is_ascii_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of a text in which every character has 0.97 and its look-alikes what `ties` says.
    fn voted(text: &str, ties: &[(usize, char, f64)]) -> Vec<Column> {
        let mut columns: Vec<Column> = vec![Column::default(); text.len()];
        for (column, own) in columns.iter_mut().zip(text.chars()) {
            column.add(own, 0.97);
        }
        for (i, other, share) in ties {
            let own = text.chars().nth(*i).unwrap();
            columns[*i] = Column::default();
            columns[*i].add(own, 1.0 - share);
            columns[*i].add(*other, *share);
        }
        columns
    }

    fn fit(text: &str, ties: &[(usize, char, f64)]) -> Fitted {
        Syntaxes::built_in().fit(text, &voted(text, ties))
    }

    #[test]
    fn a_tie_between_look_alikes_is_decided_by_position() {
        assert_eq!(fit("A0123BC", &[(1, 'O', 0.4)]), Fitted { text: "AO123BC".into(), syntax: "eu_two_three_two".into() });
        assert_eq!(fit("AB1Z3CD", &[(3, '2', 0.3)]).text, "AB123CD");
        assert_eq!(fit("ABCI23S", &[(3, '1', 0.4), (6, '5', 0.45)]).text, "ABC1235");
    }

    #[test]
    fn a_well_read_text_of_an_unknown_layout_stays() {
        for text in ["S5O0B8", "0AB5C1D", "Z2Z2Z2Z", "IIIIII1", "8OSS"] {
            assert_eq!(fit(text, &[]), Fitted { text: text.into(), syntax: String::new() });
        }
    }

    #[test]
    fn a_text_that_fits_is_not_pulled_to_a_commoner_layout() {
        // LLDDLLL as read; LLDDDLL is as common, its tie is worse.
        assert_eq!(fit("AB12OCD", &[(4, '0', 0.45)]).text, "AB12OCD");
    }

    #[test]
    fn characters_that_do_not_look_alike_are_never_exchanged() {
        assert_eq!(fit("AB123C7", &[(6, 'D', 0.45), (0, '4', 0.45)]).text, "AB123C7");
    }

    #[test]
    fn a_wrong_table_says_what_is_wrong() {
        let table = |s: &str| Syntaxes::parse(s).unwrap_err().to_string();
        assert_eq!(
            table("{unknown_cost: 1, confusable: [], syntaxes: [{name: x, pattern: LLX, weight: 1}]}"),
            "syntax `x`: pattern `LLX` is not 1 to 16 of the letters `L` and `D`"
        );
        assert_eq!(
            table("{unknown_cost: 1, confusable: [{pair: O, scale: 1}], syntaxes: []}"),
            "look-alikes `O` are not two characters of A-Z0-9"
        );
        assert_eq!(
            table("{unknown_cost: 1, confusable: [], syntaxes: [{name: x, pattern: L, weight: 0}]}"),
            "`x`: 0 is outside above 0, up to 1"
        );
        assert!(table("{unknown_cost: 1}").starts_with("table of syntaxes is malformed: "));
        assert!(Syntaxes::open(Path::new("no/such.yml")).unwrap_err().to_string().contains("no/such.yml"));
    }
}
