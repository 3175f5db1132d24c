//! What was read in one picture.

use gantry_messages::{CropText, VariantRead};

/// Candidate characters of one position with their probabilities, most likely first.
pub type Candidates = Vec<(char, f32)>;

/// One read of one picture: a variant of a crop of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Frame number. Reads of one frame are not independent of each other.
    pub frame: u64,
    /// `original`, or the operator that made the picture; with several readers of a camera `original@<reader>`.
    pub variant: String,
    /// One entry per character.
    pub characters: Vec<Candidates>,
    /// Confidence of the whole text, `0.0..=1.0`.
    pub confidence: f32,
    /// Legibility of the crop, `0.0..=1.0`.
    pub legibility: f32,
    /// Width of the plate in the source picture in px.
    pub width_px: f32,
}

impl Read {
    /// Takes the read of one variant of `crop` in frame `frame`. Characters other than `A-Z0-9` are left out; lower case
    /// counts as upper case; probabilities that are no numbers count as 0.
    pub fn of(frame: u64, crop: &CropText, read: &VariantRead) -> Self {
        let characters = if read.characters.is_empty() {
            // A reader without probabilities: its word for it.
            read.text.chars().filter_map(plate_character).map(|c| vec![(c, read.confidence.clamp(0.0, 1.0))]).collect()
        } else {
            read.characters
                .iter()
                .filter_map(|position| {
                    let first = position.candidates.chars().next().and_then(plate_character)?;
                    let mut candidates: Candidates = Vec::with_capacity(position.probabilities.len());
                    for (c, p) in position.candidates.chars().zip(&position.probabilities) {
                        let Some(c) = plate_character(c) else { continue };
                        let p = if p.is_finite() { p.clamp(0.0, 1.0) } else { 0.0 };
                        match candidates.iter_mut().find(|(k, _)| *k == c) {
                            Some((_, sum)) => *sum = (*sum + p).min(1.0),
                            None => candidates.push((c, p)),
                        }
                    }
                    if candidates.is_empty() {
                        candidates.push((first, 1.0));
                    }
                    Some(candidates)
                })
                .collect()
        };
        let finite = |x: f32| if x.is_finite() { x.clamp(0.0, 1.0) } else { 0.0 };
        Self {
            frame,
            variant: read.variant.clone(),
            characters,
            confidence: finite(read.confidence),
            legibility: finite(crop.legibility),
            width_px: crop.bbox_in_source.width(),
        }
    }

    /// The most likely text.
    pub fn text(&self) -> String {
        self.characters.iter().filter_map(|c| c.first().map(|(c, _)| *c)).collect()
    }

    /// How much it counts before the variants of its frame share: `confidence² · (0.3 + 0.7 · legibility) · size`, times
    /// `variant_weight` for pictures that an operator made. `size` rises with the width of the plate, from 0.3 at 36 px to
    /// 1 at 120 px: a reader that sees 5 px per character is sure of itself and wrong more often.
    pub fn weight(&self, variant_weight: f64) -> f64 {
        let variant = if is_original(&self.variant) { 1.0 } else { variant_weight };
        let confidence = f64::from(self.confidence);
        let size = (f64::from(self.width_px) / 120.0).clamp(0.3, 1.0);
        confidence * confidence * (0.3 + 0.7 * f64::from(self.legibility)) * size * variant
    }
}

/// Name of the picture that no operator has touched.
pub const ORIGINAL: &str = "original";
/// Between the name of a picture and that of its reader.
const BY: char = '@';

/// Name of a picture in the votes, where several readers read a camera.
pub fn read_by(variant: &str, reader: &str) -> String {
    format!("{variant}{BY}{reader}")
}

/// Whether no operator has touched the picture, whoever read it.
pub fn is_original(variant: &str) -> bool {
    variant.split(BY).next() == Some(ORIGINAL)
}

fn plate_character(c: char) -> Option<char> {
    let c = c.to_ascii_uppercase();
    c.is_ascii_alphanumeric().then_some(c)
}
