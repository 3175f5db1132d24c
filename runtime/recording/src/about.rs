//! Where a recording comes from.

use std::collections::BTreeMap;

const CHECKSUM: &str = "checksum";

/// Graph, parameters and models of the run that was recorded: texts by name.
///
/// MCAP's metadata records have no CRC, so these texts carry one themselves; damaged ones are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    entries: BTreeMap<String, String>,
}

impl About {
    /// Name of the run: parts of one recording have the same.
    pub const RUN: &str = "run";
    /// The graph as YAML, passwords taken out.
    pub const GRAPH: &str = "graph";
    /// Folder in which the relative paths of the graph start.
    pub const FOLDER: &str = "folder";
    /// `live` or `lossless`.
    pub const MODE: &str = "mode";
    /// Number of the first packet, of a clip: none before it is missing.
    pub const FIRST: &str = "first packet";
    /// Version of Gantry.
    pub const VERSION: &str = "gantry";

    /// Sets a text.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.entries.insert(name.into(), text.into());
        self
    }

    /// The text of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }

    /// [`About::FIRST`], else 0.
    pub(crate) fn first(&self) -> u64 {
        self.get(Self::FIRST).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// SHA-256 of the files that parameters named (`recognize.MODEL`), in hex.
    pub fn digests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().filter_map(|(name, text)| Some((name.strip_prefix("sha256 ")?, text.as_str())))
    }

    /// Sets the digest of the file that a parameter (`recognize.MODEL`) names.
    #[must_use]
    pub fn with_digest(self, parameter: &str, sha256: &str) -> Self {
        self.with(format!("sha256 {parameter}"), sha256)
    }

    /// The texts with their checksum.
    pub(crate) fn checked(&self) -> BTreeMap<String, String> {
        let mut texts = self.entries.clone();
        texts.insert(CHECKSUM.to_owned(), checksum(&self.entries));
        texts
    }

    /// `None` if the checksum does not fit.
    pub(crate) fn of(mut texts: BTreeMap<String, String>) -> Option<Self> {
        let found = texts.remove(CHECKSUM)?;
        (found == checksum(&texts)).then_some(Self { entries: texts })
    }
}

fn checksum(entries: &BTreeMap<String, String>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for text in entries.iter().flat_map(|(name, text)| [name, text]) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_character_is_noticed() {
        let about = About::default().with(About::GRAPH, "nodes: []").with_digest("recognize.MODEL", "ab12");
        let mut texts = about.checked();
        assert_eq!(About::of(texts.clone()), Some(about.clone()));
        assert_eq!(about.digests().collect::<Vec<_>>(), [("recognize.MODEL", "ab12")]);
        texts.insert(About::GRAPH.to_owned(), "nodes: {}".to_owned());
        assert_eq!(About::of(texts), None);
    }
}
