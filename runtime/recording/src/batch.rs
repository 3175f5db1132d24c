//! Arrow arrays as MCAP messages: the schema once, a record batch per message.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_ipc::MetadataVersion;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message};
use arrow_schema::{ArrowError, DataType, Schema};
use std::io::{Cursor, Read};
use std::sync::Arc;

/// Buffers begin at multiples of this. Arrow's usual 64 would cost 1 kB per packet.
const ALIGNMENT: usize = 8;

fn options() -> Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)
}

fn schema_of(kind: &DataType) -> Result<Schema, ArrowError> {
    match kind {
        DataType::Struct(fields) => Ok(Schema::new(fields.clone())),
        other => Err(ArrowError::SchemaError(format!("a message is a struct array, this is an array of {other}"))),
    }
}

/// The schema as an Arrow IPC message.
pub(crate) fn schema_message(kind: &DataType) -> Result<Vec<u8>, ArrowError> {
    let (schema, options) = (schema_of(kind)?, options()?);
    let encoded = IpcDataGenerator {}.schema_to_bytes_with_dictionary_tracker(&schema, &mut DictionaryTracker::new(true), &options);
    let mut bytes = Vec::new();
    write_message(&mut bytes, encoded, &options)?;
    Ok(bytes)
}

/// The rows as an Arrow IPC message.
pub(crate) fn batch_message(array: &ArrayRef) -> Result<Vec<u8>, ArrowError> {
    let rows = array.as_struct_opt().ok_or_else(|| ArrowError::SchemaError(format!("{} is no struct array", array.data_type())))?;
    let (batch, options) = (RecordBatch::from(rows.clone()), options()?);
    let mut context = IpcWriteContext::default();
    let (_, encoded) = IpcDataGenerator {}.encode(&batch, &mut DictionaryTracker::new(true), &options, &mut context)?;
    let mut bytes = Vec::new();
    write_message(&mut bytes, encoded, &options)?;
    Ok(bytes)
}

/// The rows of a message with its schema: the way back.
///
/// # Errors
/// What Arrow finds wrong with the bytes.
pub fn read_array(schema: &[u8], message: &[u8]) -> Result<ArrayRef, ArrowError> {
    let mut reader = StreamReader::try_new(Cursor::new(schema).chain(Cursor::new(message)), None)?;
    let batch = reader.next().ok_or_else(|| ArrowError::IpcError("no record batch".to_owned()))??;
    Ok(Arc::new(StructArray::from(batch)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::{PacketRow, ReadingRow, Vote, data_type, decode, encode};

    #[test]
    fn rows_come_back_and_one_schema_serves_all_messages() {
        let schema = schema_message(&data_type::<PacketRow>().unwrap()).unwrap();
        for bytes in [0, 1, 70_000] {
            let rows = [PacketRow { source: "gate".into(), pts_ns: -1, data: vec![7; bytes], ..PacketRow::default() }];
            let message = batch_message(&encode(&rows).unwrap()).unwrap();
            assert_eq!(decode::<PacketRow>(&read_array(&schema, &message).unwrap()).unwrap(), rows);
            assert!(message.len() < bytes + 2000, "{} bytes for {bytes}", message.len());
        }
        let votes = vec![Vote { text: "AB1".into(), variant: "original".into(), frames: vec![4, 5], weight: 1.5 }];
        let rows = [ReadingRow { plate: "AB1".into(), votes, ..ReadingRow::default() }, ReadingRow::default()];
        let schema = schema_message(&data_type::<ReadingRow>().unwrap()).unwrap();
        let message = batch_message(&encode(&rows).unwrap()).unwrap();
        assert_eq!(decode::<ReadingRow>(&read_array(&schema, &message).unwrap()).unwrap(), rows);
    }
}
