//! One text from many reads.

use crate::alignment::{Column, Network, edit_distance};
use crate::read::{Read, is_original};
use crate::syntax::Syntaxes;
use gantry_messages::Vote;
use serde::Deserialize;
use std::collections::BTreeMap;
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
    let mut voters = weighed(reads, options);
    if voters.is_empty() {
        return None;
    }
    let mut by_text: BTreeMap<&str, f64> = BTreeMap::new();
    for v in &voters {
        *by_text.entry(&v.text).or_insert(0.0) += v.weight;
    }
    let total: f64 = by_text.values().sum();
    let g = 1.0 + total.min(SHARPEST);
    let plate = |text: &str| (options.min_length..=options.max_length).contains(&text.len());
    let whole = by_text.iter().filter(|(t, _)| plate(t)).map(|(t, w)| ((*t).to_owned(), *w)).reduce(|a, b| if b.1 > a.1 { b } else { a });
    let of_text: BTreeMap<String, f64> = by_text.iter().map(|(t, w)| ((*t).to_owned(), *w)).collect();
    let weight_of = |v: &Voter<'_>| of_text.get(&v.text).copied().unwrap_or(0.0);
    voters.sort_by(|a, b| {
        weight_of(b)
            .total_cmp(&weight_of(a))
            .then(a.text.cmp(&b.text))
            .then(b.weight.total_cmp(&a.weight))
            .then(a.read.frame.cmp(&b.read.frame))
            .then(a.read.variant.cmp(&b.read.variant))
    });

    let (network, cost) = aligned(voters.iter());
    let mut columns: Vec<&Column> = network.columns.iter().filter(|c| c.gap < 0.5 * network.weight).collect();
    let mut text: String = columns.iter().map(|c| c.best().0).collect();
    let mut agreement: f64 = columns.iter().map(|c| sharpened(c, g)).product();
    // Positions that were voted out by a narrow margin are doubts about the length.
    agreement *= network.columns.iter().filter(|c| c.gap >= 0.5 * network.weight).map(|c| sharpened_for(c.gap, c, g)).product::<f64>();

    let (narrow, chosen_only);
    let mut whole_string = false;
    if let Some((favourite, weight)) = whole {
        let nobody_read_it = !of_text.contains_key(&text);
        let share = weight / total;
        if favourite != text && (!plate(&text) || (nobody_read_it && share >= 0.5) || (cost > POOR_ALIGNMENT && share >= 0.3)) {
            // Only the reads that nearly say so may speak on its characters.
            narrow = aligned(voters.iter().filter(|v| v.text.len() == favourite.len() && edit_distance(&v.text, &favourite) <= 1)).0;
            if narrow.columns.len() == favourite.len() {
                columns = narrow.columns.iter().collect();
                agreement = columns.iter().zip(favourite.chars()).map(|(c, own)| sharpened_for(c.of(own), c, g)).product::<f64>()
                    * (narrow.weight / total);
                text = favourite;
                whole_string = true;
            }
        }
    }
    let mut certainty = agreement * total / (total + DOUBT);
    if options.rule != Rule::Characters {
        let (chosen, sure) = match options.rule {
            Rule::BestFrame => best_read(&voters, plate).map(|v| (v.text.clone(), f64::from(v.read.confidence)))?,
            _ => heaviest_text(&of_text, plate, g).map(|(text, share)| (text, share * total / (total + DOUBT)))?,
        };
        // Only what says so may speak on its look-alikes.
        chosen_only = aligned(voters.iter().filter(|v| v.text == chosen)).0;
        columns = chosen_only.columns.iter().collect();
        (text, certainty, whole_string) = (chosen, sure, true);
    }
    if !plate(&text) {
        return None;
    }
    let fitted = match &options.syntaxes {
        Some(table) => table.fit(&text, &columns),
        None => crate::syntax::Fitted { text, syntax: String::new() },
    };
    let confidence = certainty.clamp(0.0, 1.0) as f32;
    let mut frames: Vec<u64> = voters.iter().map(|v| v.read.frame).collect();
    frames.sort_unstable();
    frames.dedup();
    Some(Consensus {
        text: fitted.text,
        confidence,
        syntax: fitted.syntax,
        votes: votes(&voters),
        frames_read: frames.len() as u32,
        reads: voters.len() as u32,
        whole_string,
    })
}

/// The text with the most weight among those that may be plates, and its sharpened share of all weight; the first in the
/// alphabet among equals.
fn heaviest_text(of_text: &BTreeMap<String, f64>, plate: impl Fn(&str) -> bool, g: f64) -> Option<(String, f64)> {
    let all: f64 = of_text.values().map(|m| m.powf(g)).sum();
    let best = of_text.iter().filter(|(t, _)| plate(t)).reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    Some((best.0.clone(), best.1.powf(g) / all))
}

/// The heaviest read that may be a plate; the first of its frame and text among equals.
fn best_read<'v, 'a>(voters: &'v [Voter<'a>], plate: impl Fn(&str) -> bool) -> Option<&'v Voter<'a>> {
    let before = |a: &Voter<'_>, b: &Voter<'_>| {
        b.alone
            .total_cmp(&a.alone)
            .then(a.read.frame.cmp(&b.read.frame))
            .then(a.text.cmp(&b.text))
            .then(a.read.variant.cmp(&b.read.variant))
    };
    voters.iter().filter(|v| plate(&v.text)).min_by(|a, b| before(a, b))
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
