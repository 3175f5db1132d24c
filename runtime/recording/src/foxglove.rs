//! `foxglove.CompressedVideo` in protobuf, with the descriptor that MCAP stores as its schema.
//!
//! Two messages with four fields do not carry a protobuf library (`prost` would have dora compiled anew, for features of `syn` that it asks
//! for). Field numbers: <https://github.com/foxglove/foxglove-sdk/blob/main/schemas/proto/foxglove/CompressedVideo.proto> and
//! `google/protobuf/descriptor.proto`.

/// Name of the schema.
pub(crate) const COMPRESSED_VIDEO: &str = "foxglove.CompressedVideo";

/// Types of fields in a descriptor.
const INT64: u64 = 3;
const INT32: u64 = 5;
const STRING: u64 = 9;
const MESSAGE: u64 = 11;
const BYTES: u64 = 12;

/// Fields of a protobuf message, one after the other.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn number(self, field: u64, value: u64) -> Self {
        self.varint(field << 3).varint(value)
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut with_length = self.varint(field << 3 | 2).varint(value.len() as u64);
        with_length.0.extend_from_slice(value);
        with_length
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }
}

/// One frame. `captured_ns` since 1970, or media time.
pub(crate) fn compressed_video(captured_ns: i64, camera: &str, format: &str, data: &[u8]) -> Vec<u8> {
    // Negative numbers travel as their two's complement in 64 bits.
    let (seconds, nanos) = (captured_ns.div_euclid(1_000_000_000), captured_ns.rem_euclid(1_000_000_000));
    let timestamp = Fields::default().number(1, seconds as u64).number(2, nanos as u64);
    Fields::default().message(1, &timestamp).text(2, camera).bytes(3, data).text(4, format).0
}

/// The `FileDescriptorSet` of the message and of what it uses.
pub(crate) fn descriptor() -> Vec<u8> {
    let optional = 1;
    let field = |name, number, kind| Fields::default().text(1, name).number(3, number).number(4, optional).number(5, kind);
    let message = |name, fields: &[Fields]| fields.iter().fold(Fields::default().text(1, name), |m, f| m.message(2, f));
    let file = |name, package| Fields::default().text(1, name).text(2, package);
    let timestamp = message("Timestamp", &[field("seconds", 1, INT64), field("nanos", 2, INT32)]);
    let video = message(
        "CompressedVideo",
        &[
            field("timestamp", 1, MESSAGE).text(6, ".google.protobuf.Timestamp"),
            field("frame_id", 2, STRING),
            field("data", 3, BYTES),
            field("format", 4, STRING),
        ],
    );
    let uses = "google/protobuf/timestamp.proto";
    let timestamp = file(uses, "google.protobuf").message(4, &timestamp).text(12, "proto3");
    let video = file("foxglove/CompressedVideo.proto", "foxglove").text(3, uses).message(4, &video).text(12, "proto3");
    Fields::default().message(1, &timestamp).message(1, &video).0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked with Google's protobuf for Python: `CompressedVideo(timestamp=Timestamp(seconds=300, nanos=5), frame_id="g", data=b"\1\2", format="h264")`.
    #[test]
    fn a_frame_is_what_googles_library_makes_of_it() {
        let wanted = [10, 5, 8, 0xac, 2, 16, 5, 18, 1, b'g', 26, 2, 1, 2, 34, 4, b'h', b'2', b'6', b'4'];
        assert_eq!(compressed_video(300_000_000_005, "g", "h264", &[1, 2]), wanted);
    }
}
