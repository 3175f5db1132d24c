//! Packets in the form that Foxglove plays.

use gantry_media::StartCodes;
use gantry_messages::PacketRow;
use gantry_recording::Video;
use std::collections::BTreeMap;
use tracing::warn;

/// Converters by camera.
#[derive(Debug, Default)]
pub(crate) struct Videos {
    cameras: BTreeMap<String, Camera>,
}

#[derive(Debug)]
struct Camera {
    extradata: Vec<u8>,
    format: Option<&'static str>,
    start_codes: Option<StartCodes>,
}

/// A converted packet.
pub(crate) struct Picture {
    format: &'static str,
    data: Vec<u8>,
}

impl Picture {
    pub fn as_video(&self) -> Video<'_> {
        Video { format: self.format, data: &self.data }
    }
}

impl Videos {
    /// The packet for Foxglove; none for codecs that it does not play and for packets that cannot be converted.
    pub fn convert(&mut self, row: &PacketRow) -> Option<Picture> {
        if row.end {
            return None;
        }
        if !row.codec.is_empty() && self.cameras.get(&row.source).is_none_or(|c| c.extradata != row.extradata) {
            self.cameras.insert(row.source.clone(), Camera::new(row));
        }
        let camera = self.cameras.get_mut(&row.source)?;
        let data = match &mut camera.start_codes {
            // A damaged packet stays in the recording as it is; only its copy is left out.
            Some(converter) => converter.convert(&row.data, row.keyframe).ok()?,
            None => row.data.clone(),
        };
        Some(Picture { format: camera.format?, data })
    }
}

impl Camera {
    fn new(row: &PacketRow) -> Self {
        let format = match row.codec.as_str() {
            "h264" => Some("h264"),
            "hevc" => Some("h265"),
            "vp9" => Some("vp9"),
            "av1" => Some("av1"),
            _ => None,
        };
        let start_codes = StartCodes::open(&row.codec, &row.extradata);
        if let Err(error) = &start_codes {
            warn!(camera = row.source, %error, "no video for Foxglove; the packets themselves are recorded");
        }
        let format = if start_codes.is_ok() { format } else { None };
        Self { extradata: row.extradata.clone(), format, start_codes: start_codes.ok().flatten() }
    }
}
