//! How much two plates differ.

/// Characters that cameras, fonts and dirt make alike.
const CONFUSED: [[u8; 2]; 6] = [*b"O0", *b"I1", *b"S5", *b"B8", *b"Z2", *b"G6"];

/// Cost of taking one for the other.
pub const CONFUSION: f32 = 0.25;

/// Weighted Levenshtein distance: 0 for equal plates, [`CONFUSION`] for each pair that is easily confused, 1 for any other character
/// that differs, is missing or too many. Symmetric.
#[must_use]
pub fn distance(a: &str, b: &str) -> f32 {
    if a == b {
        return 0.0;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<f32> = (0..=b.len()).map(|n| n as f32).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i as f32 + 1.0;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + cost(*x, *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1.0).min(row[j] + 1.0);
        }
    }
    row[b.len()]
}

fn cost(x: u8, y: u8) -> f32 {
    if x == y {
        0.0
    } else if CONFUSED.iter().any(|pair| pair.contains(&x) && pair.contains(&y)) {
        CONFUSION
    } else {
        1.0
    }
}

/// Letters and digits in upper case, as plates are read: `ab-123 cd` is `AB123CD`.
#[must_use]
pub fn plain(plate: &str) -> String {
    plate.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confused_characters_cost_a_quarter_and_others_one() {
        for (a, b, wanted) in [
            ("AB123CD", "AB123CD", 0.0),
            ("AB123CD", "A8123CD", 0.25),
            ("SO1BZG", "501826", 1.25),
            ("AB123CD", "AC123CD", 1.0),
            ("AB123CD", "AB123C", 1.0),
            ("AB123CD", "XAB123CD", 1.0),
            ("OI", "10", 2.0),
            ("", "AB", 2.0),
        ] {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
            assert_eq!(distance(b, a), wanted, "{b} {a}");
        }
        assert_eq!(plain(" ab-123 cd\t"), "AB123CD");
    }
}
