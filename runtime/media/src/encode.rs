//! Video files from pictures, for people who would rather look.
#![allow(unsafe_code)]

use crate::MediaError;
use crate::convert::{Converter, Side};
use crate::ffi::{self, CodecContext, Frame, Packet, c_text, check};
use crate::reader::{I420, RGB24};
use ffmpeg_sys_next as sys;
use gantry_credentials::redact;
use gantry_frames::Colour;
use std::ffi::c_int;
use std::path::Path;
use std::ptr::{null, null_mut};

/// Encoders in order of preference, with their private options.
const ENCODERS: [(&str, &[(&str, &str)]); 3] =
    [("libx264", &[("preset", "veryfast"), ("crf", "21")]), ("libopenh264", &[]), ("mpeg4", &[("qscale", "4")])];

/// Writes an mp4 file. Call [`Encoder::finish`]: without it the file has no index.
pub struct Encoder {
    output: Output,
    context: CodecContext,
    frame: Frame,
    packet: Packet,
    converter: Converter,
    size: (u32, u32),
    stream_base: sys::AVRational,
    last_pts: i64,
    step: i64,
    codec: &'static str,
}

struct Output(*mut sys::AVFormatContext);

// SAFETY: an AVFormatContext has no thread affinity; `Encoder` is its only owner and uses it through `&mut self`.
unsafe impl Send for Output {}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: made by `avformat_alloc_output_context2`; its file, if open, is closed first; freed once.
        unsafe {
            if !(*self.0).pb.is_null() {
                sys::avio_closep(&mut (*self.0).pb);
            }
            sys::avformat_free_context(self.0);
        }
    }
}

/// Times in a file are in 1/90000 s, fine enough for any frame rate.
const TIME_BASE: sys::AVRational = sys::AVRational { num: 1, den: 90_000 };

impl Encoder {
    /// Starts `path` (`.mp4`) for pictures of `width` x `height` px at about `fps`. Odd sides lose their last row or column.
    ///
    /// # Errors
    /// [`MediaError::NoCodec`] without any encoder, [`MediaError::Open`] if the file cannot be written.
    pub fn create(path: &Path, width: u32, height: u32, fps: f64) -> Result<Self, MediaError> {
        ffi::quiet();
        let size = (width & !1, height & !1);
        if size.0 == 0 || size.1 == 0 || width > 16_384 || height > 16_384 {
            return Err(MediaError::Size { width, height });
        }
        let name = path.to_string_lossy();
        let c_name = c_text("path", &name)?;
        let (context, codec) = open_encoder(size, fps)?;
        let mut raw = null_mut();
        // SAFETY: plain constructor; the format is named, so the path is only kept.
        let code = unsafe { sys::avformat_alloc_output_context2(&mut raw, null(), c"mp4".as_ptr(), c_name.as_ptr()) };
        check("creating the video file", code)?;
        let output = Output(raw);
        // SAFETY: context and stream are valid until `output` is dropped; the encoder is open.
        let code = unsafe {
            let stream = sys::avformat_new_stream(output.0, null());
            if stream.is_null() {
                return Err(MediaError::Ffmpeg { what: "creating the video file", why: "out of memory".into() });
            }
            (*stream).time_base = TIME_BASE;
            check("creating the video file", sys::avcodec_parameters_from_context((*stream).codecpar, context.ptr()))?;
            sys::avio_open(&mut (*output.0).pb, c_name.as_ptr(), sys::AVIO_FLAG_WRITE as c_int)
        };
        if code < 0 {
            return Err(MediaError::Open {
                source_name: redact(&name),
                why: ffi::describe(code),
                hint: "check that the folder exists and can be written".into(),
            });
        }
        // SAFETY: the output has a stream and an open file.
        let stream_base = unsafe {
            check("writing the video file", sys::avformat_write_header(output.0, null_mut()))?;
            (**(*output.0).streams).time_base
        };
        let fps = if fps.is_finite() && fps > 0.1 { fps } else { 25.0 };
        // SAFETY: the encoder is open.
        let step = (1.0 / (fps * ffi::ratio(unsafe { (*context.ptr()).time_base }))).round() as i64;
        let frame = Frame::empty()?;
        // SAFETY: a blank frame; FFmpeg allocates what these fields say.
        unsafe {
            (*frame.ptr()).format = I420;
            (*frame.ptr()).width = size.0 as c_int;
            (*frame.ptr()).height = size.1 as c_int;
            (*frame.ptr()).colorspace = sys::AVColorSpace::AVCOL_SPC_BT709;
            (*frame.ptr()).color_range = sys::AVColorRange::AVCOL_RANGE_MPEG;
            check("creating the video file", sys::av_frame_get_buffer(frame.ptr(), 0))?;
        }
        Ok(Self {
            output,
            context,
            frame,
            packet: Packet::empty()?,
            converter: Converter::default(),
            size,
            stream_base,
            last_pts: -1,
            step,
            codec,
        })
    }

