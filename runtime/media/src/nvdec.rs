//! Decoding on the card: FFmpeg's own parser of the stream, NVIDIA's decoder of the pictures, one copy on the card into a slot.
#![allow(unsafe_code)]

use crate::ffi::{self, CodecContext, Frame, Packet, check};
use crate::frame::colour_of;
use crate::nvdec_device::{NvdecDevice, find};
use crate::{DecodeStats, DecoderOptions, MediaError, StreamInfo, VideoPacket};
use ffmpeg_sys_next as sys;
use gantry_cuda::{CudaError, DeviceSliceMut, Rows};
use gantry_frames::{Colour, Layout, PixelFormat};
use std::ffi::c_int;
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Errors of one packet after which the decoder is asked for the next one.
const MAX_ERRORS_PER_PACKET: u32 = 64;
/// `AV_HWACCEL_FLAG_UNSAFE_OUTPUT` of FFmpeg 6 and later, which otherwise copies each picture on the card before it is ours to copy. Unsafe for those
/// who keep surfaces while they decode on; here each is copied and given back first. FFmpeg 5 gives surfaces as they are and ignores the flag.
const UNSAFE_OUTPUT: c_int = 1 << 3;
/// No picture was refused.
const NONE: i32 = sys::AVPixelFormat::AV_PIX_FMT_NONE as i32;

/// A decoder of one stream on a card.
pub struct NvdecDecoder {
    // The order is the order of dropping: frame and context give their surfaces back before the device goes.
    frame: Frame,
    packet: Packet,
    context: CodecContext,
    /// What FFmpeg's callback saw: the pixel format that the card does not decode.
    refused: Box<AtomicI32>,
    device: Arc<NvdecDevice>,
    codec: String,
    deinterlace: bool,
    /// The frame has a picture that was given back by [`Surface::keep`].
    has_picture: bool,
    stats: DecodeStats,
}

/// A decoded picture in a surface of the decoder, which is free again when this is dropped.
pub struct Surface<'a> {
    decoder: &'a mut NvdecDecoder,
}

/// FFmpeg asks which of `formats` it is to make: pictures on the card, or nothing. It asks again without them when the card refuses.
///
/// # Safety
/// As FFmpeg calls it: a decoder context whose `opaque` is the `refused` of its decoder, and a list that ends with `AV_PIX_FMT_NONE`.
unsafe extern "C" fn on_the_card(context: *mut sys::AVCodecContext, formats: *const sys::AVPixelFormat) -> sys::AVPixelFormat {
    // As numbers: a newer FFmpeg may have formats that the bindings do not name.
    let formats = formats.cast::<c_int>();
    // SAFETY: by contract the list ends with -1, and the context is valid.
    let (is_offered, software) = unsafe {
        let offered = (0..).map(|i| *formats.add(i)).take_while(|format| *format != NONE);
        (offered.into_iter().any(|format| format == sys::AVPixelFormat::AV_PIX_FMT_CUDA as c_int), (*context).sw_pix_fmt as i32)
    };
    if is_offered && is_8_bit_420(software) {
        return sys::AVPixelFormat::AV_PIX_FMT_CUDA;
    }
    // SAFETY: set by `open` to a value that outlives the context.
    if let Some(refused) = unsafe { (*context).opaque.cast::<AtomicI32>().as_ref() } {
        refused.store(software, Ordering::Relaxed);
    }
    sys::AVPixelFormat::AV_PIX_FMT_NONE
}

/// What becomes NV12 on the card; kernels and models read nothing else.
fn is_8_bit_420(format: i32) -> bool {
    use sys::AVPixelFormat as P;
    [P::AV_PIX_FMT_YUV420P, P::AV_PIX_FMT_YUVJ420P, P::AV_PIX_FMT_NV12].into_iter().any(|known| known as i32 == format)
}

