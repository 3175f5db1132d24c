//! The messages that nodes exchange: Arrow struct arrays, one row per frame (or packet, or reading).
//!
//! A message is a batch of rows; in lossless runs one message carries several frames, so that the cost of a hop is
//! shared. Each row type here is a plain struct; [`encode`] and [`decode`] turn a slice of rows into the Arrow array
//! that travels and back. Every row names its camera (`source`), frame number, media time and wall clock.
//!
//! | type | row | sent |
//! |---|---|---|
//! | `packets/v1` | [`PacketRow`] | per encoded access unit |
//! | `credit/v1` | [`CreditRow`] | per handled batch of packets |
//! | `frames/v1` | [`FrameRow`] | per frame: a buffer handle, never pixels |
//! | `pixels/v1` | [`PixelsRow`] | per frame between `pack` and `unpack`: the pixels themselves |
//! | `detections/v1` | [`DetectionsRow`] | per frame, empty boxes when nothing is found |
//! | `tracks/v1` | [`TracksRow`] | per frame |
//! | `crops/v1` | [`CropsRow`] | per frame, empty when the gate lets nothing through |
//! | `texts/v1` | [`TextsRow`] | per frame, empty likewise |
//! | `decided/v1` | [`DecidedRow`] | per track whose text is sure, or no longer: `vote` to `crop` |
//! | `wanted/v1` | [`WantedRow`] | while somebody looks at a camera: `preview` to `crop` |
//! | `readings/v1` | [`ReadingRow`] | per pass of a vehicle |
//! | `visits/v1` | [`VisitRow`] | when a vehicle comes, leaves or is seen |
//!
//! A row with `end == true` closes its source: no frame, `frame` is the number of frames that were sent.

mod boxes;
mod codec;
mod columns;
mod flat;
mod frames;
mod packets;
mod rows;

pub use boxes::BoxXyxy;
pub use codec::{MessageError, data_type, decode, encode};
pub use flat::Flat;
pub use rows::*;

/// Bytes of the opaque buffer handle in `frames/v1` and `crops/v1`; see docs/handles.md.
pub const HANDLE_BYTES: usize = 192;

/// A message type with its version.
pub trait Message: serde::Serialize + serde::de::DeserializeOwned + Send + 'static {
    /// Name and version, e.g. `frames/v1`; also sent as metadata `gantry_type`.
    const TYPE: &'static str;
    /// Camera.
    fn source(&self) -> &str;
    /// Frame number, counted from 0 per camera (packets: their sequence number).
    fn frame(&self) -> u64;
    /// Whether this row closes its source.
    fn is_end(&self) -> bool;
    /// Wall clock of the frame in ns since 1970; files: its media time. `None` for types without.
    fn captured_ns(&self) -> Option<i64>;

    /// The columns, for types that have a shorter way to them than serde; they must equal those that serde makes.
    #[doc(hidden)]
    fn columns(rows: &[Self]) -> Option<Result<Vec<arrow_array::ArrayRef>, MessageError>> {
        let _ = rows;
        None
    }

    /// Writes the values of all columns as bytes, for types that can; they must equal the buffers of [`Message::columns`].
    #[doc(hidden)]
    fn flat(rows: &[Self], out: &mut Flat) -> bool {
        let _ = (rows, out);
        false
    }

    /// The way back of [`Message::columns`]; names and types of the columns are checked already.
    #[doc(hidden)]
    fn rows(array: &arrow_array::StructArray) -> Option<Result<Vec<Self>, MessageError>> {
        let _ = array;
        None
    }
}
