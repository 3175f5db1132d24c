//! Pairs of a query or of a form (`application/x-www-form-urlencoded`).

use crate::search::Query;

/// The pairs, decoded, in their order.
#[derive(Debug, Default, PartialEq)]
pub struct Pairs(Vec<(String, String)>);

/// Longest value that is looked at.
const LONGEST: usize = 200;

impl Pairs {
    /// Reads `a=1&b=x%20y`.
    pub fn of(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).take(128).map(pair).collect())
    }

    /// The first value of that name; empty if there is none or it is too long.
    pub fn first<'a>(&'a self, name: &'a str) -> &'a str {
        self.all(name).next().filter(|value| value.len() <= LONGEST).unwrap_or_default()
    }

    /// All values of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// What is to be searched for.
    pub fn search(&self) -> Query {
        let text = |name| self.first(name).to_owned();
        Query {
            plate: text("plate"),
            camera: text("camera"),
            from: text("from"),
            until: text("until"),
            before: self.first("before").parse().ok(),
        }
    }
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_broken_ones_stay_text() {
        let pairs = Pairs::of("p=960,0,north%20gate&p=1,2,%C3%96+%&plate=AB%2&&x");
        assert_eq!(pairs.all("p").collect::<Vec<_>>(), ["960,0,north gate", "1,2,Ö %"]);
        assert_eq!((pairs.first("plate"), pairs.first("x"), pairs.first("none")), ("AB%2", "", ""));
        assert_eq!(Pairs::of(&format!("plate={}", "A".repeat(300))).search(), Query::default());
        assert_eq!(Pairs::of("before=12&camera=a").search(), Query { before: Some(12), camera: "a".into(), ..Query::default() });
    }
}
