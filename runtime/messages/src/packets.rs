//! `packets/v1` to Arrow and back without serde: a recorder does both for every packet of every camera, and at camera rates from cold caches.

use crate::codec::MessageError;
use crate::columns::Columns;
use crate::{Flat, Message, PacketRow};
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray, StructArray};
use std::sync::Arc;

/// The columns in the order of the fields of [`PacketRow`].
pub(crate) fn columns(rows: &[PacketRow]) -> Result<Vec<ArrayRef>, MessageError> {
    fn numbers<T: ArrowPrimitiveType>(rows: &[PacketRow], value: impl Fn(&PacketRow) -> T::Native) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::from_iter_values(rows.iter().map(value)))
    }
    let flags = |value: fn(&PacketRow) -> bool| -> ArrayRef { Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(value(row))))) };
    let texts = |value: fn(&PacketRow) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(value))) };
    let bytes = |value: fn(&PacketRow) -> &[u8]| -> ArrayRef { Arc::new(BinaryArray::from_iter_values(rows.iter().map(value))) };
    // Offsets of an Arrow binary column have 32 bits.
    if rows.iter().map(|row| row.data.len().max(row.extradata.len())).sum::<usize>() > i32::MAX as usize {
        return Err(MessageError::Value { message: PacketRow::TYPE, why: "more than 2 GiB in one message".to_owned() });
    }
    Ok(vec![
        texts(|row| &row.source),
        numbers::<UInt64Type>(rows, |row| row.frame),
        flags(|row| row.end),
        numbers::<Int64Type>(rows, |row| row.pts_ns),
        numbers::<Int64Type>(rows, |row| row.dts_ns),
        numbers::<Int64Type>(rows, |row| row.captured_ns),
        flags(|row| row.keyframe),
        flags(|row| row.discontinuity),
        flags(|row| row.discard),
        texts(|row| &row.codec),
        numbers::<UInt32Type>(rows, |row| row.width),
        numbers::<UInt32Type>(rows, |row| row.height),
        numbers::<UInt32Type>(rows, |row| row.rotation_deg),
        numbers::<Float64Type>(rows, |row| row.fps),
        bytes(|row| &row.extradata),
        bytes(|row| &row.data),
    ])
}

/// Packets differ in length, so that no two messages are alike: they have no short form.
pub(crate) fn flat(_rows: &[PacketRow], _out: &mut Flat) -> bool {
    false
}

/// The rows of an array whose columns have the right names and types.
pub(crate) fn rows(array: &StructArray) -> Result<Vec<PacketRow>, MessageError> {
    let columns = Columns::of::<PacketRow>(array);
    let (source, codec) = (columns.texts("source")?, columns.texts("codec")?);
    let (end, keyframe) = (columns.flags("end")?, columns.flags("keyframe")?);
    let (discontinuity, discard) = (columns.flags("discontinuity")?, columns.flags("discard")?);
    let (frame, fps) = (columns.numbers::<UInt64Type>("frame")?, columns.numbers::<Float64Type>("fps")?);
    let (pts_ns, dts_ns) = (columns.numbers::<Int64Type>("pts_ns")?, columns.numbers::<Int64Type>("dts_ns")?);
    let captured_ns = columns.numbers::<Int64Type>("captured_ns")?;
    let (width, height) = (columns.numbers::<UInt32Type>("width")?, columns.numbers::<UInt32Type>("height")?);
    let rotation_deg = columns.numbers::<UInt32Type>("rotation_deg")?;
    let (extradata, data) = (columns.bytes("extradata")?, columns.bytes("data")?);
    let row = |i: usize| PacketRow {
        source: source.value(i).to_owned(),
        frame: frame.value(i),
        end: end.value(i),
        pts_ns: pts_ns.value(i),
        dts_ns: dts_ns.value(i),
        captured_ns: captured_ns.value(i),
        keyframe: keyframe.value(i),
        discontinuity: discontinuity.value(i),
        discard: discard.value(i),
        codec: codec.value(i).to_owned(),
        width: width.value(i),
        height: height.value(i),
        rotation_deg: rotation_deg.value(i),
        fps: fps.value(i),
        extradata: extradata.value(i).to_vec(),
        data: data.value(i).to_vec(),
    };
    Ok((0..array.len()).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode_with_serde, encode_with_serde};
    use crate::{decode, encode};
    use arrow_array::cast::AsArray;

    fn row(n: u64) -> PacketRow {
        PacketRow {
            source: format!("camera länge {n}"),
            frame: n,
            end: n % 5 == 4,
            pts_ns: if n == 3 { i64::MIN } else { -(n as i64) },
            dts_ns: n as i64,
            captured_ns: i64::MAX - n as i64,
            keyframe: n.is_multiple_of(2),
            discontinuity: n % 3 == 1,
            discard: n % 4 == 3,
            codec: if n.is_multiple_of(2) { "h264".to_owned() } else { String::new() },
            width: 1920 + n as u32,
            height: u32::MAX,
            rotation_deg: 90,
            fps: 29.97 * n as f64,
            extradata: vec![n as u8; n as usize % 7],
            data: (0..n * 37).map(|i| i as u8).collect(),
        }
    }

    #[test]
    fn the_array_is_the_one_that_serde_makes() {
        for count in [0, 1, 3, 17] {
            let rows: Vec<PacketRow> = (0..count).map(row).collect();
            let ours = encode(&rows).unwrap();
            let serde = encode_with_serde(&rows).unwrap();
            assert_eq!(ours.as_ref(), serde.as_ref());
            assert_eq!(decode::<PacketRow>(&serde).unwrap(), rows);
            assert_eq!(decode_with_serde::<PacketRow>(&ours).unwrap(), rows);
        }
        let rows: Vec<PacketRow> = (0..9).map(row).collect();
        assert_eq!(decode::<PacketRow>(&encode(&rows).unwrap().slice(3, 4)).unwrap(), rows[3..7]);
    }

    #[test]
    fn a_null_is_refused_and_its_column_named() {
        let array = encode(&[row(1), row(2)]).unwrap();
        let (fields, mut columns, _) = array.as_struct().clone().into_parts();
        columns[15] = Arc::new(BinaryArray::from(vec![Some(&b"x"[..]), None]));
        let fields: arrow_schema::Fields = fields.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let array: ArrayRef = Arc::new(StructArray::new(fields, columns, None));
        assert!(decode::<PacketRow>(&array).unwrap_err().to_string().contains("column `data` has nulls"));
    }
}
