//! Votes over made-up reads: what wins, and how sure it is.

use gantry_node_vote::{Options, Read, Rule, consensus};
use proptest::prelude::*;

/// A read in which each character has `p` and, where `text` has a look-alike, the rest of the mass lies on that.
fn read(frame: u64, variant: &str, text: &str, p: f32) -> Read {
    let other = |c: char| {
        let pairs = "0OO01II15SS58BB82ZZ26GG6";
        pairs.as_bytes().chunks(2).find(|x| char::from(x[0]) == c).map(|x| char::from(x[1]))
    };
    let characters = text.chars().map(|c| [Some((c, p)), other(c).map(|o| (o, 1.0 - p))].into_iter().flatten().collect()).collect();
    Read { frame, variant: variant.into(), characters, confidence: p, legibility: 0.8, width_px: 120.0 }
}

fn originals(texts: &[&str], p: f32) -> Vec<Read> {
    texts.iter().enumerate().map(|(i, t)| read(i as u64, "original", t, p)).collect()
}

fn vote(reads: &[Read]) -> gantry_node_vote::Consensus {
    consensus(reads, &Options::default()).expect("a consensus")
}

#[test]
fn each_position_is_outvoted_on_its_own() {
    // No read is right as a whole; every position is right in two of three.
    let c = vote(&originals(&["XB123CD", "AB1X3CD", "AB123CX"], 0.9));
    assert_eq!(c.text, "AB123CD");
    assert!(!c.whole_string);
    assert_eq!((c.frames_read, c.reads), (3, 3));
}

#[test]
fn each_rule_has_its_own_winner() {
    let by = |rule, reads: &[Read]| consensus(reads, &Options { rule, syntaxes: None, ..Options::default() }).expect("a consensus");
    // The third text stands in two of five frames; by characters nothing stands against AB123CD; one read is the heaviest.
    let mut reads = originals(&["XB123CD", "AX123CD", "AB123CX", "AB123CX", "AB12XCD"], 0.8);
    reads.push(read(9, "original", "AB1Z3CD", 0.99));
    let (characters, whole, best) = (by(Rule::Characters, &reads), by(Rule::WholeString, &reads), by(Rule::BestFrame, &reads));
    assert_eq!((characters.text.as_str(), whole.text.as_str(), best.text.as_str()), ("AB123CD", "AB123CX", "AB1Z3CD"));
    assert!((best.confidence - 0.99).abs() < 1e-6, "{}", best.confidence);
    assert!(whole.confidence < 0.7 && whole.whole_string, "{}", whole.confidence);
    assert_eq!((whole.frames_read, whole.votes.len()), (6, 5));
    // Where all say the same, the rules differ in nothing but how sure one frame can be.
    let same = originals(&["AB123CD"; 8], 0.95);
    assert_eq!(by(Rule::Characters, &same).text, by(Rule::BestFrame, &same).text);
    assert!((by(Rule::Characters, &same).confidence - by(Rule::WholeString, &same).confidence).abs() < 0.05);
    // What is no plate is chosen by none.
    let with_fragment = [read(0, "original", "AB", 0.99), read(1, "original", "AB123CD", 0.9)];
    for rule in [Rule::WholeString, Rule::BestFrame] {
        assert_eq!(by(rule, &with_fragment).text, "AB123CD");
    }
}

#[test]
fn missing_and_extra_characters_do_not_shift_the_others() {
    assert_eq!(vote(&originals(&["AB123CD", "B123CD", "AB1123CD", "AB123C", "AB123CD"], 0.9)).text, "AB123CD");
}

#[test]
fn confidence_rises_with_every_independent_frame_that_agrees() {
    let mut last = 0.0;
    for n in 1..20 {
        let c = vote(&originals(&vec!["KXW7391"; n], 0.95));
        assert!(c.confidence > last, "{n} frames: {} after {last}", c.confidence);
        last = c.confidence;
    }
    assert!(last > 0.95, "{last}");
    assert!(vote(&originals(&["KXW7391"], 0.95)).confidence < 0.7);
}

#[test]
fn variants_of_one_frame_are_not_independent() {
    let frame: Vec<Read> = ["original", "clahe", "sharpen", "equalize", "morphology", "adaptive_threshold"]
        .iter()
        .map(|v| read(7, v, "KXW7391", 0.95))
        .collect();
    let alone = vote(&frame[..1]);
    let all = vote(&frame);
    assert!((all.confidence - alone.confidence).abs() < 1e-6, "{} and {}", all.confidence, alone.confidence);
    assert_eq!((all.frames_read, all.reads), (1, 6));
    assert_eq!(all.votes.len(), 6);
    assert_eq!(all.votes[0].variant, "original");
}

#[test]
fn confidence_falls_with_disagreement() {
    let agree = vote(&originals(&["KXW7391"; 6], 0.9)).confidence;
    let some = vote(&originals(&["KXW7391", "KXW7341", "KXW7391", "KXW7341", "KXW7391", "KXW7391"], 0.9)).confidence;
    let half = vote(&originals(&["KXW7391", "KXW7341", "KXW7391", "KXW7341", "KXW7391", "KXW7341"], 0.9)).confidence;
    assert!(some < 0.96 * agree, "{some} against {agree}");
    assert!(half < 0.55 * agree, "{half} against {agree}");
}