impl NvdecDecoder {
    /// Opens a decoder of `info.codec` on `device`. With `options.deinterlace` an interlaced stream is refused when its first picture comes;
    /// `options.threads` does not matter.
    ///
    /// # Errors
    /// [`MediaError::NoCodec`] if FFmpeg cannot ask the card for it; [`MediaError::NoDevice`] for turned pictures, which are made upright on the CPU;
    /// FFmpeg's words when it refuses the codec configuration.
    pub fn open(info: &StreamInfo, options: DecoderOptions, device: &Arc<NvdecDevice>) -> Result<Self, MediaError> {
        ffi::quiet();
        if !info.rotation_deg.is_multiple_of(360) {
            let why = format!("pictures are turned by {} degrees, which the software decoder makes upright", info.rotation_deg);
            return Err(MediaError::NoDevice { decoder: "nvdec", why });
        }
        let codec = find(&info.codec)?;
        // SAFETY: plain allocator for a static codec.
        let context = CodecContext::new(unsafe { sys::avcodec_alloc_context3(codec.as_ptr()) }, "opening the decoder")?;
        let refused = Box::new(AtomicI32::new(NONE));
        let raw = context.ptr();
        // SAFETY: the context is valid and not open yet, so its public fields may be set; `refused` is dropped after it; the device's reference is the
        // context's from here on.
        unsafe {
            (*raw).width = info.width.min(16_384) as c_int;
            (*raw).height = info.height.min(16_384) as c_int;
            (*raw).pkt_timebase = ffi::NS;
            (*raw).thread_count = 1;
            // One picture is out at a time, which FFmpeg has surfaces for; more could bring a stream over the 32 that a decoder may have.
            (*raw).extra_hw_frames = 0;
            (*raw).hwaccel_flags |= UNSAFE_OUTPUT;
            (*raw).get_format = Some(on_the_card);
            (*raw).opaque = std::ptr::from_ref(&*refused).cast_mut().cast();
            (*raw).hw_device_ctx = device.reference()?;
            ffi::set_extradata(raw, &info.extradata)?;
            check("opening the decoder", sys::avcodec_open2(raw, codec.as_ptr(), std::ptr::null_mut()))?;
        }
        Ok(Self {
            frame: Frame::empty()?,
            packet: Packet::empty()?,
            context,
            refused,
            device: Arc::clone(device),
            codec: info.codec.clone(),
            deinterlace: options.deinterlace,
            has_picture: false,
            stats: DecodeStats::default(),
        })
    }

    /// Bytes that a slot needs for a picture of `width` x `height` px: NV12 with rows at multiples of 64 bytes.
    #[must_use]
    pub fn slot_bytes(width: u32, height: u32) -> u64 {
        Layout::packed(PixelFormat::Nv12, width.max(1), height.max(1), Colour::BT709_LIMITED).map_or(0, |layout| layout.byte_len())
    }

    /// Takes one packet. Call [`NvdecDecoder::receive`] until it gives `None` before the next one. A packet that cannot be decoded is counted.
    ///
    /// # Errors
    /// [`MediaError::NoDevice`] if the card does not decode this stream (its profile, depth or size, or no decoder is free): nothing of the packet was
    /// decoded then, and pictures of earlier ones still come out. [`MediaError::Card`] if the card has failed and with it all decoders of this process.
    pub fn send(&mut self, packet: &VideoPacket) -> Result<(), MediaError> {
        ffi::fill_packet(&self.packet, packet)?;
        // SAFETY: packet and context are valid; the decoder takes references of its own, so the packet is blanked after it.
        let code = unsafe {
            let code = sys::avcodec_send_packet(self.context.ptr(), self.packet.ptr());
            sys::av_packet_unref(self.packet.ptr());
            code
        };
        self.judge(code)
    }

    /// Says that no packet follows: what the decoder still holds comes out of [`NvdecDecoder::receive`].
    ///
    /// # Errors
    /// As [`NvdecDecoder::send`].
    pub fn send_end(&mut self) -> Result<(), MediaError> {
        // SAFETY: a null packet means the end.
        let code = unsafe { sys::avcodec_send_packet(self.context.ptr(), null()) };
        self.judge(code)
    }

