//! Nodes that a signal ended: they cannot say why themselves, so dora's log is asked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// E.g. `SIGKILL`.
    Signal(String),
    /// An exit code other than 0, and the last line that it printed. Nodes of ours leave a fault then, which says more.
    Code(String, String),
}

/// A node that ended and could not say why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Node id.
    pub node: String,
    /// How.
    pub end: End,
}

impl Death {
    /// What happened.
    pub fn message(&self) -> String {
        match &self.end {
            End::Signal(signal) => format!("node `{}` was ended by signal {signal}", self.node),
            End::Code(code, line) if line.is_empty() => format!("node `{}` ended with code {code}", self.node),
            End::Code(code, line) => format!("node `{}` ended with code {code}: {line}", self.node),
        }
    }

    /// Whether a signal ended it.
    pub fn is_by_signal(&self) -> bool {
        matches!(self.end, End::Signal(_))
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match &self.end {
            End::Code(..) => "what it printed stands in dora.log of the folder below",
            End::Signal(signal) if signal == "SIGKILL" || signal == "SIGTERM" => {
                "somebody ended it, or the system for lack of memory (`dmesg` tells): read fewer sources at once, or free some memory"
            }
            End::Signal(_) => {
                "it broke memory: an operator library or the model's runtime that it loads has a fault; take the last change back, `GANTRY_LOG=debug` says how far it came"
            }
        }
    }
}

/// Follows dora's log while it grows.
pub struct Deaths {
    path: PathBuf,
    read: u64,
    rest: String,
    /// The last line that each node printed.
    printed: BTreeMap<String, String>,
    found: Vec<Death>,
}

impl Deaths {
    /// Reads `path` from its start.
    pub fn follow(path: PathBuf) -> Self {
        Self { path, read: 0, rest: String::new(), printed: BTreeMap::new(), found: Vec::new() }
    }

    /// All deaths until now, in the order in which they came.
    pub fn seen(&mut self) -> &[Death] {
        // A log that cannot be read now is read the next time.
        let _ = self.read_on();
        &self.found
    }

    fn read_on(&mut self) -> std::io::Result<()> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() == self.read {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        self.read += file.read_to_end(&mut bytes)? as u64;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            if let Some((node, text)) = line.split_once(" stdout ").and_then(|(_, rest)| rest.trim_start().split_once(": ")) {
                self.printed.insert(node.to_owned(), text.trim().to_owned());
            }
            self.found.extend(death(&line, &self.printed));
        }
        Ok(())
    }
}

/// `19:34:47 ERROR  recognize: daemon exited because of signal SIGKILL with stderr output:`, or `exited with code 1 ..`, as dora 1.1 writes it.
fn death(line: &str, printed: &BTreeMap<String, String>) -> Option<Death> {
    let (before, after) = line.split_once(": daemon exited ").filter(|(before, _)| before.contains("ERROR"))?;
    let node = before.split_whitespace().last()?.to_owned();
    let word = |text: &str| text.split_whitespace().next().map(str::to_owned);
    let end = match (after.strip_prefix("because of signal "), after.strip_prefix("with code ")) {
        (Some(signal), _) => End::Signal(word(signal)?),
        (_, Some(code)) => End::Code(word(code)?, printed.get(&node).cloned().unwrap_or_default()),
        _ => return None,
    };
    Some(Death { node, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_death_is_found_once_its_line_is_complete() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut deaths = Deaths::follow(file.path().to_owned());
        write!(
            file,
            "19:34:47 DEBUG  recognize: daemon handling node stop with exit status Signal(9)\n19:34:47 ERROR  recognize: daemon exi"
        )
        .unwrap();
        assert_eq!(deaths.seen(), []);
        writeln!(file, "ted because of signal SIGSEGV with stderr output:").unwrap();
        let wanted = Death { node: "recognize".into(), end: End::Signal("SIGSEGV".into()) };
        assert_eq!(deaths.seen(), std::slice::from_ref(&wanted));
        assert_eq!(deaths.seen(), [wanted]);
    }

    #[test]
    fn a_node_that_ends_with_a_code_is_told_with_its_last_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "08:17:53 stdout light: Traceback (most recent call last):\n08:17:53 stdout light: KeyError: 'node_id'").unwrap();
        writeln!(file, "08:17:53 ERROR  light: daemon exited with code 1 with stderr output:").unwrap();
        let found = Deaths::follow(file.path().to_owned()).seen().to_vec();
        assert_eq!(found.iter().map(Death::message).collect::<Vec<_>>(), ["node `light` ended with code 1: KeyError: 'node_id'"]);
        assert!(!found[0].is_by_signal());
        assert_eq!(death("08:17:53 DEBUG  light: daemon exited with code 0", &BTreeMap::new()), None);
    }
}
