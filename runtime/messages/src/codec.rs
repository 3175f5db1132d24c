//! Rows to Arrow and back.

use crate::{HANDLE_BYTES, Message};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray, cast::AsArray};
use arrow_schema::{DataType, FieldRef, Fields};
use serde_arrow::ArrayBuilder;
use serde_arrow::schema::{SchemaLike, TracingOptions};
use std::any::TypeId;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use thiserror::Error;

/// Why a message could not be made or read.
#[derive(Debug, Error)]
pub enum MessageError {
    /// The array is no struct array or its columns are not those of the type.
    #[error("message is not `{wanted}`: {found}")]
    Schema {
        /// The type that was expected.
        wanted: &'static str,
        /// What is there instead.
        found: String,
    },
    /// A value could not be converted.
    #[error("message `{message}`: {why}")]
    Value {
        /// Message type.
        message: &'static str,
        /// Why.
        why: String,
    },
}

/// The Arrow fields of a message type, traced once.
fn fields<T: Message>() -> Result<Fields, MessageError> {
    static KNOWN: OnceLock<Mutex<BTreeMap<TypeId, Fields>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(f) = known.get(&TypeId::of::<T>()) {
        return Ok(f.clone());
    }
    let traced = trace::<T>().map_err(|e| MessageError::Value { message: T::TYPE, why: e.to_string() })?;
    known.insert(TypeId::of::<T>(), traced.clone());
    Ok(traced)
}

fn trace<T: Message>() -> serde_arrow::Result<Fields> {
    let traced = Vec::<FieldRef>::from_type::<T>(
        TracingOptions::default().strings_as_large_utf8(false).sequence_as_large_list(false).bytes_as_large_binary(false),
    )?;
    Ok(traced.iter().map(fixed_handle).collect())
}

