//! One text from many reads.

use crate::alignment::{Column, Network, edit_distance};
use crate::read::{Read, is_original};
use crate::syntax::{Fitted, Syntaxes};
use gantry_messages::Vote;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What is voted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Every character by itself, over aligned reads; whole strings where that fails.
    #[default]
    Characters,
    /// Whole strings: the text with the most weight.
    WholeString,
    /// No vote: the text of the heaviest read.
    BestFrame,
}

/// How to vote.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is voted on.
    pub rule: Rule,
    /// Whether the variants that operators made take part; else only `original`.
    pub variants: bool,
    /// Weight of a variant against the original.
    pub variant_weight: f64,
    /// Table of layouts; `None`: look-alikes are left as read.
    pub syntaxes: Option<Arc<Syntaxes>>,
    /// Shortest text that is a plate.
    pub min_length: usize,
    /// Longest text that is a plate.
    pub max_length: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rule: Rule::default(),
            variants: true,
            variant_weight: 0.5,
            syntaxes: Some(Arc::new(Syntaxes::built_in())),
            min_length: 4,
            max_length: 10,
        }
    }
}

/// The outcome of a vote.
#[derive(Clone, Debug, PartialEq)]
pub struct Consensus {
    /// The text.
    pub text: String,
    /// `0.0..=1.0`, see [`consensus`].
    pub confidence: f32,
    /// Name of the layout it fits, empty if none.
    pub syntax: String,
    /// What was voted for, heaviest first; at most [`MOST_VOTES`].
    pub votes: Vec<Vote>,
    /// Frames that took part.
    pub frames_read: u32,
    /// Reads that took part.
    pub reads: u32,
    /// Whether the whole-string vote decided instead of the characters.
    pub whole_string: bool,
}

/// Entries of [`Consensus::votes`] at most.
pub const MOST_VOTES: usize = 24;

/// Weight that is as good as half a proof: with it the confidence of reads that all agree is 0.5.
const DOUBT: f64 = 0.4;
/// Weight from which more frames no longer make a disputed character more certain: a reader that errs at one character errs
/// there in many frames.
const SHARPEST: f64 = 3.0;
/// Mean alignment cost per position from which the characters of different reads cannot be compared.
const POOR_ALIGNMENT: f64 = 0.5;

/// Votes over `reads` (any order; the result does not depend on it). `None` if no read has a plate's length.
///
/// 1. **Weights.** Each read has [`Read::weight`]. The variants of one frame show the same pixels: together they have the
///    weight of the heaviest of them, shared in proportion.
/// 2. **Characters.** Reads are aligned to a network, those of the heaviest text first; each adds the probabilities of its
///    candidates. A position stays if less than half of the weight has no character there; its character is the heaviest.
/// 3. **Whole strings.** If the characters make a text that nobody read while one text has half of the weight, or if the
///    alignment is poor and one text has 30 %, or if the length is no plate's, that text is taken instead.
/// 4. **Look-alikes** by [`Syntaxes::fit`].
/// 5. **Confidence** = product over positions of `m^g / Σ m^g` (`m`: the masses of the characters and of "nothing here"),
///    times `W / (W + 0.4)`, with the weight `W` of all frames and `g = 1 + min(W, 3)`. Ten frames of weight 0.6 that agree:
///    0.94; two: 0.75; one: 0.6; one position that is split 80 to 20 in ten frames costs 0.4 %, 60 to 40 costs 16 %.
///
/// [`Rule::WholeString`] takes the heaviest text as one character of its own: its confidence is `m^g / Σ m^g` of the masses of
/// all texts, times the same factor. [`Rule::BestFrame`] takes the heaviest read with that read's confidence. Look-alikes are
/// fitted for both as above.
pub fn consensus(reads: &[Read], options: &Options) -> Option<Consensus> {
    let ballot = Ballot::of(reads, options)?;
    let decision = match options.rule {
        Rule::Characters => ballot.by_character(),
        Rule::WholeString => ballot.by_whole_string()?,
        Rule::BestFrame => ballot.by_best_frame()?,
    };
    if !ballot.is_plate(&decision.text) {
        return None;
    }
    let fitted = match &options.syntaxes {
        Some(table) => table.fit(&decision.text, &decision.columns),
        None => Fitted { text: decision.text, syntax: String::new() },
    };
    Some(Consensus {
        text: fitted.text,
        confidence: decision.certainty.clamp(0.0, 1.0) as f32,
        syntax: fitted.syntax,
        votes: votes(&ballot.voters),
        frames_read: ballot.frames(),
        reads: ballot.voters.len() as u32,
        whole_string: decision.whole_string,
    })
}

