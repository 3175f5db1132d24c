//! Outputs of plate readers: probabilities over an alphabet turned into text with candidates for every character.

use gantry_messages::CharRead;

/// One picture as the reader sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextRead {
    /// Most likely text.
    pub text: String,
    /// Geometric mean of the probabilities of its characters as the model gives them; 0 for an empty text.
    pub confidence: f32,
    /// One entry per character of `text`: candidates with probabilities that sum to 1 over the whole alphabet.
    pub characters: Vec<CharRead>,
}

/// Which character a class of the model's output is; `None` for the blank of CTC and the padding of slots.
pub type Symbols<'a> = &'a [Option<char>];

/// Turns a row of logits or log-probabilities into probabilities; leaves probabilities as they are.
pub fn normalise(row: &mut [f32]) {
    let sum: f32 = row.iter().sum();
    let are_probabilities = row.iter().all(|p| (-1e-4..=1.001).contains(p)) && (sum - 1.0).abs() < 1e-2;
    if are_probabilities {
        return;
    }
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for value in row.iter_mut() {
        *value = if max.is_finite() { (*value - max).exp() } else { 1.0 };
        total += *value;
    }
    row.iter_mut().for_each(|value| *value /= total);
}

/// Greedy CTC: the best class of each step, repeats merged, blanks removed.
///
/// `probabilities`: `[steps, symbols.len()]`. A character's candidates are the sums over the steps of its run, without the blank,
/// scaled to 1; its own probability, for the confidence, is its best step's, blank included.
#[must_use]
pub fn ctc_greedy(probabilities: &[f32], symbols: Symbols<'_>, top_k: usize) -> TextRead {
    let steps: Vec<&[f32]> = probabilities.chunks_exact(symbols.len()).collect();
    let mut text = Builder::new(symbols, top_k);
    let mut start = 0;
    while start < steps.len() {
        let class = argmax(steps[start]);
        let run = steps[start..].iter().take_while(|step| argmax(step) == class).count();
        text.push(class, &steps[start..start + run]);
        start += run;
    }
    text.finish()
}

/// Fixed slots: the best class of each, padding removed.
///
/// `probabilities`: `[slots, symbols.len()]`.
#[must_use]
pub fn slots(probabilities: &[f32], symbols: Symbols<'_>, top_k: usize) -> TextRead {
    let mut text = Builder::new(symbols, top_k);
    for slot in probabilities.chunks_exact(symbols.len()) {
        text.push(argmax(slot), &[slot]);
    }
    text.finish()
}

/// Index of the largest value, the first of equals.
fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, p)| if *p > row[best] { i } else { best })
}

struct Builder<'a> {
    symbols: Symbols<'a>,
    top_k: usize,
    log_sum: f64,
    mass: Vec<(usize, f32)>,
    read: TextRead,
}

impl<'a> Builder<'a> {
    fn new(symbols: Symbols<'a>, top_k: usize) -> Self {
        Self { symbols, top_k, log_sum: 0.0, mass: Vec::with_capacity(symbols.len()), read: TextRead::default() }
    }

