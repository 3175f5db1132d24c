//! What the far end gets: one JSON object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_messages::{ReadingRow, VisitRow};
use gantry_records::{Record, VisitRecord};
use gantry_spool::{Entry, MAX_ENTRY_BYTES};
use serde::Serialize;
use serde_json::Value;

/// Bytes of a body at most: what an entry may have, less its key and names.
const ROOM: usize = MAX_ENTRY_BYTES - (16 << 10);

/// The key of a reading, the same however often it is sent: run, camera, track and first frame. `run`: id of the dataflow, which is
/// a new one at each start of the graph and the same after the restart of a node. Printable ASCII without spaces.
#[must_use]
pub fn key_of_reading(run: &str, row: &ReadingRow) -> String {
    format!("{}/{}/{}/{}", plain(run), plain(&row.source), row.track_id, row.first_frame)
}

/// Letters, digits and `-._`; the rest as `%XX`.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A reading: `type`, `key` and the fields of `readings.jsonl`. `evidence`: with the JPEG of the crop as Base64, where there is room; where
/// there is none for the numbers of the frames that voted (some 100,000), they are left out, too.
///
/// # Errors
/// None that is known; what serde says.
pub fn reading_entry(run: &str, row: &ReadingRow, evidence: bool) -> serde_json::Result<Entry> {
    let key = key_of_reading(run, row);
    let mut object = object("reading", &key, &Record::of(row, None))?;
    if let Some(fields) = object.as_object_mut() {
        // The name of a file on this machine says nothing elsewhere.
        fields.shift_remove("evidence");
        if evidence && !row.evidence.is_empty() {
            fields.insert("evidence_jpeg_base64".to_owned(), STANDARD.encode(&row.evidence).into());
        }
        if serde_json::to_vec(fields)?.len() > ROOM {
            fields.shift_remove("evidence_jpeg_base64");
        }
        // A car that was parked before the camera for hours has been read in very many frames.
        if serde_json::to_vec(fields)?.len() > ROOM
            && let Some(votes) = fields.get_mut("votes").and_then(Value::as_array_mut)
        {
            votes.iter_mut().filter_map(Value::as_object_mut).for_each(|vote| drop(vote.shift_remove("frames")));
        }
    }
    Ok(Entry { key, kind: "reading".to_owned(), camera: row.source.clone(), body: serde_json::to_vec(&object)? })
}

/// An event of a visit: `type`, `key` and the fields of the visit.
///
/// # Errors
/// None that is known; what serde says.
pub fn visit_entry(row: &VisitRow) -> serde_json::Result<Entry> {
    let key = format!("visit/{}/{}/{}", plain(&row.visit), plain(&row.event), plain(&row.source));
    let object = object("visit", &key, &VisitRecord::of(row))?;
    Ok(Entry { key, kind: "visit".to_owned(), camera: row.source.clone(), body: serde_json::to_vec(&object)? })
}

fn object(kind: &str, key: &str, record: &impl Serialize) -> serde_json::Result<Value> {
    let mut fields = serde_json::Map::new();
    fields.insert("type".to_owned(), kind.into());
    fields.insert("key".to_owned(), key.into());
    if let Value::Object(record) = serde_json::to_value(record)? {
        fields.extend(record);
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ReadingRow {
        ReadingRow { source: "gate 1".into(), track_id: 7, first_frame: 120, plate: "AB123CD".into(), ..ReadingRow::default() }
    }

    #[test]
    fn a_reading_has_its_key_and_no_path_of_this_machine() {
        let entry = reading_entry("run-1", &row(), false).unwrap();
        assert_eq!((entry.key.as_str(), entry.kind.as_str(), entry.camera.as_str()), ("run-1/gate%201/7/120", "reading", "gate 1"));
        let value: Value = serde_json::from_slice(&entry.body).unwrap();
        assert_eq!((&value["type"], &value["key"], &value["plate"]), (&"reading".into(), &entry.key.into(), &"AB123CD".into()));
        assert!(value.get("evidence").is_none() && value.get("evidence_jpeg_base64").is_none());
    }

    #[test]
    fn the_picture_goes_along_where_it_is_asked_for_and_fits() {
        let with = |bytes| {
            let entry = reading_entry("r", &ReadingRow { evidence: vec![0xff; bytes], ..row() }, true).unwrap();
            serde_json::from_slice::<Value>(&entry.body).unwrap()["evidence_jpeg_base64"].clone()
        };
        assert_eq!(with(3), "////");
        assert_eq!(with(900_000), Value::Null);
    }

    #[test]
    fn a_reading_of_very_many_frames_fits_all_the_same() {
        let vote = |n: usize| gantry_messages::Vote {
            text: format!("AB{n}"),
            variant: "clahe".into(),
            frames: vec![1_732_690_000_123; 20_000],
            weight: 1.0,
        };
        let entry = reading_entry("r", &ReadingRow { votes: (0..24).map(vote).collect(), ..row() }, false).unwrap();
        let votes = serde_json::from_slice::<Value>(&entry.body).unwrap()["votes"].clone();
        assert!(entry.body.len() < ROOM && votes[23]["text"] == "AB23" && votes[0].get("frames").is_none());
    }

    #[test]
    fn an_event_is_one_of_its_visit() {
        let entry =
            visit_entry(&VisitRow { visit: "in/7/1".into(), event: "left".into(), source: "out".into(), ..VisitRow::default() }).unwrap();
        assert_eq!((entry.key.as_str(), entry.kind.as_str()), ("visit/in%2F7%2F1/left/out", "visit"));
    }
}
