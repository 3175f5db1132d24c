//! Software decoding, straight into slots where the format allows it.
#![allow(unsafe_code)]

use crate::buffers::{Buffers, Geometry, is_i420};
use crate::convert::{self, Converter};
use crate::ffi::{self, CodecContext, Frame, Packet, c_text, check};
use crate::frame::{colour_of, convert_into, converted_colour, direct_layout, planes_of, split};
use crate::picture::{PlaneRef, copy, deinterlace, rotate};
use crate::{FrameAllocator, MediaError, Slot, StreamInfo, VideoPacket};
use ffmpeg_sys_next as sys;
use gantry_copies::Way;
use gantry_frames::{Layout, PixelFormat};
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::ptr::null;
use std::sync::Arc;

/// Errors of one packet after which the decoder is asked for the next one.
const MAX_ERRORS_PER_PACKET: u32 = 64;
/// Largest side of a picture in px.
const MAX_SIDE: u32 = 16_384;

/// How to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Threads of the decoder; more than 1 decodes several pictures at once and delays each by as many.
    pub threads: u32,
    /// Whether interlaced pictures become progressive ones (one per frame, of its first field).
    pub deinterlace: bool,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self { threads: 1, deinterlace: true }
    }
}

/// How a picture came into its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Decoded there: nothing was copied.
    Direct,
    /// Copied: the decoder keeps its pictures in memory of its own (dav1d), or no slot was free while it decoded.
    Copied,
    /// Converted from another pixel format.
    Converted,
    /// Made of one field, turned upright, or both.
    Transformed,
    /// Decoded by NVDEC and copied once, on the card.
    OnCard,
}

/// A picture, upright, in display order.
#[derive(Debug)]
pub struct Decoded<S> {
    /// The memory.
    pub slot: S,
    /// I420 in the slot, with the decoder's own strides.
    pub layout: Layout,
    /// Presentation time in ns, if the packet had one.
    pub pts_ns: Option<i64>,
    /// Parts of it could not be decoded and were filled in.
    pub corrupt: bool,
    /// How it came into the slot.
    pub path: Path,
}

/// What a decoder did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeStats {
    /// Pictures given out.
    pub frames: u64,
    /// Of these, decoded straight into their slot.
    pub direct: u64,
    /// Copied as they are.
    pub copied: u64,
    /// Converted from another pixel format.
    pub converted: u64,
    /// Deinterlaced or rotated.
    pub transformed: u64,
    /// Copied once on the card, from NVDEC's surface.
    pub on_card: u64,
    /// Packets or pictures that the decoder refused.
    pub errors: u64,
    /// Pictures with filled-in parts.
    pub corrupt: u64,
}

/// A decoder of one stream.
pub struct SoftwareDecoder<A: FrameAllocator> {
    // The order is the order of dropping: frame and context give their buffers back before the allocator goes.
    frame: Frame,
    packet: Packet,
    context: CodecContext,
    buffers: Arc<Buffers<A>>,
    converter: Converter,
    scratch: Vec<u8>,
    options: DecoderOptions,
    rotation_deg: u32,
    coded: (u32, u32),
    has_frame: bool,
    /// Presentation times of packets whose pictures are not to be shown.
    discarded: BTreeSet<i64>,
    stats: DecodeStats,
    pixel_format: String,
    interlaced: bool,
}

fn find_decoder(codec: &str) -> Result<*const sys::AVCodec, MediaError> {
    let missing = || MediaError::NoCodec { what: "decoder", codec: codec.to_owned() };
    let name = c_text("codec name", codec)?;
    // SAFETY: the name is zero-terminated; descriptors and codecs are static.
    let decoder = unsafe {
        let descriptor = sys::avcodec_descriptor_get_by_name(name.as_ptr());
        if descriptor.is_null() { null() } else { sys::avcodec_find_decoder((*descriptor).id) }
    };
    if decoder.is_null() { Err(missing()) } else { Ok(decoder) }
}

impl<A: FrameAllocator> SoftwareDecoder<A> {
    /// Opens the decoder of `info.codec`; pictures go to slots of `allocator`.
    ///
    /// # Errors
    /// [`MediaError::NoCodec`], or FFmpeg's words when it refuses the codec configuration.
    pub fn open(info: &StreamInfo, options: DecoderOptions, allocator: Arc<A>) -> Result<Self, MediaError> {
        ffi::quiet();
        let codec = find_decoder(&info.codec)?;
        // SAFETY: plain allocator for a static codec.
        let context = CodecContext::new(unsafe { sys::avcodec_alloc_context3(codec) }, "opening the decoder")?;
        let rotation_deg = info.rotation_deg % 360;
        let buffers = Arc::new(Buffers::new(allocator, rotation_deg != 0));
        let raw = context.ptr();
        let size = |n: u32| n.min(MAX_SIDE) as c_int;
        // SAFETY: the context is valid and not open yet, so its public fields may be set; the extradata buffer has the
        // padding that FFmpeg asks for and is owned by the context from here on. `buffers` is dropped after `context`.
        unsafe {
            (*raw).width = size(info.width);
            (*raw).height = size(info.height);
            (*raw).pkt_timebase = ffi::NS;
            (*raw).thread_count = options.threads.clamp(1, 64) as c_int;
            (*raw).thread_type = sys::FF_THREAD_FRAME as c_int;
            ffi::set_extradata(raw, &info.extradata)?;
            buffers.install(raw);
            check("opening the decoder", sys::avcodec_open2(raw, codec, std::ptr::null_mut()))?;
        }
        Ok(Self {
            frame: Frame::empty()?,
            packet: Packet::empty()?,
            context,
            buffers,
            converter: Converter::default(),
            scratch: Vec::new(),
            options,
            rotation_deg,
            coded: (info.width, info.height),
            has_frame: false,
            discarded: BTreeSet::new(),
            stats: DecodeStats::default(),
            pixel_format: String::new(),
            interlaced: false,
        })
    }