    fn push(&mut self, class: usize, run: &[&[f32]]) {
        let Some(character) = self.symbols[class] else { return };
        self.mass.clear();
        for (i, _) in self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.is_some()) {
            self.mass.push((i, run.iter().map(|step| step[i].max(0.0)).sum()));
        }
        let total: f32 = self.mass.iter().map(|(_, mass)| mass).sum();
        // The emitted character first, also where a neighbour has the same mass.
        self.mass.sort_unstable_by(|(i, a), (j, b)| (*j == class).cmp(&(*i == class)).then(b.total_cmp(a)).then(i.cmp(j)));
        let best = self.mass.iter().take(self.top_k.max(1));
        let candidates = best.clone().filter_map(|(i, _)| self.symbols[*i]).collect();
        let probabilities = best.map(|(_, mass)| if total > 0.0 { mass / total } else { 0.0 }).collect();
        let peak = run.iter().map(|step| step[class]).fold(0.0, f32::max);
        self.log_sum += f64::from(peak.clamp(1e-6, 1.0)).ln();
        self.read.text.push(character);
        self.read.characters.push(CharRead { candidates, probabilities });
    }

    fn finish(mut self) -> TextRead {
        let count = self.read.characters.len();
        self.read.confidence = if count == 0 { 0.0 } else { (self.log_sum / count as f64).exp() as f32 };
        self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SYMBOLS: &[Option<char>] = &[None, Some('0'), Some('O'), Some('A')];

    #[test]
    fn repeats_merge_unless_a_blank_stands_between() {
        let one = |class: usize| (0..4).map(|i| if i == class { 0.7 } else { 0.1 }).collect::<Vec<f32>>();
        let steps: Vec<f32> = [0, 1, 1, 0, 1, 3, 3, 0].into_iter().flat_map(one).collect();
        let read = ctc_greedy(&steps, SYMBOLS, 2);
        assert_eq!(read.text, "00A");
        assert!((read.confidence - 0.7).abs() < 1e-6);
        assert_eq!(read.characters[0].candidates, "0O");
        // 0.7 of the 0.9 that is not blank.
        assert!((read.characters[0].probabilities[0] - 0.7 / 0.9).abs() < 1e-6);
    }

    #[test]
    fn candidates_come_from_the_whole_run_of_a_character() {
        let steps = [0.0, 0.6, 0.4, 0.0, 0.0, 0.5, 0.1, 0.4];
        let read = ctc_greedy(&steps, SYMBOLS, 3);
        assert_eq!(read.text, "0");
        assert_eq!(read.characters[0].candidates, "0OA");
        assert_eq!(read.characters[0].probabilities, [0.55, 0.25, 0.2]);
        assert!((read.confidence - 0.6).abs() < 1e-6);
    }

    #[test]
    fn slots_leave_out_their_padding_and_the_confidence_is_the_geometric_mean() {
        let slots_of = [0.0, 0.0, 0.2, 0.8, 0.6, 0.4, 0.0, 0.0, 0.0, 0.45, 0.3, 0.25];
        let read = slots(&slots_of, SYMBOLS, 1);
        assert_eq!(read.text, "A0");
        assert!((read.confidence - (0.8f32 * 0.45).sqrt()).abs() < 1e-6);
        assert_eq!(slots(&[1.0, 0.0, 0.0, 0.0], SYMBOLS, 3), TextRead::default());
    }

    #[test]
    fn logits_and_log_probabilities_become_probabilities_which_stay_as_they_are() {
        let probabilities = [0.7, 0.2, 0.1];
        let mut same = probabilities;
        normalise(&mut same);
        assert_eq!(same, probabilities);
        for shift in [0.0, 3.0] {
            let mut logs = probabilities.map(|p: f32| p.ln() + shift);
            normalise(&mut logs);
            assert!(logs.iter().zip(probabilities).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    proptest! {
        #[test]
        fn every_character_has_candidates_that_are_ordered_and_sum_to_one_at_most(
            rows in proptest::collection::vec(proptest::collection::vec(0.001..1.0f32, 4), 0..24), top_k in 1usize..6,
        ) {
            let mut flat = rows.concat();
            flat.chunks_exact_mut(4).for_each(normalise);
            for read in [ctc_greedy(&flat, SYMBOLS, top_k), slots(&flat, SYMBOLS, top_k)] {
                prop_assert_eq!(read.text.chars().count(), read.characters.len());
                prop_assert!((0.0..=1.0).contains(&read.confidence));
                for (c, character) in read.text.chars().zip(&read.characters) {
                    prop_assert_eq!(character.candidates.chars().next(), Some(c));
                    prop_assert_eq!(character.candidates.chars().count(), character.probabilities.len());
                    prop_assert_eq!(character.probabilities.len(), top_k.min(3));
                    prop_assert!(character.probabilities.iter().sum::<f32>() <= 1.0 + 1e-5);
                    prop_assert!(character.probabilities.get(1..).is_none_or(|rest| rest.is_sorted_by(|a, b| a >= b)));
                }
            }
        }
    }
}
