//! One struct per message type. Field names are the Arrow column names.

use crate::{BoxXyxy, HANDLE_BYTES, Message};
use serde::{Deserialize, Serialize};

macro_rules! message {
    ($row:ty, $name:literal, $captured:expr $(, $short:ident)?) => {
        impl Message for $row {
            const TYPE: &'static str = $name;
            fn source(&self) -> &str {
                &self.source
            }
            fn frame(&self) -> u64 {
                self.frame
            }
            fn is_end(&self) -> bool {
                self.end
            }
            fn captured_ns(&self) -> Option<i64> {
                let captured: fn(&Self) -> Option<i64> = $captured;
                captured(self)
            }
            $(fn columns(rows: &[Self]) -> Option<Result<Vec<arrow_array::ArrayRef>, crate::MessageError>> {
                Some(crate::$short::columns(rows))
            }
            fn rows(array: &arrow_array::StructArray) -> Option<Result<Vec<Self>, crate::MessageError>> {
                Some(crate::$short::rows(array))
            }
            fn flat(rows: &[Self], out: &mut crate::Flat) -> bool {
                crate::$short::flat(rows, out)
            })?
        }
    };
}

message!(PacketRow, "packets/v1", |row| Some(row.captured_ns), packets);
message!(CreditRow, "credit/v1", |_| None);
message!(FrameRow, "frames/v1", |row| Some(row.captured_ns), frames);
message!(PixelsRow, "pixels/v1", |row| Some(row.captured_ns));
message!(DetectionsRow, "detections/v1", |row| Some(row.captured_ns));
message!(TracksRow, "tracks/v1", |row| Some(row.captured_ns));
message!(CropsRow, "crops/v1", |row| Some(row.captured_ns));
message!(TextsRow, "texts/v1", |row| Some(row.captured_ns));
message!(DecidedRow, "decided/v1", |row| Some(row.captured_ns));
message!(WantedRow, "wanted/v1", |_| None);
message!(ReadingRow, "readings/v1", |row| Some(row.captured_ns));
message!(VisitRow, "visits/v1", |row| Some(row.captured_ns));

/// One encoded access unit, in decode order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketRow {
    /// Camera.
    pub source: String,
    /// Sequence number of the packet, from 0, without holes.
    pub frame: u64,
    /// Closes the source.
    pub end: bool,
    /// Presentation time in ns of media time; `i64::MIN` if the container names none.
    pub pts_ns: i64,
    /// Decode time in ns; `i64::MIN` if the container names none.
    pub dts_ns: i64,
    /// Wall clock (ns since 1970, UTC) when the packet arrived; for files the file's media time from 0.
    pub captured_ns: i64,
    /// Key frame: decoding can start here.
    pub keyframe: bool,
    /// Packets before this one are missing (reconnect, damaged file).
    pub discontinuity: bool,
    /// To be decoded but not shown: before the start that was asked for.
    pub discard: bool,
    /// FFmpeg's codec name (`h264`); empty where nothing changed since the last row that had it.
    pub codec: String,
    /// Coded width in px, with `codec`.
    pub width: u32,
    /// Coded height in px, with `codec`.
    pub height: u32,
    /// Clockwise rotation for display in degrees (0, 90, 180, 270), with `codec`.
    pub rotation_deg: u32,
    /// Nominal frame rate, 0 if unknown, with `codec`.
    pub fps: f64,
    /// Codec configuration (FFmpeg `extradata`), with `codec`.
    #[serde(with = "serde_bytes")]
    pub extradata: Vec<u8>,
    /// The access unit as the container has it.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// Permission to send: `decode` has taken all packets before `frame` and has room up to `window` more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CreditRow {
    /// Camera.
    pub source: String,
    /// The next packet number that is expected; everything before it is acknowledged.
    pub frame: u64,
    /// Packets that may be unacknowledged at once.
    pub window: u32,
    /// The receiver has finished with this source: nothing more is to be sent.
    pub end: bool,
    /// Ask for everything from `frame` on again (a hole was seen).
    pub resend: bool,
}