    /// FFmpeg's name of the encoder that was found.
    #[must_use]
    pub fn codec(&self) -> &'static str {
        self.codec
    }

    /// Adds a picture: u8 `[H, W, 3]` RGB, full range, rows of `stride` bytes, of the size given at the start.
    ///
    /// # Errors
    /// A full disk and the like. Times that do not rise are moved on by one step.
    ///
    /// # Panics
    /// If `rgb` is shorter than the picture.
    pub fn add_rgb(&mut self, rgb: &[u8], stride: usize, pts_ns: i64) -> Result<(), MediaError> {
        let (w, h) = (self.size.0 as usize, self.size.1 as usize);
        assert!(stride >= w * 3 && rgb.len() >= stride * (h - 1) + w * 3, "picture of {} bytes is shorter than {w}x{h}", rgb.len());
        let mut from = Side { format: RGB24, colour: Colour::RGB_FULL, data: [null_mut(); 4], strides: [0; 4] };
        from.data[0] = rgb.as_ptr().cast_mut();
        from.strides[0] = stride as c_int;
        self.add(&from, pts_ns)
    }

    /// Adds an I420 picture given by its planes (bytes, stride) and its colour.
    ///
    /// # Errors
    /// As [`Encoder::add_rgb`].
    ///
    /// # Panics
    /// If a plane is shorter than the picture.
    pub fn add_i420(&mut self, planes: [(&[u8], usize); 3], colour: Colour, pts_ns: i64) -> Result<(), MediaError> {
        let mut from = Side { format: I420, colour, data: [null_mut(); 4], strides: [0; 4] };
        for (i, (bytes, stride)) in planes.into_iter().enumerate() {
            let (w, h) = if i == 0 { (self.size.0, self.size.1) } else { (self.size.0 / 2, self.size.1 / 2) };
            assert!(stride >= w as usize && bytes.len() >= stride * (h as usize - 1) + w as usize, "plane {i} is shorter than {w}x{h}");
            from.data[i] = bytes.as_ptr().cast_mut();
            from.strides[i] = stride as c_int;
        }
        self.add(&from, pts_ns)
    }

    fn add(&mut self, from: &Side, pts_ns: i64) -> Result<(), MediaError> {
        // SAFETY: a frame with buffers; made writable because the encoder may still refer to the last picture.
        let frame = unsafe {
            check("writing the video file", sys::av_frame_make_writable(self.frame.ptr()))?;
            &mut *self.frame.ptr()
        };
        let mut to = Side { format: I420, colour: Colour::BT709_LIMITED, data: [null_mut(); 4], strides: [0; 4] };
        to.data.copy_from_slice(&frame.data[..4]);
        to.strides.copy_from_slice(&frame.linesize[..4]);
        // SAFETY: the source's planes were checked by the callers; the target was allocated by FFmpeg with its own padding.
        unsafe { self.converter.convert(from, &to, self.size.0, self.size.1)? };
        // SAFETY: pure arithmetic.
        let pts = unsafe { sys::av_rescale_q(pts_ns, ffi::NS, self.time_base()) };
        self.last_pts = pts.max(self.last_pts + 1);
        frame.pts = self.last_pts;
        // SAFETY: encoder and frame are valid.
        check("encoding", unsafe { sys::avcodec_send_frame(self.context.ptr(), self.frame.ptr()) })?;
        self.write()
    }

    fn time_base(&self) -> sys::AVRational {
        // SAFETY: the encoder is open.
        unsafe { (*self.context.ptr()).time_base }
    }

    fn write(&mut self) -> Result<(), MediaError> {
        loop {
            // SAFETY: encoder, packet and output are valid; the muxer takes the packet's reference and blanks it.
            unsafe {
                let code = sys::avcodec_receive_packet(self.context.ptr(), self.packet.ptr());
                if code == sys::AVERROR(sys::EAGAIN) || code == sys::AVERROR_EOF {
                    return Ok(());
                }
                check("encoding", code)?;
                if (*self.packet.ptr()).duration == 0 {
                    // Without it the file would end with the start of its last picture, and players would leave that one out.
                    (*self.packet.ptr()).duration = self.step;
                }
                sys::av_packet_rescale_ts(self.packet.ptr(), self.time_base(), self.stream_base);
                (*self.packet.ptr()).stream_index = 0;
                check("writing the video file", sys::av_interleaved_write_frame(self.output.0, self.packet.ptr()))?;
            }
        }
    }

    /// Writes what the encoder still holds and the index.
    ///
    /// # Errors
    /// A full disk and the like.
    pub fn finish(mut self) -> Result<(), MediaError> {
        // SAFETY: a null frame means the end.
        check("encoding", unsafe { sys::avcodec_send_frame(self.context.ptr(), null()) })?;
        self.write()?;
        // SAFETY: the header was written; the file is closed after the index, and its errors are the last to be seen.
        unsafe {
            check("writing the video file", sys::av_write_trailer(self.output.0))?;
            check("writing the video file", sys::avio_closep(&mut (*self.output.0).pb)).map(drop)
        }
    }
}

