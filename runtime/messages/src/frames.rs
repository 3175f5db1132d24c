//! `frames/v1` to Arrow and back without serde: every hop of every frame pays for it, and at camera rates it runs from cold caches.

use crate::codec::MessageError;
use crate::columns::Columns;
use crate::{Flat, FrameRow, HANDLE_BYTES, Message};
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray, StructArray};
use std::sync::Arc;

/// The columns in the order of the fields of [`FrameRow`].
pub(crate) fn columns(rows: &[FrameRow]) -> Result<Vec<ArrayRef>, MessageError> {
    fn numbers<T: ArrowPrimitiveType>(rows: &[FrameRow], value: impl Fn(&FrameRow) -> T::Native) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::from_iter_values(rows.iter().map(value)))
    }
    let mut bytes = Vec::with_capacity(rows.len() * HANDLE_BYTES);
    rows.iter().for_each(|row| bytes.extend_from_slice(&row.handle));
    let handles = FixedSizeBinaryArray::try_new(HANDLE_BYTES as i32, bytes.into(), None);
    let handles = handles.map_err(|e| MessageError::Value { message: FrameRow::TYPE, why: e.to_string() })?;
    Ok(vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.source))),
        numbers::<UInt64Type>(rows, |row| row.frame),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.end)))),
        numbers::<Int64Type>(rows, |row| row.pts_ns),
        numbers::<Int64Type>(rows, |row| row.captured_ns),
        numbers::<UInt32Type>(rows, |row| row.width),
        numbers::<UInt32Type>(rows, |row| row.height),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.format))),
        numbers::<UInt32Type>(rows, |row| row.source_width),
        numbers::<UInt32Type>(rows, |row| row.source_height),
        numbers::<Float32Type>(rows, |row| row.scale_x),
        numbers::<Float32Type>(rows, |row| row.scale_y),
        numbers::<Float32Type>(rows, |row| row.offset_x),
        numbers::<Float32Type>(rows, |row| row.offset_y),
        Arc::new(handles),
    ])
}

/// The same values as [`columns`], as bytes.
pub(crate) fn flat(rows: &[FrameRow], out: &mut Flat) -> bool {
    out.texts(rows.iter().map(|row| row.source.as_str()));
    out.fixed(rows.iter().map(|row| row.frame.to_le_bytes()));
    out.bits(rows.iter().map(|row| row.end));
    out.fixed(rows.iter().map(|row| row.pts_ns.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.captured_ns.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.width.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.height.to_le_bytes()));
    out.texts(rows.iter().map(|row| row.format.as_str()));
    out.fixed(rows.iter().map(|row| row.source_width.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.source_height.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.scale_x.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.scale_y.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.offset_x.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.offset_y.to_le_bytes()));
    out.fixed(rows.iter().map(|row| row.handle));
    true
}

/// The rows of an array whose columns have the right names and types.
pub(crate) fn rows(array: &StructArray) -> Result<Vec<FrameRow>, MessageError> {
    let columns = Columns::of::<FrameRow>(array);
    let (source, format) = (columns.texts("source")?, columns.texts("format")?);
    let (end, handle) = (columns.flags("end")?, columns.fixed_bytes("handle")?);
    let (frame, pts_ns, captured_ns) =
        (columns.numbers::<UInt64Type>("frame")?, columns.numbers::<Int64Type>("pts_ns")?, columns.numbers::<Int64Type>("captured_ns")?);
    let (width, height) = (columns.numbers::<UInt32Type>("width")?, columns.numbers::<UInt32Type>("height")?);
    let (source_width, source_height) = (columns.numbers::<UInt32Type>("source_width")?, columns.numbers::<UInt32Type>("source_height")?);
    let (scale_x, scale_y) = (columns.numbers::<Float32Type>("scale_x")?, columns.numbers::<Float32Type>("scale_y")?);
    let (offset_x, offset_y) = (columns.numbers::<Float32Type>("offset_x")?, columns.numbers::<Float32Type>("offset_y")?);
    let row = |i: usize| {
        let bytes = handle.value(i).try_into();
        let handle: [u8; HANDLE_BYTES] =
            bytes.map_err(|_| columns.error(format!("column `handle` has {} bytes", handle.value(i).len())))?;
        Ok(FrameRow {
            source: source.value(i).to_owned(),
            frame: frame.value(i),
            end: end.value(i),
            pts_ns: pts_ns.value(i),
            captured_ns: captured_ns.value(i),
            width: width.value(i),
            height: height.value(i),
            format: format.value(i).to_owned(),
            source_width: source_width.value(i),
            source_height: source_height.value(i),
            scale_x: scale_x.value(i),
            scale_y: scale_y.value(i),
            offset_x: offset_x.value(i),
            offset_y: offset_y.value(i),
            handle,
        })
    };
    (0..array.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, encode};
    use arrow_array::cast::AsArray;

    fn row(n: u64) -> FrameRow {
        let mut handle = [n as u8; HANDLE_BYTES];
        handle[191] = 7;
        let (frame, pts_ns, captured_ns) = (n, -(n as i64), i64::MAX - n as i64);
        FrameRow {
            source: format!("camera länge {n}"),
            frame,
            end: n % 2 == 1,
            pts_ns,
            captured_ns,
            width: 1920 + n as u32,
            height: 1080,
            format: if n == 2 { String::new() } else { "I420".to_owned() },
            source_width: u32::MAX,
            source_height: 3,
            scale_x: 0.5 + n as f32,
            scale_y: f32::MIN_POSITIVE,
            offset_x: -1.5,
            offset_y: f32::INFINITY,
            handle,
        }
    }

    #[test]
    fn the_array_is_the_one_that_serde_makes() {
        for count in [0, 1, 3, 17] {
            let rows: Vec<FrameRow> = (0..count).map(row).collect();
            let ours = encode(&rows).unwrap();
            let serde = crate::codec::encode_with_serde(&rows).unwrap();
            assert_eq!(ours.as_ref(), serde.as_ref());
            assert_eq!(decode::<FrameRow>(&serde).unwrap(), rows);
            assert_eq!(decode::<FrameRow>(&ours.slice(0, rows.len() / 2)).unwrap(), rows[..rows.len() / 2]);
            assert_eq!(crate::codec::decode_with_serde::<FrameRow>(&ours).unwrap(), rows);
        }
        let rows: Vec<FrameRow> = (0..9).map(row).collect();
        assert_eq!(decode::<FrameRow>(&encode(&rows).unwrap().slice(3, 4)).unwrap(), rows[3..7]);
    }

    #[test]
    fn a_null_is_refused_and_its_column_named() {
        let array = encode(&[row(1), row(2)]).unwrap();
        let (fields, mut columns, _) = array.as_struct().clone().into_parts();
        columns[1] = Arc::new(PrimitiveArray::<UInt64Type>::from(vec![Some(1), None]));
        let fields: arrow_schema::Fields = fields.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let array: ArrayRef = Arc::new(StructArray::new(fields, columns, None));
        assert!(decode::<FrameRow>(&array).unwrap_err().to_string().contains("column `frame` has nulls"));
    }
}