/// One picture: a handle of a buffer, see docs/handles.md.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameRow {
    /// Camera.
    pub source: String,
    /// Frame number from 0, in display order.
    pub frame: u64,
    /// Closes the source; `handle` is all zero.
    pub end: bool,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock (ns since 1970, UTC); for files the media time.
    pub captured_ns: i64,
    /// Width in px of this picture.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// Pixel format or tensor: `I420`, `NV12`, `RGB8`, `GRAY`, `TNSR`.
    pub format: String,
    /// Width in px of the picture that the camera sent.
    pub source_width: u32,
    /// Height in px of the picture that the camera sent.
    pub source_height: u32,
    /// `source_from_image`: x in the source = x here * `scale_x` + `offset_x`.
    pub scale_x: f32,
    /// See `scale_x`.
    pub scale_y: f32,
    /// See `scale_x`.
    pub offset_x: f32,
    /// See `scale_x`.
    pub offset_y: f32,
    /// The buffer handle.
    #[serde(with = "handle_bytes")]
    pub handle: [u8; HANDLE_BYTES],
}

impl Default for FrameRow {
    fn default() -> Self {
        Self {
            source: String::new(),
            frame: 0,
            end: false,
            pts_ns: 0,
            captured_ns: 0,
            width: 0,
            height: 0,
            format: String::new(),
            source_width: 0,
            source_height: 0,
            scale_x: 1.0,
            scale_y: 1.0,
            offset_x: 0.0,
            offset_y: 0.0,
            handle: [0; HANDLE_BYTES],
        }
    }
}

/// One picture with its pixels, for edges that leave the machine and for readers that know no handles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PixelsRow {
    /// Camera.
    pub source: String,
    /// Frame number from 0, in display order.
    pub frame: u64,
    /// Closes the source; there is no picture.
    pub end: bool,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock (ns since 1970, UTC); for files the media time.
    pub captured_ns: i64,
    /// Width in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// `I420`, `NV12`, `RGB8`, `BGR8` or `GRAY8`.
    pub format: String,
    /// `bt601`, `bt709`, `bt2020`, or `rgb` where the samples are no Y, U, V.
    pub matrix: String,
    /// `limited` (16 to 235) or `full`.
    pub range: String,
    /// Width in px of the picture that the camera sent.
    pub source_width: u32,
    /// Height in px of the picture that the camera sent.
    pub source_height: u32,
    /// `source_from_image`: x in the source = x here * `scale_x` + `offset_x`.
    pub scale_x: f32,
    /// See `scale_x`.
    pub scale_y: f32,
    /// See `scale_x`.
    pub offset_x: f32,
    /// See `scale_x`.
    pub offset_y: f32,
    /// Plane after plane, row after row, without padding. I420: Y, then U and V of half the size, rounded up. 1920x1080: 3,110,400 bytes.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// What a detection is, whatever the model calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A vehicle.
    Vehicle = 0,
    /// A licence plate.
    Plate = 1,
}

/// One detected object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// 0 vehicle, 1 plate: [`Kind`].
    pub kind: u8,
    /// The model's name of the class (`car`, `plate`).
    pub class: String,
    /// Score in `0.0..=1.0`.
    pub confidence: f32,
    /// Box in source pixels.
    pub bbox_in_source: BoxXyxy,
}

/// The detections of one frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DetectionsRow {
    /// Camera.
    pub source: String,
    /// Frame number.
    pub frame: u64,
    /// Closes the source.
    pub end: bool,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock in ns.
    pub captured_ns: i64,
    /// Width of the source picture in px.
    pub source_width: u32,
    /// Height of the source picture in px.
    pub source_height: u32,
    /// Highest score first.
    pub detections: Vec<Detection>,
}

/// The state of one track in one frame. A track is one pass of one vehicle; its plate is tied to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Unique per camera and run, from 1.
    pub track_id: u64,
    /// Frames in which this track's plate or vehicle was matched, this one included.
    pub age_frames: u32,
    /// Whether it was seen in this frame (else the boxes are predictions).
    pub matched: bool,
    /// Box of the vehicle in source pixels, if one is tied.
    pub vehicle_in_source: Option<BoxXyxy>,
    /// Score of the vehicle, 0 if none.
    pub vehicle_confidence: f32,
    /// Box of the plate in source pixels, if it was seen in this frame.
    pub plate_in_source: Option<BoxXyxy>,
    /// Score of the plate, 0 if none.
    pub plate_confidence: f32,
    /// Frames in which the plate was seen, this one included.
    pub plate_frames: u32,
}