    /// Bytes that a slot needs for a picture of `width` x `height` px, with the decoder's padding. 1920x1080 H.264: about 3.2 MB.
    #[must_use]
    pub fn slot_bytes(&self, width: u32, height: u32) -> u64 {
        // SAFETY: the context is open.
        let upright = unsafe { Geometry::of(self.context.ptr(), width, height) }.bytes;
        // A turned or converted picture is packed; its size differs from the padded one by rounding only.
        let turned = Layout::i420(height.max(1), width.max(1)).map_or(0, |l| l.byte_len());
        (upright as u64).max(turned).next_multiple_of(4096)
    }

    /// Slots that the decoder itself may keep as reference pictures, the one it writes included.
    #[must_use]
    pub fn max_held(&self) -> u32 {
        // H.264 and HEVC allow 16 reference pictures; frame threads hold one more each.
        18 + self.options.threads
    }

    /// Takes one packet. Call [`SoftwareDecoder::receive`] until it gives `None` before the next one.
    /// A packet that cannot be decoded is counted, not returned as an error.
    ///
    /// # Errors
    /// No memory.
    pub fn send(&mut self, packet: &VideoPacket) -> Result<(), MediaError> {
        // FFmpeg drops such pictures itself in most decoders (dav1d: not), so the times are remembered too.
        if let (true, Some(pts)) = (packet.discard, packet.pts_ns) {
            self.discarded.insert(pts);
        }
        ffi::fill_packet(&self.packet, packet)?;
        let raw = self.packet.ptr();
        // SAFETY: packet and context are valid; the decoder takes references of its own, so the packet is blanked after it.
        let code = unsafe {
            let code = sys::avcodec_send_packet(self.context.ptr(), raw);
            sys::av_packet_unref(raw);
            code
        };
        self.judge(code)
    }

    /// Says that no packet follows: what the decoder still holds comes out of [`SoftwareDecoder::receive`].
    ///
    /// # Errors
    /// No memory.
    pub fn send_end(&mut self) -> Result<(), MediaError> {
        // SAFETY: a null packet means the end.
        let code = unsafe { sys::avcodec_send_packet(self.context.ptr(), null()) };
        self.judge(code)
    }

    fn judge(&mut self, code: c_int) -> Result<(), MediaError> {
        if code == sys::AVERROR(sys::ENOMEM) {
            return Err(MediaError::ffmpeg("decoding", code));
        }
        if code < 0 && code != sys::AVERROR_EOF {
            self.stats.errors += 1;
        }
        Ok(())
    }

