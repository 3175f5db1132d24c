use std::fmt::Write;

/// One fault of a graph: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GraphFault {
    /// Graph file, as it was named.
    pub file: String,
    /// Node, empty if the fault is not in one.
    pub node: String,
    /// `input `frames``, `env `MODEL``, ... ; empty if it is the node itself.
    pub place: String,
    /// What is wrong, with the value found and the value wanted.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl GraphFault {
    pub(crate) fn new(file: &str, node: &str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), node: node.to_owned(), place: place.into(), what: what.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for GraphFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.file)?;
        if !self.node.is_empty() {
            write!(f, "node `{}`", self.node)?;
            if !self.place.is_empty() {
                write!(f, ", {}", self.place)?;
            }
            write!(f, ": ")?;
        } else if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}", self.what)
    }
}

/// All faults as text for people, each `error:` with its `hint:`.
pub fn render(faults: &[GraphFault]) -> String {
    let mut text = String::new();
    for fault in faults {
        let _ = writeln!(text, "error: {fault}");
        if let Some(hint) = &fault.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
    }
    text
}

/// The candidate that is nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (gantry_contract::distance(word, c), c))
        .min()
        .filter(|(d, c)| *d > 0 && *d <= 1 + c.len() / 4)
        .map(|(_, c)| c)
}