/// The tracks of one frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TracksRow {
    /// Camera.
    pub source: String,
    /// Frame number.
    pub frame: u64,
    /// Closes the source; all tracks are over.
    pub end: bool,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock in ns.
    pub captured_ns: i64,
    /// Width of the source picture in px.
    pub source_width: u32,
    /// Height of the source picture in px.
    pub source_height: u32,
    /// Living tracks, by `track_id`.
    pub tracks: Vec<Track>,
    /// Tracks that ended with this frame, by id.
    pub ended: Vec<u64>,
}

/// One plate cut from a full-size frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crop {
    /// Track it belongs to.
    pub track_id: u64,
    /// Box of the plate in source pixels, before the margin.
    pub bbox_in_source: BoxXyxy,
    /// Score of the plate.
    pub plate_confidence: f32,
    /// How legible it looks, `0.0..=1.0`: sharpness and contrast.
    pub legibility: f32,
    /// Width in px of the crop in the buffer.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// Names of the pictures in the buffer, top to bottom: one (`original`), or with `enhance` the variants after it.
    /// One name: an image (`RGB8` or `GRAY`). Several: a u8 tensor `[V, H, W]`, grey.
    pub variants: Vec<String>,
    /// JPEG of the crop in colour, only where it is the track's most legible so far.
    #[serde(with = "serde_bytes")]
    pub evidence: Vec<u8>,
    /// JPEG of the whole frame, scaled down, beside `evidence` where `crop` was told to make one.
    #[serde(with = "serde_bytes")]
    pub overview: Vec<u8>,
    /// The buffer handle.
    #[serde(with = "handle_bytes")]
    pub handle: [u8; HANDLE_BYTES],
}

/// The crops of one frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CropsRow {
    /// Camera.
    pub source: String,
    /// Frame number.
    pub frame: u64,
    /// Closes the source.
    pub end: bool,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock in ns.
    pub captured_ns: i64,
    /// By `track_id`.
    pub crops: Vec<Crop>,
}

/// One character position of a read: the candidates, most likely first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CharRead {
    /// Candidate characters, most likely first.
    pub candidates: String,
    /// Their probabilities, same order.
    pub probabilities: Vec<f32>,
}

/// What the reader saw in one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantRead {
    /// `original`, or the operator that made the picture.
    pub variant: String,
    /// Most likely text.
    pub text: String,
    /// Product-like confidence of the whole text, `0.0..=1.0` (geometric mean of its characters).
    pub confidence: f32,
    /// One entry per character of `text`.
    pub characters: Vec<CharRead>,
}

/// All reads of one crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CropText {
    /// Track it belongs to.
    pub track_id: u64,
    /// Box of the plate in source pixels.
    pub bbox_in_source: BoxXyxy,
    /// Score of the plate.
    pub plate_confidence: f32,
    /// Legibility of the crop.
    pub legibility: f32,
    /// One read per variant, `original` first.
    pub reads: Vec<VariantRead>,
    /// JPEG, as in [`Crop::evidence`].
    #[serde(with = "serde_bytes")]
    pub evidence: Vec<u8>,
    /// JPEG, as in [`Crop::overview`].
    #[serde(with = "serde_bytes")]
    pub overview: Vec<u8>,
}

/// The texts of one frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextsRow {
    /// Camera.
    pub source: String,
    /// Frame number.
    pub frame: u64,
    /// Closes the source.
    pub end: bool,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock in ns.
    pub captured_ns: i64,
    /// By `track_id`.
    pub texts: Vec<CropText>,
}

/// Votes for one text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// The text as read.
    pub text: String,
    /// Which variant read it.
    pub variant: String,
    /// Frame numbers in which that variant read it.
    pub frames: Vec<u64>,
    /// Sum of its weights.
    pub weight: f32,
}

