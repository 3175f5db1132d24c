//! What `dora record GRAPH` and `dora replay FILE` start: `dora-record-node` writes messages of a graph into a `.drec` file,
//! `dora-replay-node` sends those of one node again. The command of dora's wheel looks for both names on `PATH` and in `target/release`, and
//! they come neither with the wheel nor from a registry.
//!
//! The file format is that of the crate `dora-recording`; an entry holds dora's own event with the message as Arrow IPC. These are recordings
//! of **results**: a handle of a frame points into the memory of a run that is over, and dora's recorder is one more reader on an edge on which
//! dora may lose messages. What must not be lost is recorded by the node `record`.

mod entry;
mod pace;

pub use entry::{Event, EventError, decode, encode};
pub use pace::Pace;

use std::collections::BTreeMap;

/// Which output each input of the recorder stands for, as `DORA_RECORD_TOPICS` says it: `{"vote___readings": "vote/readings"}`.
///
/// # Errors
/// If that is no JSON of that form, or a name is none that dora allows.
pub fn topics(json: &str) -> Result<BTreeMap<String, (String, String)>, EventError> {
    let wrong = |what: String| EventError::Topics { what };
    let map: BTreeMap<String, String> = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
    map.into_iter()
        .map(|(input, topic)| {
            let (node, output) = topic.split_once('/').ok_or_else(|| wrong(format!("`{topic}` is no `node/output`")))?;
            entry::checked(node, output)?;
            Ok((input, (node.to_owned(), output.to_owned())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_wrong_ones_named() {
        let found = topics(r#"{"vote___readings": "vote/readings"}"#).unwrap();
        assert_eq!(found["vote___readings"], ("vote".to_owned(), "readings".to_owned()));
        for (json, says) in [("[]", "sequence"), (r#"{"a": "vote"}"#, "`vote` is no"), (r#"{"a": "my vote/b"}"#, "my vote")] {
            let error = topics(json).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