    /// The next picture in display order, `None` when another packet is needed or all are out.
    ///
    /// # Errors
    /// As [`NvdecDecoder::send`], and [`MediaError::NoDevice`] for an interlaced picture that is to become progressive.
    pub fn receive(&mut self) -> Result<Option<Surface<'_>>, MediaError> {
        if std::mem::take(&mut self.has_picture) {
            return Ok(Some(Surface { decoder: self }));
        }
        for _ in 0..MAX_ERRORS_PER_PACKET {
            // SAFETY: context and frame are valid; receiving blanks the frame first, which gives the surface before back.
            let code = unsafe { sys::avcodec_receive_frame(self.context.ptr(), self.frame.ptr()) };
            if code == sys::AVERROR(sys::EAGAIN) || code == sys::AVERROR_EOF {
                return Ok(None);
            }
            self.judge(code)?;
            if code >= 0 {
                if self.deinterlace && self.raw().interlaced_frame != 0 {
                    let why = "interlaced pictures, which the software decoder makes progressive".to_owned();
                    return Err(MediaError::NoDevice { decoder: "nvdec", why });
                }
                self.stats.frames += 1;
                self.stats.on_card += 1;
                self.stats.corrupt += u64::from(is_corrupt(self.raw()));
                return Ok(Some(Surface { decoder: self }));
            }
        }
        Ok(None)
    }

    /// What happened so far; every picture is copied once, on the card.
    #[must_use]
    pub fn stats(&self) -> DecodeStats {
        self.stats
    }

    fn raw(&self) -> &sys::AVFrame {
        // SAFETY: the frame is valid and FFmpeg does not touch it between calls.
        unsafe { &*self.frame.ptr() }
    }

    /// What a failed packet costs: a damaged stream that packet alone, a card that has failed everything.
    fn judge(&mut self, code: c_int) -> Result<(), MediaError> {
        let refused = self.refused.swap(NONE, Ordering::Relaxed);
        if refused != NONE {
            // A card that has failed refuses everything, and that is not for another decoder to mend.
            self.device.stream().synchronize().map_err(|source| MediaError::Card { source })?;
            let why = format!("the card does not decode {} in {}, or has no decoder free", self.codec, crate::convert::name(refused));
            return Err(MediaError::NoDevice { decoder: "nvdec", why });
        }
        if code < 0 && code != sys::AVERROR_EOF {
            self.stats.errors += 1;
            // FFmpeg says that something outside of it failed, and not what: the driver knows whether the context lives.
            self.device.stream().synchronize().map_err(|source| MediaError::Card { source })?;
        }
        Ok(())
    }
}

fn is_corrupt(frame: &sys::AVFrame) -> bool {
    frame.decode_error_flags != 0 || frame.flags & sys::AV_FRAME_FLAG_CORRUPT as c_int != 0
}

impl Surface<'_> {
    /// Presentation time in ns, if the packet had one.
    #[must_use]
    pub fn pts_ns(&self) -> Option<i64> {
        let pts = self.decoder.raw().best_effort_timestamp;
        (pts != sys::AV_NOPTS_VALUE).then_some(pts)
    }

    /// Parts of it could not be decoded and were filled in.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        is_corrupt(self.decoder.raw())
    }

    /// NV12 as [`Surface::copy_to`] lays it out.
    ///
    /// # Errors
    /// [`MediaError::Size`] for a picture that cannot be.
    pub fn layout(&self) -> Result<Layout, MediaError> {
        let frame = self.decoder.raw();
        let (left, top) = self.start();
        let shown = |whole: c_int, before: usize| {
            usize::try_from(whole).ok().and_then(|whole| u32::try_from(whole.checked_sub(before)?).ok()).unwrap_or(0)
        };
        let (width, height) = (shown(frame.width, left), shown(frame.height, top));
        Layout::packed(PixelFormat::Nv12, width, height, colour_of(frame)).map_err(|_| MediaError::Size { width, height })
    }

    /// Columns and rows of the surface before the picture: FFmpeg cuts right and bottom off surfaces, and leaves left and top to those who read them
    /// (`av_frame_apply_cropping`). They are even, as the units of cropping are in 4:2:0.
    fn start(&self) -> (usize, usize) {
        let frame = self.decoder.raw();
        (frame.crop_left & !1, frame.crop_top & !1)
    }

    /// Gives the picture back: the next [`NvdecDecoder::receive`] has it again. For pictures that have outgrown their slots.
    pub fn keep(self) {
        self.decoder.has_picture = true;
    }

    /// Copies the picture to the start of `slot` and waits for it: the surface is free again when this returns.
    ///
    /// # Errors
    /// [`MediaError::SlotTooSmall`], [`MediaError::Card`], or [`MediaError::Ffmpeg`] if FFmpeg gave a picture of the host.
    pub fn copy_to(self, slot: &mut DeviceSliceMut<'_>) -> Result<Layout, MediaError> {
        let layout = self.layout()?;
        let (Some(image), needed) = (layout.as_image(), layout.byte_len() as usize) else {
            return Err(MediaError::Ffmpeg { what: "decoding", why: "a picture that is none".into() });
        };
        if slot.len() < needed {
            let (width, height) = (image.width, image.height);
            return Err(MediaError::SlotTooSmall { width, height, needed, found: slot.len() });
        }
        let (frame, stream) = (self.decoder.raw(), self.decoder.device.stream());
        if frame.format != sys::AVPixelFormat::AV_PIX_FMT_CUDA as c_int {
            let why = format!("a picture in {} where one on the card was asked for", crate::convert::name(frame.format));
            return Err(MediaError::Ffmpeg { what: "decoding", why });
        }
        let (left, top) = self.start();
        let rows = |(index, plane): (usize, &gantry_frames::Plane)| {
            let (row_bytes, rows) = image.format.plane_size(index, image.width, image.height);
            let from_stride = usize::try_from(frame.linesize[index]).unwrap_or(0);
            // Rows of U and V are half as many, and as long: two bytes for two columns.
            let above = if index == 0 { top } else { top / 2 };
            Rows {
                from: (frame.data[index].addr() + above * from_stride + left) as u64,
                from_stride,
                to_offset: plane.offset as usize,
                to_stride: plane.stride as usize,
                row_bytes: row_bytes as usize,
                rows: rows as usize,
            }
        };
        let planes: Vec<Rows> = image.planes().iter().enumerate().map(rows).collect();
        let card = |source: CudaError| MediaError::Card { source };
        // SAFETY: FFmpeg's surface has those rows of NV12, in our context; it is kept until the copy is done, as the stream is waited for below.
        unsafe { stream.copy_planes_from(&planes, slot) }.map_err(card)?;
        stream.synchronize().map_err(card)?;
        Ok(layout)
    }
}