/// The plate of one pass of one vehicle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadingRow {
    /// Camera.
    pub source: String,
    /// Last frame that took part.
    pub frame: u64,
    /// Closes the source; no reading.
    pub end: bool,
    /// Track.
    pub track_id: u64,
    /// The plate, `A-Z0-9`.
    pub plate: String,
    /// `0.0..=1.0`; rises with the agreement of independent reads.
    pub confidence: f32,
    /// First frame of the track.
    pub first_frame: u64,
    /// Media time in ns of the first frame of the track.
    pub first_pts_ns: i64,
    /// Media time in ns of its last frame so far.
    pub last_pts_ns: i64,
    /// Wall clock in ns of the frame of the evidence; files: media time.
    pub captured_ns: i64,
    /// Name of the plate syntax that fits, empty if none does.
    pub syntax: String,
    /// Frames that were read.
    pub frames_read: u32,
    /// Reads (frames times variants) that took part.
    pub reads: u32,
    /// What was voted for, heaviest first.
    pub votes: Vec<Vote>,
    /// Frame of the evidence.
    pub evidence_frame: u64,
    /// Plate box in source pixels in the frame of the evidence.
    pub bbox_in_source: BoxXyxy,
    /// JPEG of the most legible crop.
    #[serde(with = "serde_bytes")]
    pub evidence: Vec<u8>,
    /// JPEG of the whole frame of the evidence, scaled down; empty where none was made.
    #[serde(with = "serde_bytes")]
    pub overview: Vec<u8>,
}

/// A track whose plate has been read so often and so surely that more reads would hardly change its text; or, later, that another text appeared in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecidedRow {
    /// Camera.
    pub source: String,
    /// Frame whose read said so.
    pub frame: u64,
    /// Closes the source; no track.
    pub end: bool,
    /// Wall clock of that frame in ns since 1970; files: media time.
    pub captured_ns: i64,
    /// The track.
    pub track_id: u64,
    /// Whether its text is sure.
    pub sure: bool,
}

/// Somebody looks at a camera: its frames are asked for, for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WantedRow {
    /// Camera; empty for all.
    pub source: String,
    /// 0.
    pub frame: u64,
    /// Nothing is wanted any more.
    pub end: bool,
    /// Least time between two frames in ns.
    pub every_ns: u64,
    /// How long this holds in ns, if it is not said again.
    pub for_ns: u64,
}

/// Something that a vehicle did on the site: it came, it left, it was seen. Made of readings, and of tracks where lines are drawn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VisitRow {
    /// Camera that saw it.
    pub source: String,
    /// Frame of the evidence of the reading behind it.
    pub frame: u64,
    /// Closes the source; no event.
    pub end: bool,
    /// The visit it belongs to: the same for the coming and the leaving of one vehicle, unique on the site.
    pub visit: String,
    /// `entered`, `left`, `seen` or `expired`.
    pub event: String,
    /// When it happened: wall clock in ns since 1970; files: media time.
    pub captured_ns: i64,
    /// When the visit began, in ns likewise; -1 if nobody saw it.
    pub entered_ns: i64,
    /// Camera that saw it begin, empty if none did.
    pub entered_by: String,
    /// The plate as it was read for this event; with `left` after an uncertain match it may differ from that of `entered`.
    pub plate: String,
    /// Confidence of that reading.
    pub confidence: f32,
    /// List that the plate is on: `allow`, `deny` or empty.
    pub list: String,
    /// Plate on that list, empty if on none.
    pub list_plate: String,
    /// How much the plate read differs from it: 0 equal, 0.25 for each pair that is easily confused (O and 0).
    pub list_distance: f32,
    /// Zone in which the plate was, empty if in none.
    pub zone: String,
    /// Line that the vehicle crossed, empty if none.
    pub line: String,
    /// `in` or `out` over that line, else empty.
    pub direction: String,
    /// Track of the reading.
    pub track_id: u64,
    /// First frame of that track.
    pub first_frame: u64,
    /// Plate box in source pixels in the frame of the evidence.
    pub bbox_in_source: BoxXyxy,
}

mod handle_bytes {
    use crate::HANDLE_BYTES;
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8; HANDLE_BYTES], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; HANDLE_BYTES], D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(d)?;
        // serde_arrow finds out the schema by reading a value of no bytes; a real column has a fixed size.
        if bytes.is_empty() {
            return Ok([0; HANDLE_BYTES]);
        }
        <[u8; HANDLE_BYTES]>::try_from(bytes.as_slice())
            .map_err(|_| D::Error::custom(format!("handle has {} bytes, wanted {HANDLE_BYTES}", bytes.len())))
    }
}