fn open_encoder(size: (u32, u32), fps: f64) -> Result<(CodecContext, &'static str), MediaError> {
    let mut failure = MediaError::NoCodec { what: "encoder", codec: "h264 or mpeg4".into() };
    for (name, options) in ENCODERS {
        match try_encoder(name, options, size, fps) {
            Ok(Some(context)) => return Ok((context, name)),
            Ok(None) => {}
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

fn try_encoder(name: &str, options: &[(&str, &str)], size: (u32, u32), fps: f64) -> Result<Option<CodecContext>, MediaError> {
    let c_name = c_text("encoder", name)?;
    // SAFETY: the name is zero-terminated; codecs are static.
    let codec = unsafe { sys::avcodec_find_encoder_by_name(c_name.as_ptr()) };
    if codec.is_null() {
        return Ok(None);
    }
    // SAFETY: plain allocator for a static codec.
    let context = CodecContext::new(unsafe { sys::avcodec_alloc_context3(codec) }, "opening the encoder")?;
    let fps = if fps.is_finite() && fps > 0.1 { fps } else { 25.0 };
    let mut dictionary = null_mut();
    for (key, value) in options {
        let (key, value) = (c_text("option", key)?, c_text("option", value)?);
        // SAFETY: zero-terminated texts, copied by FFmpeg.
        unsafe { sys::av_dict_set(&mut dictionary, key.as_ptr(), value.as_ptr(), 0) };
    }
    let raw = context.ptr();
    // SAFETY: the context is valid and not open yet; the dictionary is freed after use.
    let code = unsafe {
        (*raw).width = size.0 as c_int;
        (*raw).height = size.1 as c_int;
        (*raw).pix_fmt = sys::AVPixelFormat::AV_PIX_FMT_YUV420P;
        (*raw).colorspace = sys::AVColorSpace::AVCOL_SPC_BT709;
        (*raw).color_range = sys::AVColorRange::AVCOL_RANGE_MPEG;
        // MPEG-4 stores at most 65535 ticks per second.
        (*raw).time_base = if name == "mpeg4" { sys::AVRational { num: 1, den: 60_000 } } else { TIME_BASE };
        (*raw).framerate = sys::av_d2q(fps, 100_000);
        (*raw).gop_size = (fps * 2.0).ceil() as c_int;
        (*raw).flags |= sys::AV_CODEC_FLAG_GLOBAL_HEADER as c_int;
        let code = sys::avcodec_open2(raw, codec, &mut dictionary);
        sys::av_dict_free(&mut dictionary);
        code
    };
    check("opening the encoder", code)?;
    Ok(Some(context))
}