    /// The next picture in display order, `None` when another packet is needed or all are out.
    ///
    /// # Errors
    /// [`MediaError::SlotTooSmall`] and [`MediaError::NoSlot`]: the picture is kept, and comes with the next call once the
    /// allocator can hold it.
    pub fn receive(&mut self) -> Result<Option<Decoded<A::Slot>>, MediaError> {
        let mut errors = 0;
        while !self.has_frame {
            // SAFETY: context and frame are valid.
            let code = unsafe { sys::avcodec_receive_frame(self.context.ptr(), self.frame.ptr()) };
            if code == sys::AVERROR(sys::EAGAIN) || code == sys::AVERROR_EOF {
                return Ok(None);
            }
            errors += 1;
            if code < 0 && errors > MAX_ERRORS_PER_PACKET {
                return Ok(None);
            }
            self.judge(code)?;
            self.has_frame = code >= 0;
            // SAFETY: the frame was received; blanking it gives its buffers back.
            unsafe {
                if self.has_frame && self.discarded.remove(&(*self.frame.ptr()).best_effort_timestamp) {
                    sys::av_frame_unref(self.frame.ptr());
                    self.has_frame = false;
                }
            }
        }
        let decoded = self.deliver()?;
        // SAFETY: a valid frame; its buffers' last references may go here.
        unsafe { sys::av_frame_unref(self.frame.ptr()) };
        self.has_frame = false;
        self.stats.frames += 1;
        self.stats.corrupt += u64::from(decoded.corrupt);
        if decoded.path != Path::Direct {
            gantry_copies::note(Way::OnHost, decoded.layout.byte_len() as usize);
        }
        *match decoded.path {
            Path::Direct => &mut self.stats.direct,
            Path::Copied => &mut self.stats.copied,
            Path::Converted => &mut self.stats.converted,
            Path::Transformed => &mut self.stats.transformed,
            Path::OnCard => &mut self.stats.on_card,
        } += 1;
        Ok(Some(decoded))
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> DecodeStats {
        self.stats
    }

    /// FFmpeg's name of the last picture's pixel format (`yuv420p10le`), empty before the first.
    #[must_use]
    pub fn pixel_format(&self) -> &str {
        &self.pixel_format
    }

    /// Whether interlaced pictures were seen.
    #[must_use]
    pub fn interlaced(&self) -> bool {
        self.interlaced
    }

    /// Size of the last picture before rotation (at first: what the container says), in px.
    #[must_use]
    pub fn coded_size(&self) -> (u32, u32) {
        self.coded
    }

    fn deliver(&mut self) -> Result<Decoded<A::Slot>, MediaError> {
        // SAFETY: the frame was received and not unreferenced; it is not touched by FFmpeg between calls.
        let frame = unsafe { &*self.frame.ptr() };
        let (width, height) = (u32::try_from(frame.width).unwrap_or(0), u32::try_from(frame.height).unwrap_or(0));
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(MediaError::Size { width, height });
        }
        self.coded = (width, height);
        let turns = self.rotation_deg != 0;
        self.interlaced |= frame.interlaced_frame != 0;
        let comb = self.options.deinterlace && frame.interlaced_frame != 0;
        if comb {
            self.buffers.use_own_memory();
        }
        let planar = is_i420(frame.format);
        if self.pixel_format.is_empty() || !planar {
            self.pixel_format = convert::name(frame.format);
        }
        let colour = colour_of(frame);
        let pts = frame.best_effort_timestamp;
        let pts_ns = (pts != sys::AV_NOPTS_VALUE).then_some(pts);
        let corrupt = frame.decode_error_flags != 0 || frame.flags & sys::AV_FRAME_FLAG_CORRUPT as c_int != 0;
        let whole = |slot, layout, path| Decoded { slot, layout, pts_ns, corrupt, path };

        if planar && !turns && !comb {
            // SAFETY: a valid frame.
            if let Some(slot) = unsafe { self.buffers.take(frame) } {
                let layout = direct_layout(frame, slot.as_mut_ptr() as usize, width, height, colour)?;
                return Ok(whole(slot, layout, Path::Direct));
            }
        }
        let (w, h) = if self.rotation_deg.is_multiple_of(180) { (width, height) } else { (height, width) };
        let made = if planar { colour } else { converted_colour(frame, colour) };
        let layout = Layout::packed(PixelFormat::I420, w, h, made).map_err(|_| MediaError::Size { width, height })?;
        let Layout::Image(image) = layout else { return Err(MediaError::Size { width, height }) };
        let needed = layout.byte_len() as usize;
        let slot = self.buffers.allocator.allocate(needed).map_err(|e| e.into_media(w, h, needed))?;
        if slot.len() < needed {
            return Err(MediaError::SlotTooSmall { width: w, height: h, needed, found: slot.len() });
        }
        // SAFETY: the slot has `len` bytes that are ours until it is given out.
        let bytes = unsafe { std::slice::from_raw_parts_mut(slot.as_mut_ptr(), slot.len()) };
        let path = match (planar, turns || comb) {
            (true, false) => Path::Copied,
            (false, false) => Path::Converted,
            (_, true) => Path::Transformed,
        };
        let mut pieces = split(bytes, &image);
        if planar && !turns && !comb {
            for (from, to) in planes_of(frame, width, height).into_iter().zip(&mut pieces) {
                copy(from, to);
            }
            return Ok(whole(slot, layout, path));
        }
        if !planar && !turns && !comb {
            convert_into(&mut self.converter, frame, colour, made, &mut pieces, width, height)?;
            return Ok(whole(slot, layout, path));
        }
        // Rare inputs take one or two intermediate pictures.
        let upright = Layout::packed(PixelFormat::I420, width, height, made).map_err(|_| MediaError::Size { width, height })?;
        let Layout::Image(upright_image) = upright else { return Err(MediaError::Size { width, height }) };
        let one = upright.byte_len() as usize;
        self.scratch.resize(2 * one, 0);
        let (first, second) = self.scratch.split_at_mut(one);
        let mut converted = split(first, &upright_image);
        let source: [PlaneRef<'_>; 3] = if planar {
            planes_of(frame, width, height)
        } else {
            convert_into(&mut self.converter, frame, colour, made, &mut converted, width, height)?;
            [converted[0].as_ref(), converted[1].as_ref(), converted[2].as_ref()]
        };
        let keep_top = frame.top_field_first != 0;
        let mut progressive = split(second, &upright_image);
        for i in 0..3 {
            match (comb, turns) {
                (true, false) => deinterlace(source[i], &mut pieces[i], keep_top),
                (false, _) => rotate(source[i], &mut pieces[i], self.rotation_deg),
                (true, true) => {
                    deinterlace(source[i], &mut progressive[i], keep_top);
                    rotate(progressive[i].as_ref(), &mut pieces[i], self.rotation_deg);
                }
            }
        }
        Ok(whole(slot, layout, path))
    }
}