/// The `handle` columns have a fixed size; serde cannot tell.
fn fixed_handle(field: &FieldRef) -> FieldRef {
    let kind = match field.data_type() {
        DataType::Binary if field.name() == "handle" => DataType::FixedSizeBinary(HANDLE_BYTES as i32),
        DataType::Struct(inner) => DataType::Struct(inner.iter().map(fixed_handle).collect()),
        DataType::List(item) => DataType::List(fixed_handle(item)),
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// The Arrow type of a message type.
///
/// # Errors
/// [`MessageError::Value`] if the row type cannot be expressed, which the tests exclude for every type here.
pub fn data_type<T: Message>() -> Result<DataType, MessageError> {
    Ok(DataType::Struct(fields::<T>()?))
}

/// Turns rows into the struct array that travels.
///
/// # Errors
/// [`MessageError::Value`] if a row cannot be expressed.
pub fn encode<T: Message>(rows: &[T]) -> Result<ArrayRef, MessageError> {
    match T::columns(rows) {
        Some(columns) => {
            let array = StructArray::try_new(fields::<T>()?, columns?, None);
            Ok(Arc::new(array.map_err(|e| MessageError::Value { message: T::TYPE, why: e.to_string() })?))
        }
        None => encode_with_serde(rows),
    }
}

pub(crate) fn encode_with_serde<T: Message>(rows: &[T]) -> Result<ArrayRef, MessageError> {
    let value = |e: serde_arrow::Error| MessageError::Value { message: T::TYPE, why: e.to_string() };
    let mut builder = match BUILDERS.with_borrow_mut(|known| known.remove(&TypeId::of::<T>())) {
        Some(builder) => builder,
        None => ArrayBuilder::from_arrow(&fields::<T>()?.iter().cloned().collect::<Vec<_>>()).map_err(value)?,
    };
    builder.extend(rows).map_err(value)?;
    let batch = builder.to_record_batch().map_err(value)?;
    // Only an emptied builder is kept: after an error it may hold half a row.
    BUILDERS.with_borrow_mut(|known| known.insert(TypeId::of::<T>(), builder));
    Ok(Arc::new(StructArray::from(batch)))
}

thread_local! {
    /// A builder per message type: making one walks all fields, which costs more than a message of eight rows.
    static BUILDERS: RefCell<BTreeMap<TypeId, ArrayBuilder>> = const { RefCell::new(BTreeMap::new()) };
}

/// Reads the rows of a struct array. Columns of another type or missing ones are an error, as are nulls.
///
/// # Errors
/// [`MessageError::Schema`] names the first column that differs.
pub fn decode<T: Message>(array: &ArrayRef) -> Result<Vec<T>, MessageError> {
    let fields = fields::<T>()?;
    let Some(rows) = array.as_struct_opt() else {
        return Err(MessageError::Schema { wanted: T::TYPE, found: format!("an array of {}", array.data_type()) });
    };
    for wanted in fields.iter() {
        let Some(found) = rows.column_by_name(wanted.name()) else {
            return Err(MessageError::Schema { wanted: T::TYPE, found: format!("column `{}` is missing", wanted.name()) });
        };
        if !same_type(found.data_type(), wanted.data_type()) {
            let found = format!("column `{}` is {}, wanted {}", wanted.name(), found.data_type(), wanted.data_type());
            return Err(MessageError::Schema { wanted: T::TYPE, found });
        }
    }
    if rows.null_count() > 0 {
        return Err(MessageError::Schema { wanted: T::TYPE, found: "null rows".to_owned() });
    }
    match T::rows(rows) {
        Some(decoded) => decoded,
        None => rows_with_serde(rows),
    }
}

#[cfg(test)]
pub(crate) fn decode_with_serde<T: Message>(array: &ArrayRef) -> Result<Vec<T>, MessageError> {
    rows_with_serde(array.as_struct())
}

fn rows_with_serde<T: Message>(rows: &StructArray) -> Result<Vec<T>, MessageError> {
    let batch = RecordBatch::from(rows.clone());
    serde_arrow::from_record_batch(&batch).map_err(|e| MessageError::Value { message: T::TYPE, why: e.to_string() })
}

/// Equal but for names of list items and nullability, which other writers choose differently.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(x), DataType::List(y)) => same_type(x.data_type(), y.data_type()),
        (DataType::Struct(x), DataType::Struct(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(p, q)| p.name() == q.name() && same_type(p.data_type(), q.data_type()))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;

    fn round_trip<T: Message + Clone + PartialEq + std::fmt::Debug>(rows: &[T]) {
        let array = encode(rows).unwrap();
        assert_eq!(array.len(), rows.len());
        assert_eq!(*array.data_type(), data_type::<T>().unwrap());
        assert_eq!(decode::<T>(&array).unwrap(), rows);
    }

    #[test]
    fn every_type_survives_a_round_trip() {
        let mut handle = [0; HANDLE_BYTES];
        handle[7] = 9;
        let bbox = BoxXyxy::new(1.0, 2.0, 3.5, 4.0);
        round_trip(&[PacketRow { source: "cam0".into(), data: vec![1, 2, 3], keyframe: true, pts_ns: -5, ..Default::default() }]);
        round_trip(&[CreditRow { source: "cam0".into(), frame: 7, window: 32, ..Default::default() }]);
        round_trip(&[WantedRow { source: "cam0".into(), every_ns: 75_000_000, for_ns: 2_000_000_000, ..WantedRow::default() }]);
        round_trip(&[DecidedRow { source: "cam0".into(), frame: 7, captured_ns: 5, track_id: 3, sure: true, end: false }]);
        round_trip(&[FrameRow { source: "cam0".into(), format: "I420".into(), handle, ..Default::default() }, FrameRow::default()]);
        round_trip(&[PixelsRow { source: "cam0".into(), format: "GRAY8".into(), data: vec![1, 2, 3], ..Default::default() }]);
        round_trip(&[DetectionsRow {
            detections: vec![Detection { kind: 1, class: "plate".into(), confidence: 0.5, bbox_in_source: bbox }],
            ..Default::default()
        }]);
        let track = Track {
            track_id: 3,
            age_frames: 2,
            matched: true,
            vehicle_in_source: None,
            vehicle_confidence: 0.0,
            plate_in_source: Some(bbox),
            plate_confidence: 0.9,
            plate_frames: 2,
        };
        round_trip(&[TracksRow { tracks: vec![track], ended: vec![1, 2], ..Default::default() }]);
        let crop = Crop {
            track_id: 3,
            bbox_in_source: bbox,
            plate_confidence: 0.9,
            legibility: 0.4,
            width: 300,
            height: 80,
            variants: vec!["original".into()],
            evidence: vec![0xff],
            overview: vec![0xff, 0xd8],
            handle,
        };
        round_trip(&[CropsRow { crops: vec![crop], ..Default::default() }, CropsRow::default()]);
        let characters = vec![CharRead { candidates: "O0".into(), probabilities: vec![0.6, 0.4] }];
        let reads = vec![VariantRead { variant: "original".into(), text: "O".into(), confidence: 0.6, characters }];
        round_trip(&[TextsRow {
            texts: vec![CropText {
                track_id: 3,
                bbox_in_source: bbox,
                plate_confidence: 0.9,
                legibility: 0.4,
                reads,
                evidence: vec![],
                overview: vec![7],
            }],
            ..Default::default()
        }]);
        let votes = vec![Vote { text: "AB1".into(), variant: "original".into(), frames: vec![4, 5], weight: 1.5 }];
        round_trip(&[ReadingRow { plate: "AB1".into(), votes, bbox_in_source: bbox, ..Default::default() }]);
    }

    #[test]
    fn an_empty_batch_survives() {
        round_trip::<TextsRow>(&[]);
    }

    #[test]
    fn another_type_is_refused_with_the_column_that_differs() {
        let array = encode(&[CreditRow::default()]).unwrap();
        let error = decode::<FrameRow>(&array).unwrap_err().to_string();
        assert!(error.contains("message is not `frames/v1`: column `pts_ns` is missing"), "{error}");
        let bytes: ArrayRef = Arc::new(arrow_array::UInt8Array::from(vec![1u8]));
        assert!(decode::<FrameRow>(&bytes).is_err());
    }

    #[test]
    fn handles_travel_as_fixed_size_binary() {
        let DataType::Struct(fields) = data_type::<FrameRow>().unwrap() else { panic!("no struct") };
        assert_eq!(*fields.find("handle").unwrap().1.data_type(), DataType::FixedSizeBinary(192));
    }
}
