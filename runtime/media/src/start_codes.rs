//! H.264 and H.265 as byte streams, for players that know no container.
#![allow(unsafe_code)]

use crate::MediaError;
use crate::ffi::{self, Packet, c_text, check};
use ffmpeg_sys_next as sys;
use std::ptr::null_mut;

/// Turns access units with lengths, as MP4 has them, into units with start codes, and puts the parameter sets before key frames.
/// Units that have start codes already stay as they are.
#[derive(Debug)]
pub struct StartCodes {
    context: *mut sys::AVBSFContext,
    packet: Packet,
}

// SAFETY: a filter has no thread affinity; `self` is its only owner and all use is through `&mut self`.
unsafe impl Send for StartCodes {}

impl StartCodes {
    /// A converter for `codec` (FFmpeg's name) with its configuration; `None` for codecs that have no start codes.
    ///
    /// # Errors
    /// [`MediaError::Ffmpeg`] if the configuration cannot be read.
    pub fn open(codec: &str, extradata: &[u8]) -> Result<Option<Self>, MediaError> {
        ffi::quiet();
        let (name, id) = match codec {
            "h264" => ("h264_mp4toannexb", sys::AVCodecID::AV_CODEC_ID_H264),
            "hevc" => ("hevc_mp4toannexb", sys::AVCodecID::AV_CODEC_ID_HEVC),
            _ => return Ok(None),
        };
        let name = c_text("filter", name)?;
        // SAFETY: a zero-terminated text; FFmpeg returns null or a static filter.
        let filter = unsafe { sys::av_bsf_get_by_name(name.as_ptr()) };
        if filter.is_null() {
            return Err(MediaError::NoCodec { what: "start code filter", codec: codec.to_owned() });
        }
        let mut context = null_mut();
        // SAFETY: a valid filter; on success `context` is ours and freed in `drop`.
        check("allocating a filter", unsafe { sys::av_bsf_alloc(filter, &mut context) })?;
        let converter = Self { context, packet: Packet::empty()? };
        // SAFETY: plain allocator; the padding that FFmpeg asks for is zeroed.
        let bytes = unsafe { sys::av_mallocz(extradata.len() + sys::AV_INPUT_BUFFER_PADDING_SIZE as usize) }.cast::<u8>();
        if bytes.is_null() {
            return Err(MediaError::Ffmpeg { what: "allocating a filter", why: "out of memory".into() });
        }
        // SAFETY: `bytes` has room for `extradata` and belongs to the parameters from here on, which free it; the parameters of an allocated filter
        // are valid and not in use yet.
        unsafe {
            std::ptr::copy_nonoverlapping(extradata.as_ptr(), bytes, extradata.len());
            let parameters = &mut *(*context).par_in;
            parameters.codec_type = sys::AVMediaType::AVMEDIA_TYPE_VIDEO;
            parameters.codec_id = id;
            parameters.extradata = bytes;
            parameters.extradata_size = extradata.len() as i32;
        }
        // SAFETY: allocated above and not initialised before.
        check("reading the codec's configuration", unsafe { sys::av_bsf_init(context) })?;
        Ok(Some(converter))
    }

    /// One access unit.
    ///
    /// # Errors
    /// [`MediaError::Ffmpeg`] if its lengths do not fit its size.
    pub fn convert(&mut self, data: &[u8], keyframe: bool) -> Result<Vec<u8>, MediaError> {
        let size =
            i32::try_from(data.len()).map_err(|_| MediaError::Ffmpeg { what: "converting a packet", why: "it is too long".into() })?;
        let raw = self.packet.ptr();
        // SAFETY: an empty packet of ours; on success it has `size` bytes of its own, which are filled before anybody reads them.
        unsafe {
            check("converting a packet", sys::av_new_packet(raw, size))?;
            std::ptr::copy_nonoverlapping(data.as_ptr(), (*raw).data, data.len());
            (*raw).flags = if keyframe { sys::AV_PKT_FLAG_KEY } else { 0 };
        }
        // SAFETY: filter and packet are valid; on success the filter takes the packet's bytes over and leaves it empty.
        let sent = check("converting a packet", unsafe { sys::av_bsf_send_packet(self.context, raw) });
        // SAFETY: as above; on success the packet holds the converted bytes.
        let received = sent.and_then(|_| check("converting a packet", unsafe { sys::av_bsf_receive_packet(self.context, raw) }));
        let converted = received.map(|_| {
            // SAFETY: a received packet has `size` bytes at `data` until it is unreferenced.
            unsafe { std::slice::from_raw_parts((*raw).data, (*raw).size.max(0) as usize) }.to_vec()
        });
        // SAFETY: a valid packet, empty or not.
        unsafe { sys::av_packet_unref(raw) };
        converted
    }
}

impl Drop for StartCodes {
    fn drop(&mut self) {
        // SAFETY: the filter was allocated in `open`, is freed once and set to null by FFmpeg.
        unsafe { sys::av_bsf_free(&mut self.context) };
    }
}
