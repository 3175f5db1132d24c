//! What a run wrote: readings and evidence, byte for byte.

use crate::Sandbox;
use std::collections::BTreeMap;
use std::path::Path;

/// The readings and every evidence picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// `readings.jsonl`.
    pub readings: String,
    /// Pictures by file name.
    pub evidence: BTreeMap<String, Vec<u8>>,
}

impl Written {
    /// What the run in `sandbox` wrote to [`Sandbox::out`].
    ///
    /// # Panics
    /// If there is nothing.
    #[must_use]
    pub fn of(sandbox: &Sandbox) -> Self {
        Self::at(&sandbox.out())
    }

    /// What a run wrote to `readings` and the evidence folder beside it.
    ///
    /// # Panics
    /// If there is nothing.
    #[must_use]
    pub fn at(readings: &Path) -> Self {
        let folder = readings.with_extension("evidence");
        let text = std::fs::read_to_string(readings).unwrap_or_else(|e| panic!("{}: {e}", readings.display()));
        let files = std::fs::read_dir(folder).into_iter().flatten().map(|e| e.expect("the folder can be read"));
        let read = |e: std::fs::DirEntry| (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).unwrap_or_default());
        Self { readings: text, evidence: files.map(read).collect() }
    }

    /// In what it differs from `other`, if it does.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.readings != other.readings {
            return Some(format!("readings differ:\n{}\nand\n{}", self.readings, other.readings));
        }
        let differs = |name: &&String| self.evidence.get(*name) != other.evidence.get(*name);
        let names: Vec<&String> = self.evidence.keys().chain(other.evidence.keys()).filter(differs).collect();
        (!names.is_empty()).then(|| format!("evidence differs: {names:?}"))
    }
}
