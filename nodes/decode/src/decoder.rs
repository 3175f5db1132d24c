//! A camera's decoder: in software straight into slots of the host, or NVDEC with one copy on the card into a slot there.

use gantry_frames::{Filled, Loaned};
use gantry_media::{
    AllocateError, DecodeStats, DecoderOptions, FrameAllocator, MediaError, NvdecDecoder, NvdecDevice, Path, PoolAllocator,
    SoftwareDecoder, StreamInfo, VideoPacket,
};
use std::sync::Arc;

/// One of the two.
pub enum Decoder {
    /// FFmpeg's own decoders on the CPU.
    Software(Box<SoftwareDecoder<PoolAllocator>>),
    /// NVIDIA's decoder.
    Nvdec(Box<OnCard>),
}

/// NVDEC and where its pictures go.
pub struct OnCard {
    decoder: NvdecDecoder,
    device: Arc<NvdecDevice>,
    slots: Arc<PoolAllocator>,
}

/// A picture in its slot.
pub struct Done {
    /// The slot.
    pub filled: Filled,
    /// How the picture came there.
    pub path: Path,
    /// Presentation time in ns, if the packet had one.
    pub pts_ns: Option<i64>,
}

impl Decoder {
    /// A decoder on the CPU.
    ///
    /// # Errors
    /// As [`SoftwareDecoder::open`].
    pub fn software(info: &StreamInfo, options: DecoderOptions, slots: &Arc<PoolAllocator>) -> Result<Self, MediaError> {
        Ok(Self::Software(Box::new(SoftwareDecoder::open(info, options, Arc::clone(slots))?)))
    }

    /// A decoder on the card, whose pictures go to slots of a pool there.
    ///
    /// # Errors
    /// As [`NvdecDecoder::open`].
    pub fn nvdec(
        info: &StreamInfo,
        options: DecoderOptions,
        device: &Arc<NvdecDevice>,
        slots: &Arc<PoolAllocator>,
    ) -> Result<Self, MediaError> {
        let decoder = NvdecDecoder::open(info, options, device)?;
        Ok(Self::Nvdec(Box::new(OnCard { decoder, device: Arc::clone(device), slots: Arc::clone(slots) })))
    }

    /// Its name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Software(_) => "software",
            Self::Nvdec(_) => "nvdec",
        }
    }

    /// Whether it is NVDEC.
    pub fn is_on_card(&self) -> bool {
        matches!(self, Self::Nvdec(_))
    }

    /// Bytes that a slot needs for a picture of that size in px.
    pub fn slot_bytes(&self, width: u32, height: u32) -> u64 {
        match self {
            Self::Software(decoder) => decoder.slot_bytes(width, height),
            Self::Nvdec(_) => NvdecDecoder::slot_bytes(width, height),
        }
    }

    /// Slots that it keeps itself. NVDEC's reference pictures lie in surfaces of its own.
    pub fn max_held(&self) -> u32 {
        match self {
            Self::Software(decoder) => decoder.max_held(),
            Self::Nvdec(_) => 0,
        }
    }

    /// Size that the stream codes, in px, where it is larger than the pictures; (0, 0) otherwise.
    pub fn coded_size(&self) -> (u32, u32) {
        match self {
            Self::Software(decoder) => decoder.coded_size(),
            Self::Nvdec(_) => (0, 0),
        }
    }

    /// Format of its pictures and whether they are interlaced, once one came.
    pub fn format(&self) -> (&str, bool) {
        match self {
            Self::Software(decoder) => (decoder.pixel_format(), decoder.interlaced()),
            Self::Nvdec(_) => ("nv12", false),
        }
    }

    /// Takes one packet, see [`SoftwareDecoder::send`] and [`NvdecDecoder::send`].
    ///
    /// # Errors
    /// [`MediaError::NoDevice`] if the card does not decode the stream.
    pub fn send(&mut self, packet: &VideoPacket) -> Result<(), MediaError> {
        match self {
            Self::Software(decoder) => decoder.send(packet),
            Self::Nvdec(card) => card.decoder.send(packet),
        }
    }

    /// Says that no packet follows.
    ///
    /// # Errors
    /// As [`Decoder::send`].
    pub fn send_end(&mut self) -> Result<(), MediaError> {
        match self {
            Self::Software(decoder) => decoder.send_end(),
            Self::Nvdec(card) => card.decoder.send_end(),
        }
    }

    /// The next picture in display order, complete in its slot.
    ///
    /// # Errors
    /// [`MediaError::SlotTooSmall`]: the same picture comes again when there are larger slots. Others as [`Decoder::send`].
    pub fn receive(&mut self) -> Result<Option<Done>, MediaError> {
        match self {
            Self::Software(decoder) => {
                let Some(decoded) = decoder.receive()? else { return Ok(None) };
                let filled = decoded.slot.fill(decoded.layout).map_err(|e| MediaError::NoSlot(e.to_string()))?;
                Ok(Some(Done { filled, path: decoded.path, pts_ns: decoded.pts_ns }))
            }
            Self::Nvdec(card) => card.receive(),
        }
    }

    /// What it did so far.
    pub fn stats(&self) -> DecodeStats {
        match self {
            Self::Software(decoder) => decoder.stats(),
            Self::Nvdec(card) => card.decoder.stats(),
        }
    }
}

impl OnCard {
    fn receive(&mut self) -> Result<Option<Done>, MediaError> {
        let Some(surface) = self.decoder.receive()? else { return Ok(None) };
        let (layout, pts_ns) = (surface.layout()?, surface.pts_ns());
        let needed = layout.byte_len() as usize;
        let mut slot: Loaned = match self.slots.allocate(needed) {
            Ok(slot) => slot,
            Err(AllocateError::TooSmall { found }) => {
                surface.keep();
                let (width, height) = layout.as_image().map_or((0, 0), |image| (image.width, image.height));
                return Err(MediaError::SlotTooSmall { width, height, needed, found });
            }
            Err(AllocateError::Refused(why)) => return Err(MediaError::NoSlot(why)),
        };
        let mut room =
            slot.device_mut().ok_or_else(|| MediaError::NoSlot("a slot of the host where one on the card was asked for".into()))?;
        surface.copy_to(&mut room)?;
        let filled = slot.fill_after(layout, self.device.stream()).map_err(|e| MediaError::NoSlot(e.to_string()))?;
        Ok(Some(Done { filled, path: Path::OnCard, pts_ns }))
    }
}