#[test]
fn one_sharp_frame_outweighs_two_blurred_ones() {
    let mut reads = originals(&["KXW7391", "KXH7391", "KXH7391"], 0.95);
    for blurred in &mut reads[1..] {
        blurred.confidence = 0.5;
        blurred.legibility = 0.1;
    }
    assert_eq!(vote(&reads).text, "KXW7391");
}

#[test]
fn position_decides_between_look_alikes_that_are_tied() {
    let reads = originals(&["A0123BC", "AO123BC", "A0123BC"], 0.6);
    let c = vote(&reads);
    assert_eq!((c.text.as_str(), c.syntax.as_str()), ("AO123BC", "eu_two_three_two"));
    let off = consensus(&reads, &Options { syntaxes: None, ..Options::default() }).unwrap();
    assert_eq!((off.text.as_str(), off.syntax.as_str()), ("A0123BC", ""));
}

#[test]
fn a_well_read_plate_of_no_known_layout_stays_as_read() {
    for text in ["S5O0B8", "0Z1B8SG6", "IO10"] {
        let c = vote(&originals(&[text; 4], 0.98));
        assert_eq!((c.text.as_str(), c.syntax.as_str()), (text, ""));
    }
}

#[test]
fn the_whole_string_wins_where_the_characters_make_a_text_that_nobody_read() {
    // Two systematic misreads meet in a chimera; the text that was read most is taken.
    let texts = ["ABCD12", "ABCD12", "ABCD12", "ABCD12", "ACD123", "XBCD13"];
    let c = vote(&originals(&texts, 0.9));
    assert_eq!(c.text, "ABCD12");
}

#[test]
fn only_originals_take_part_when_variants_are_off() {
    let mut reads = vec![read(0, "original", "KXW7391", 0.9)];
    reads.extend((0..3).map(|f| read(f, "clahe", "KXW7341", 0.9)));
    let c = consensus(&reads, &Options { variants: false, ..Options::default() }).unwrap();
    assert_eq!((c.text.as_str(), c.reads), ("KXW7391", 1));
}

#[test]
fn texts_that_are_no_plates_have_no_consensus() {
    assert_eq!(consensus(&originals(&["AB", "ABC", "A"], 0.9), &Options::default()), None);
    assert_eq!(consensus(&[], &Options::default()), None);
    assert_eq!(consensus(&originals(&["ABCDEFGHIJKLMN"], 0.9), &Options::default()), None);
}

/// A reader that errs: each character is replaced with probability `errors`.
fn noisy(text: &str, frame: u64, errors: f64, random: &mut impl FnMut() -> f64) -> Read {
    let mut characters = Vec::new();
    let mut sum = 0.0;
    for c in text.chars() {
        let wrong = random() < errors;
        let p = if wrong { 0.4 + 0.3 * random() } else { 0.6 + 0.39 * random() } as f32;
        let any = char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(random() * 36.0) as usize % 36]);
        sum += f64::from(p).ln();
        let (first, second) = if wrong { (any, c) } else { (c, any) };
        characters.push(vec![(first, p), (second, (1.0 - p) * 0.5)]);
    }
    let confidence = (sum / text.len() as f64).exp() as f32;
    Read { frame, variant: "original".into(), characters, confidence, legibility: 0.6, width_px: 100.0 }
}

#[test]
fn twelve_bad_frames_read_what_no_single_one_does() {
    let mut state = 12345_u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (mut exact, mut single, mut frames) = (0, 0, 0);
    for _ in 0..200 {
        let text: String = (0..7).map(|_| char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(random() * 36.0) as usize % 36])).collect();
        let reads: Vec<Read> = (0..12).map(|f| noisy(&text, f, 0.25, &mut random)).collect();
        single += reads.iter().filter(|r| r.text() == text).count();
        frames += reads.len();
        exact += usize::from(vote(&reads).text == text);
    }
    let single = single as f64 / frames as f64;
    assert!(single < 0.2, "single frames: {single}");
    assert!(exact >= 190, "{exact} of 200 plates, single frames {single}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_the_reads_does_not_matter(texts in prop::collection::vec("[A-C0-2]{4,8}", 1..8), swap in prop::collection::vec(any::<prop::sample::Index>(), 8)) {
        let reads: Vec<Read> = texts.iter().enumerate().map(|(i, t)| read(i as u64 / 2, ["original", "clahe"][i % 2], t, 0.5 + 0.05 * i as f32)).collect();
        let mut shuffled = reads.clone();
        for i in 0..shuffled.len() {
            let j = swap[i % swap.len()].index(shuffled.len());
            shuffled.swap(i, j);
        }
        for rule in [Rule::Characters, Rule::WholeString, Rule::BestFrame] {
            let options = Options { rule, ..Options::default() };
            prop_assert_eq!(consensus(&reads, &options), consensus(&shuffled, &options));
        }
    }

    #[test]
    fn confidence_is_a_probability_and_lengths_are_a_plates(texts in prop::collection::vec("[A-Z0-9]{0,12}", 1..10), p in 0.0_f32..1.0) {
        let reads: Vec<Read> = texts.iter().enumerate().map(|(i, t)| read(i as u64, "original", t, p)).collect();
        if let Some(c) = consensus(&reads, &Options::default()) {
            prop_assert!((0.0..=1.0).contains(&c.confidence));
            prop_assert!((4..=10).contains(&c.text.len()));
        }
    }
}