impl Drop for Surface<'_> {
    fn drop(&mut self) {
        if !self.decoder.has_picture {
            // SAFETY: a valid frame; its surface goes back to the decoder.
            unsafe { sys::av_frame_unref(self.decoder.frame.ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::AVPixelFormat as P;

    fn ask(software: P, offered: &[P]) -> (P, i32) {
        let refused = AtomicI32::new(NONE);
        // SAFETY: plain allocator; the fields are those that the callback reads.
        let context = CodecContext::new(unsafe { sys::avcodec_alloc_context3(null()) }, "a context").unwrap();
        // SAFETY: a valid context; `refused` outlives the call.
        let picked = unsafe {
            (*context.ptr()).sw_pix_fmt = software;
            (*context.ptr()).opaque = std::ptr::from_ref(&refused).cast_mut().cast();
            on_the_card(context.ptr(), offered.as_ptr())
        };
        (picked, refused.load(Ordering::Relaxed))
    }

    #[test]
    fn pictures_are_made_on_the_card_or_not_at_all() {
        let offered = [P::AV_PIX_FMT_VAAPI, P::AV_PIX_FMT_CUDA, P::AV_PIX_FMT_YUV420P, P::AV_PIX_FMT_NONE];
        assert_eq!(ask(P::AV_PIX_FMT_YUV420P, &offered), (P::AV_PIX_FMT_CUDA, NONE));
        // 10 bit would be P010 on the card, which nothing here reads.
        let deep = P::AV_PIX_FMT_YUV420P10LE;
        assert_eq!(ask(deep, &offered), (P::AV_PIX_FMT_NONE, deep as i32));
        // The card has refused, FFmpeg asks again.
        let without = [P::AV_PIX_FMT_YUV420P, P::AV_PIX_FMT_NONE];
        assert_eq!(ask(P::AV_PIX_FMT_YUV420P, &without), (P::AV_PIX_FMT_NONE, P::AV_PIX_FMT_YUV420P as i32));
    }

    #[test]
    fn a_slot_holds_a_picture_with_its_padding() {
        assert_eq!(NvdecDecoder::slot_bytes(1920, 1080), 1920 * 1080 * 3 / 2);
        assert!(NvdecDecoder::slot_bytes(853, 479) >= 853 * 479 * 3 / 2);
    }
}
