//! A message as a recording holds it.

use aligned_vec::{AVec, ConstAlign};
use dora_message::common::Timestamped;
use dora_message::daemon_to_daemon::InterDaemonEvent;
use dora_message::id::{DataId, NodeId};
use dora_message::metadata::Metadata;
use dora_node_api::arrow_utils::{decode_arrow_ipc, encode_arrow_ipc};
use dora_node_api::arrow_v59::array::NullArray;
use dora_node_api::arrow_v59::datatypes::DataType;
use dora_node_api::{DoraArray, IntoArrow, MetadataParameters, uuid::Uuid};
use thiserror::Error;

/// Why a message could not be recorded or sent again.
#[derive(Debug, Error)]
pub enum EventError {
    /// `DORA_RECORD_TOPICS` is wrong.
    #[error("`DORA_RECORD_TOPICS`: {what}")]
    Topics {
        /// What is wrong.
        what: String,
    },
    /// dora allows no such name.
    #[error("`{name}` is no name of a node or an output: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        why: String,
    },
    /// The message cannot be written as dora's event, or read back.
    #[error("message of `{topic}`: {why}")]
    Message {
        /// Node and output.
        topic: String,
        /// Why.
        why: String,
    },
}

/// A message that was recorded.
pub struct Event {
    /// Output of the recorded node.
    pub output: DataId,
    /// The parameters that travelled with it (`gantry_type`).
    pub parameters: MetadataParameters,
    /// The message.
    pub data: DoraArray,
}

/// Parses both names: what dora would panic on later is said at the start.
pub(crate) fn checked(node: &str, output: &str) -> Result<(NodeId, DataId), EventError> {
    let name = |name: &str, why: String| EventError::Name { name: name.to_owned(), why };
    Ok((node.parse().map_err(|e| name(node, format!("{e}")))?, output.parse().map_err(|e| name(output, format!("{e}")))?))
}

/// The bytes of an entry.
///
/// # Errors
/// If a name is wrong, or the array cannot be written as Arrow IPC.
pub fn encode(node: &str, output: &str, metadata: Metadata, data: &DoraArray) -> Result<Vec<u8>, EventError> {
    let wrong = |why: String| EventError::Message { topic: format!("{node}/{output}"), why };
    let (node_id, output_id) = checked(node, output)?;
    // The one array that replay makes of nothing; every other one keeps its type and length.
    let is_nothing = data.is_empty() && matches!(data.as_array().data_type(), DataType::Null);
    let bytes = if is_nothing { None } else { Some(encode_arrow_ipc(data).map_err(|e| wrong(format!("{e:#}")))?) };
    let timestamp = metadata.timestamp();
    let data: Option<AVec<u8, ConstAlign<128>>> = bytes.map(|bytes| AVec::from_slice(128, &bytes));
    let inner = InterDaemonEvent::Output { dataflow_id: Uuid::nil(), node_id, output_id, metadata, data };
    Timestamped { inner, timestamp }.serialize().map_err(|e| wrong(format!("{e:#}")))
}

/// The message of an entry; none for events that are no message.
///
/// # Errors
/// If the bytes are damaged, or of another version of dora.
pub fn decode(node: &str, output: &str, bytes: &[u8]) -> Result<Option<Event>, EventError> {
    let wrong = |why: String| EventError::Message { topic: format!("{node}/{output}"), why };
    let event = Timestamped::deserialize_inter_daemon_event(bytes).map_err(|e| wrong(format!("{e:#}")))?;
    let InterDaemonEvent::Output { output_id, metadata, data, .. } = event.inner else { return Ok(None) };
    let data = match data {
        Some(bytes) => decode_arrow_ipc(&bytes).map_err(|e| wrong(format!("{e:#}")))?,
        None => NullArray::new(0).into_arrow(),
    };
    Ok(Some(Event { output: output_id, parameters: metadata.parameters, data }))
}
