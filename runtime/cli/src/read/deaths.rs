//! Nodes that a signal ended: they cannot say why themselves, so dora's log is asked.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// A node that ended without leaving a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Node id.
    pub node: String,
    /// E.g. `SIGKILL`.
    pub signal: String,
}

impl Death {
    /// What happened.
    pub fn message(&self) -> String {
        format!("node `{}` was ended by signal {}", self.node, self.signal)
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self.signal.as_str() {
            "SIGKILL" | "SIGTERM" => {
                "somebody ended it, or the system for lack of memory (`dmesg` tells): read fewer sources at once, or free some memory"
            }
            _ => {
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
    found: Vec<Death>,
}

impl Deaths {
    /// Reads `path` from its start.
    pub fn follow(path: PathBuf) -> Self {
        Self { path, read: 0, rest: String::new(), found: Vec::new() }
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
            self.found.extend(death(&line));
        }
        Ok(())
    }
}

/// `19:34:47 ERROR  recognize: daemon exited because of signal SIGKILL with stderr output:` as dora 1.1 writes it.
fn death(line: &str) -> Option<Death> {
    let (before, after) = line.split_once(": daemon exited because of signal ")?;
    let node = before.split_whitespace().last()?;
    let signal = after.split_whitespace().next()?;
    before.contains("ERROR").then(|| Death { node: node.to_owned(), signal: signal.to_owned() })
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
        let wanted = Death { node: "recognize".into(), signal: "SIGSEGV".into() };
        assert_eq!(deaths.seen(), std::slice::from_ref(&wanted));
        assert_eq!(deaths.seen(), [wanted]);
    }

    #[test]
    fn a_node_that_ends_with_a_code_is_no_death_by_signal() {
        assert_eq!(death("19:34:38 ERROR  decode_cam0: daemon exited with code 1 with stderr output:"), None);
    }
}