/// What a rule says.
struct Decision {
    text: String,
    /// Masses of each of its characters.
    columns: Vec<Column>,
    certainty: f64,
    whole_string: bool,
}

/// All voters, those of the heaviest text first.
struct Ballot<'a> {
    voters: Vec<Voter<'a>>,
    by_text: BTreeMap<String, f64>,
    total: f64,
    /// How sharply masses are told apart, see [`consensus`].
    g: f64,
    lengths: RangeInclusive<usize>,
}

impl<'a> Ballot<'a> {
    fn of(reads: &'a [Read], options: &Options) -> Option<Self> {
        let mut voters = weighed(reads, options);
        if voters.is_empty() {
            return None;
        }
        let mut by_text: BTreeMap<String, f64> = BTreeMap::new();
        for v in &voters {
            match by_text.get_mut(&v.text) {
                Some(weight) => *weight += v.weight,
                None => drop(by_text.insert(v.text.clone(), v.weight)),
            }
        }
        let weight_of = |v: &Voter<'_>| by_text.get(&v.text).copied().unwrap_or(0.0);
        voters.sort_by(|a, b| {
            weight_of(b)
                .total_cmp(&weight_of(a))
                .then(a.text.cmp(&b.text))
                .then(b.weight.total_cmp(&a.weight))
                .then(a.read.frame.cmp(&b.read.frame))
                .then(a.read.variant.cmp(&b.read.variant))
        });
        let total: f64 = by_text.values().sum();
        Some(Self { voters, by_text, total, g: 1.0 + total.min(SHARPEST), lengths: options.min_length..=options.max_length })
    }

    fn is_plate(&self, text: &str) -> bool {
        self.lengths.contains(&text.len())
    }

    /// What is left of `agreement` where few frames stand for it.
    fn proven(&self, agreement: f64) -> f64 {
        agreement * self.total / (self.total + DOUBT)
    }

    fn frames(&self) -> u32 {
        let mut frames: Vec<u64> = self.voters.iter().map(|v| v.read.frame).collect();
        frames.sort_unstable();
        frames.dedup();
        frames.len() as u32
    }

    /// The text with the most weight among those that may be plates; the first in the alphabet among equals.
    fn favourite(&self) -> Option<(&str, f64)> {
        let plates = self.by_text.iter().filter(|(t, _)| self.is_plate(t)).map(|(t, w)| (&**t, *w));
        plates.reduce(|a, b| if b.1 > a.1 { b } else { a })
    }

    fn by_character(&self) -> Decision {
        let (network, cost) = aligned(self.voters.iter());
        let weight = network.weight;
        let (columns, gaps): (Vec<Column>, Vec<Column>) = network.columns.into_iter().partition(|c| c.gap < 0.5 * weight);
        let text: String = columns.iter().map(|c| c.best().0).collect();
        if let Some(decision) = self.by_favourite_instead(&text, cost) {
            return decision;
        }
        let agreement: f64 = columns.iter().map(|c| sharpened(c, self.g)).product();
        // Positions that were voted out by a narrow margin are doubts about the length.
        let certainty = self.proven(agreement * gaps.iter().map(|c| sharpened_for(c.gap, c, self.g)).product::<f64>());
        Decision { text, columns, certainty, whole_string: false }
    }

    /// The favourite, where the characters made `text`, at that cost of alignment, and it is the better one.
    fn by_favourite_instead(&self, text: &str, cost: f64) -> Option<Decision> {
        let (favourite, weight) = self.favourite()?;
        let share = weight / self.total;
        let nobody_read_it = !self.by_text.contains_key(text);
        if favourite == text || (self.is_plate(text) && !(nobody_read_it && share >= 0.5) && !(cost > POOR_ALIGNMENT && share >= 0.3)) {
            return None;
        }
        // Only the reads that nearly say so may speak on its characters.
        let near = |v: &&Voter<'_>| v.text.len() == favourite.len() && edit_distance(&v.text, favourite) <= 1;
        let Network { columns, weight, .. } = aligned(self.voters.iter().filter(near)).0;
        if columns.len() != favourite.len() {
            return None;
        }
        let agreement = columns.iter().zip(favourite.chars()).map(|(c, own)| sharpened_for(c.of(own), c, self.g)).product::<f64>();
        let certainty = self.proven(agreement * (weight / self.total));
        Some(Decision { text: favourite.to_owned(), columns, certainty, whole_string: true })
    }

    fn by_whole_string(&self) -> Option<Decision> {
        let (text, mass) = self.favourite()?;
        let all: f64 = self.by_text.values().map(|m| m.powf(self.g)).sum();
        Some(self.chosen(text, self.proven(mass.powf(self.g) / all)))
    }

    /// The heaviest read that may be a plate; the first of its frame and text among equals.
    fn by_best_frame(&self) -> Option<Decision> {
        let before = |a: &Voter<'_>, b: &Voter<'_>| {
            b.alone
                .total_cmp(&a.alone)
                .then(a.read.frame.cmp(&b.read.frame))
                .then(a.text.cmp(&b.text))
                .then(a.read.variant.cmp(&b.read.variant))
        };
        let best = self.voters.iter().filter(|v| self.is_plate(&v.text)).min_by(|a, b| before(a, b))?;
        Some(self.chosen(&best.text, f64::from(best.read.confidence)))
    }

    /// A text by its own; only what says so may speak on its look-alikes.
    fn chosen(&self, text: &str, certainty: f64) -> Decision {
        let columns = aligned(self.voters.iter().filter(|v| v.text == text)).0.columns;
        Decision { text: text.to_owned(), columns, certainty, whole_string: true }
    }
}

struct Voter<'a> {
    read: &'a Read,
    text: String,
    weight: f64,
    /// Weight without the other variants of its frame.
    alone: f64,
}

/// Reads that take part, with the weight that is left to them beside the other variants of their frame.
fn weighed<'a>(reads: &'a [Read], options: &Options) -> Vec<Voter<'a>> {
    // Fragments take part one character beyond the allowed lengths: they still vote on the characters they have.
    let lengths = options.min_length.saturating_sub(1).max(1)..=options.max_length + 1;
    let mut frames: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    let mut voters: Vec<Voter<'a>> = reads
        .iter()
        .filter(|r| (options.variants || is_original(&r.variant)) && lengths.contains(&r.characters.len()))
        .map(|read| {
            let weight = read.weight(options.variant_weight);
            Voter { read, text: read.text(), weight, alone: weight }
        })
        .filter(|v| v.weight > 1e-6)
        .collect();
    voters.sort_by(|a, b| {
        a.read
            .frame
            .cmp(&b.read.frame)
            .then(a.read.variant.cmp(&b.read.variant))
            .then(a.text.cmp(&b.text))
            .then(a.weight.total_cmp(&b.weight))
    });
    for v in &voters {
        let (heaviest, sum) = frames.entry(v.read.frame).or_insert((0.0, 0.0));
        *heaviest = heaviest.max(v.weight);
        *sum += v.weight;
    }
    for v in &mut voters {
        if let Some((heaviest, sum)) = frames.get(&v.read.frame) {
            v.weight *= heaviest / sum;
        }
    }
    voters
}

/// The network of the voters in that order, and its weighted mean cost per position.
fn aligned<'v, 'a: 'v>(voters: impl Iterator<Item = &'v Voter<'a>>) -> (Network, f64) {
    let mut network = Network::default();
    let (mut cost, mut weight) = (0.0, 0.0);
    for v in voters {
        cost += v.weight * network.add(&v.read.characters, v.weight);
        weight += v.weight;
    }
    (network, cost / f64::max(weight, 1e-12))
}

/// `m^g / Σ m^g` of the heaviest character.
fn sharpened(column: &Column, g: f64) -> f64 {
    sharpened_for(column.of(column.best().0), column, g)
}

fn sharpened_for(own: f64, column: &Column, g: f64) -> f64 {
    let all = column.gap.powf(g) + column.mass.iter().map(|m| m.powf(g)).sum::<f64>();
    if all > 0.0 { own.powf(g) / all } else { 0.0 }
}

fn votes(voters: &[Voter<'_>]) -> Vec<Vote> {
    let mut by: BTreeMap<(&str, &str), (Vec<u64>, f64)> = BTreeMap::new();
    for v in voters {
        let entry = by.entry((&v.text, &v.read.variant)).or_default();
        entry.0.push(v.read.frame);
        entry.1 += v.weight;
    }
    let mut votes: Vec<Vote> = by
        .into_iter()
        .map(|((text, variant), (mut frames, weight))| {
            frames.sort_unstable();
            frames.dedup();
            Vote { text: text.to_owned(), variant: variant.to_owned(), frames, weight: weight as f32 }
        })
        .collect();
    votes.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.text.cmp(&b.text)).then(a.variant.cmp(&b.variant)));
    votes.truncate(MOST_VOTES);
    votes
}
