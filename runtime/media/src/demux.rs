//! Encoded access units from files and streams.
#![allow(unsafe_code)]

use crate::MediaError;
use crate::device::{check_device, device_path, hint as device_hint, input_format};
use crate::ffi::{self, Packet, c_text, describe, to_ns};
use crate::patience::{Patience, interrupted};
use crate::tunnel::Tunnel;
use ffmpeg_sys_next as sys;
use gantry_credentials::{redact, redact_in};
use std::ffi::c_int;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Damaged packets in a row after which reading is given up.
const MAX_ERRORS_IN_A_ROW: u32 = 512;
/// Kinds of addresses that a source may have.
const SCHEMES: [&str; 5] = ["rtsp", "rtsps", "http", "https", "file"];
/// Protocols that a file may use, its playlists included: it cannot make this machine call somebody.
const FILE_PROTOCOLS: &str = "file,crypto,data,pipe";
/// Protocols that a stream may use, its redirections and playlists included: it cannot make this machine read its own files.
const STREAM_PROTOCOLS: &str = "http,https,tcp,tls,udp,rtp,rtsp,rtsps,srtp,crypto";

/// Protocols of an RTSP stream whose TLS is ours.
const TUNNEL_PROTOCOLS: &str = "tcp,rtsp";

/// How to open a source.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Set from elsewhere to end a call that waits for the network.
    pub interrupt: Option<Arc<AtomicBool>>,
    /// How long opening may take in all; no limit if absent.
    pub open_timeout: Option<Duration>,
    /// How long the next packet may take to come; no limit if absent.
    pub read_timeout: Option<Duration>,
    /// Certificates (PEM) that the other end of `rtsps` and `https` is checked against; if absent, every certificate is taken.
    pub ca_file: Option<PathBuf>,
    /// FFmpeg options of the container (`rtsp_transport` = `tcp`); unknown ones are ignored.
    pub options: Vec<(String, String)>,
}

/// What the container says about its video.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamInfo {
    /// FFmpeg's codec name (`h264`).
    pub codec: String,
    /// Codec configuration, empty where the stream carries it itself.
    pub extradata: Vec<u8>,
    /// Coded width in px, before rotation.
    pub width: u32,
    /// Coded height in px, before rotation.
    pub height: u32,
    /// Clockwise rotation for display: 0, 90, 180 or 270 degrees.
    pub rotation_deg: u32,
    /// Nominal frame rate, 0 if unknown.
    pub fps: f64,
    /// Packets that the container's index promises, 0 if it has none.
    pub packets: u64,
    /// Length in ns, if known.
    pub duration_ns: Option<i64>,
    /// First presentation time in ns; packet times are counted from here.
    pub start_ns: i64,
    /// FFmpeg's name of the container (`mov,mp4,m4a,3gp,3g2,mj2`).
    pub container: String,
}

/// One access unit in decode order. Times in ns from the start of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoPacket {
    /// Presentation time, if the container names one.
    pub pts_ns: Option<i64>,
    /// Decode time, if the container names one.
    pub dts_ns: Option<i64>,
    /// Key frame.
    pub keyframe: bool,
    /// The container knows that bytes are missing or wrong.
    pub corrupt: bool,
    /// To be decoded but not shown (before the start that was asked for, or outside the file's edit list).
    pub discard: bool,
    /// [`Demuxer::info`] differs from before this packet (new codec configuration).
    pub info_changed: bool,
    /// The access unit.
    pub data: Vec<u8>,
}

/// What was wrong with a source so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DemuxStats {
    /// Packets given.
    pub packets: u64,
    /// Packets marked corrupt and read errors that were skipped.
    pub corrupt: u64,
}

/// An open source, reading its best video stream.
#[derive(Debug)]
pub struct Demuxer {
    context: *mut sys::AVFormatContext,
    packet: Packet,
    stream: usize,
    time_base: sys::AVRational,
    info: StreamInfo,
    stats: DemuxStats,
    name: String,
    source: String,
    read_timeout: Option<Duration>,
    // Read by FFmpeg through a raw pointer until `context` is closed, so it is boxed and dropped after it.
    patience: Box<Patience>,
    /// Carries the bytes of `context`, so it goes after it.
    _tunnel: Option<Tunnel>,
}

// SAFETY: an AVFormatContext may be used from any thread, one at a time; `Demuxer` is its only owner and all use is through `&mut self`.
unsafe impl Send for Demuxer {}

impl Demuxer {
    /// Opens a path, an address (`rtsp://`, `http://`, ..) or a device (`v4l2:/dev/video0`).
    ///
    /// # Errors
    /// [`MediaError::Open`] with a hint for a missing, empty, unreadable or unknown file and for other kinds of addresses,
    /// [`MediaError::Refused`] for a wrong password, [`MediaError::Certificate`], [`MediaError::Silent`] when time is up, [`MediaError::NoVideo`].
    pub fn open(source: &str, options: &OpenOptions) -> Result<Self, MediaError> {
        ffi::quiet();
        let scheme = scheme(source)?;
        let format = match device_path(source) {
            Some(path) => {
                check_device(source, path)?;
                input_format(source)?
            }
            None => {
                check_file(source)?;
                std::ptr::null()
            }
        };
        let patience = Patience::new(options.interrupt.clone());
        patience.allow(options.open_timeout);
        let (tunnel, address) = match (&options.ca_file, scheme) {
            (Some(ca_file), Some("rtsps")) => {
                let (tunnel, address) = Tunnel::open(source, ca_file, &patience, options.open_timeout)?;
                (Some(tunnel), address)
            }
            _ => (None, device_path(source).unwrap_or(source).to_owned()),
        };
        let protocols = match scheme {
            _ if tunnel.is_some() => TUNNEL_PROTOCOLS,
            None | Some("file") => FILE_PROTOCOLS,
            Some(_) => STREAM_PROTOCOLS,
        };
        let mut more = vec![("protocol_whitelist", protocols)];
        if tunnel.is_some() {
            more.push(("rtsp_transport", "tcp"));
        } else if let Some(ca_file) = &options.ca_file {
            let path =
                ca_file.to_str().ok_or_else(|| MediaError::CaFile { path: ca_file.clone(), why: "its name is no UTF-8".to_owned() })?;
            more.extend([("tls_verify", "1"), ("ca_file", path)]);
        }
        let address = c_text("source", &address)?;
        let mut dictionary: *mut sys::AVDictionary = null_mut();
        let given = options.options.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        for (key, value) in given.chain(more) {
            let (key, value) = (c_text("option", key)?, c_text("option", value)?);
            // SAFETY: both texts are zero-terminated and copied; the dictionary is made at the first call.
            unsafe { sys::av_dict_set(&mut dictionary, key.as_ptr(), value.as_ptr(), 0) };
        }
        // SAFETY: plain allocator; on failure of `avformat_open_input` FFmpeg frees the context itself and sets the pointer to null.
        let (code, context) = unsafe {
            let mut context = sys::avformat_alloc_context();
            if context.is_null() {
                sys::av_dict_free(&mut dictionary);
                return Err(MediaError::Ffmpeg { what: "opening", why: "out of memory".into() });
            }
            (*context).interrupt_callback.callback = Some(interrupted);
            (*context).interrupt_callback.opaque = (&raw const *patience).cast_mut().cast();
            let code = sys::avformat_open_input(&mut context, address.as_ptr(), format, &mut dictionary);
            sys::av_dict_free(&mut dictionary);
            (code, context)
        };
        if code < 0 {
            return Err(match options.open_timeout.filter(|_| patience.is_over()) {
                Some(limit) => MediaError::Silent { source_name: redact(source), limit_ms: limit.as_millis() as u64 },
                None if scheme == Some("https") && options.ca_file.is_some() && code == sys::AVERROR(sys::EIO) => MediaError::Open {
                    source_name: redact(source),
                    why: "its certificate is refused, or the connection broke".to_owned(),
                    hint:
                        "one of `CA_FILE` must have signed it, for the name in the address: `openssl s_client -connect HOST:PORT` shows it"
                            .to_owned(),
                },
                None => open_error(source, code),
            });
        }
        let mut demuxer = Self {
            context,
            packet: Packet::empty()?,
            stream: 0,
            time_base: ffi::NS,
            info: StreamInfo::default(),
            stats: DemuxStats::default(),
            name: redact(source),
            source: source.to_owned(),
            read_timeout: options.read_timeout,
            patience,
            _tunnel: tunnel,
        };
        demuxer.find_video()?;
        if device_path(source).is_some() && demuxer.info.codec == "rawvideo" {
            // 1080p of it are 4 MB a frame, 120 MB a second through every message.
            let (why, hint) = ("it sends bare pixels", "choose a compressed format that it has: `DEVICE_FORMAT: mjpeg` or `h264`");
            return Err(MediaError::Open { source_name: source.to_owned(), why: why.to_owned(), hint: hint.to_owned() });
        }
        Ok(demuxer)
    }

    /// What the container says about the video.
    #[must_use]
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Packets and damage so far.
    #[must_use]
    pub fn stats(&self) -> DemuxStats {
        self.stats
    }

    /// Path or address without its password, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Goes to the last key frame at or before `position_ns` (from the start of the stream).
    ///
    /// # Errors
    /// [`MediaError::Ffmpeg`] where the source cannot seek.
    pub fn seek(&mut self, position_ns: i64) -> Result<(), MediaError> {
        let target = self.info.start_ns.saturating_add(position_ns);
        // SAFETY: the context is open, the stream index is its own; the time bases have no zero denominator (checked in `find_video`).
        let code = unsafe {
            let timestamp = sys::av_rescale_q(target, ffi::NS, self.time_base);
            sys::av_seek_frame(self.context, self.stream as c_int, timestamp, sys::AVSEEK_FLAG_BACKWARD as c_int)
        };
        ffi::check("seeking", code).map(drop)
    }

    /// The next access unit, `None` at the end. Damaged places are skipped and counted.
    ///
    /// # Errors
    /// [`MediaError::Read`] when the source fails for good, [`MediaError::Silent`] when nothing came for `read_timeout`.
    pub fn next_packet(&mut self) -> Result<Option<VideoPacket>, MediaError> {
        let mut errors = 0;
        self.patience.allow(self.read_timeout);
        loop {
            // SAFETY: context and packet are open and owned by `self`; the packet is blank (unreferenced below after each use).
            let code = unsafe { sys::av_read_frame(self.context, self.packet.ptr()) };
            if code == sys::AVERROR_EOF {
                return Ok(None);
            }
            if code == sys::AVERROR(sys::EAGAIN) {
                std::thread::yield_now();
                continue;
            }
            if code < 0 {
                if let Some(limit) = self.read_timeout.filter(|_| self.patience.is_over()) {
                    return Err(MediaError::Silent { source_name: self.name.clone(), limit_ms: limit.as_millis() as u64 });
                }
                self.stats.corrupt += 1;
                errors += 1;
                if code == sys::AVERROR_INVALIDDATA && errors < MAX_ERRORS_IN_A_ROW {
                    continue;
                }
                // A file whose rest is unreadable: what came so far counts, the damage is in the statistics.
                if code == sys::AVERROR_INVALIDDATA && self.stats.packets > 0 {
                    return Ok(None);
                }
                return Err(MediaError::Read { source_name: self.name.clone(), why: redact_in(&describe(code), &self.source) });
            }
            let packet = self.take();
            // SAFETY: the packet holds what `av_read_frame` gave; unreferencing blanks it.
            unsafe { sys::av_packet_unref(self.packet.ptr()) };
            if let Some(packet) = packet {
                self.stats.packets += 1;
                self.stats.corrupt += u64::from(packet.corrupt);
                return Ok(Some(packet));
            }
        }
    }

    /// Copies the packet that was read, `None` for other streams and empty packets.
    fn take(&mut self) -> Option<VideoPacket> {
        // SAFETY: `av_read_frame` succeeded, so the packet's fields are set.
        let raw = unsafe { &*self.packet.ptr() };
        if raw.stream_index as usize != self.stream || raw.size <= 0 || raw.data.is_null() {
            return None;
        }
        // SAFETY: a packet has `size` bytes at `data` until it is unreferenced.
        let data = unsafe { std::slice::from_raw_parts(raw.data, raw.size as usize) }.to_vec();
        let extradata = side_data(raw, sys::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA);
        let info_changed = extradata.is_some_and(|bytes| {
            let changed = !bytes.is_empty() && bytes != self.info.extradata;
            if changed {
                self.info.extradata = bytes;
            }
            changed
        });
        let from_start = |value| to_ns(value, self.time_base).map(|ns| ns - self.info.start_ns);
        let flag = |bit: c_int| raw.flags & bit != 0;
        Some(VideoPacket {
            pts_ns: from_start(raw.pts),
            dts_ns: from_start(raw.dts),
            keyframe: flag(sys::AV_PKT_FLAG_KEY as c_int),
            corrupt: flag(sys::AV_PKT_FLAG_CORRUPT as c_int),
            discard: flag(sys::AV_PKT_FLAG_DISCARD as c_int),
            info_changed,
            data,
        })
    }

    fn find_video(&mut self) -> Result<(), MediaError> {
        // SAFETY: the context is open. A failure leaves it usable; what is missing then shows below or in the decoder.
        unsafe { sys::avformat_find_stream_info(self.context, null_mut()) };
        // SAFETY: the context is open and lists `nb_streams` valid streams.
        let streams = unsafe {
            let context = &*self.context;
            if context.nb_streams == 0 { &[][..] } else { std::slice::from_raw_parts(context.streams, context.nb_streams as usize) }
        };
        // SAFETY: the context is open; a null decoder pointer means that none is asked for.
        let best = unsafe { sys::av_find_best_stream(self.context, sys::AVMediaType::AVMEDIA_TYPE_VIDEO, -1, -1, null_mut(), 0) };
        // SAFETY: streams of an open context and their parameters are valid.
        let picture = |index: usize| unsafe { (*streams[index]).disposition } & sys::AV_DISPOSITION_ATTACHED_PIC as c_int != 0;
        let Some(index) = usize::try_from(best).ok().filter(|i| *i < streams.len() && !picture(*i)) else {
            let found: Vec<String> =
                (0..streams.len()).map(|i| if picture(i) { "cover picture".into() } else { kind(streams[i]) }).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            return Err(MediaError::NoVideo { source_name: self.name.clone(), found });
        };
        for (i, stream) in streams.iter().enumerate() {
            if i != index {
                // SAFETY: a valid stream; the field is meant to be set by callers.
                unsafe { (**stream).discard = sys::AVDiscard::AVDISCARD_ALL };
            }
        }
        self.stream = index;
        // SAFETY: as above.
        let stream = unsafe { &*streams[index] };
        // SAFETY: each stream has codec parameters.
        let parameters = unsafe { &*stream.codecpar };
        self.time_base = if stream.time_base.den > 0 && stream.time_base.num > 0 { stream.time_base } else { ffi::NS };
        let extradata = if parameters.extradata.is_null() || parameters.extradata_size <= 0 {
            Vec::new()
        } else {
            // SAFETY: FFmpeg says how many bytes there are.
            unsafe { std::slice::from_raw_parts(parameters.extradata, parameters.extradata_size as usize) }.to_vec()
        };
        // SAFETY: open context and its own stream; names are static texts.
        let (fps, codec, container) = unsafe {
            let fps = sys::av_guess_frame_rate(self.context, streams[index], null_mut());
            let codec = ffi::static_text(sys::avcodec_get_name(parameters.codec_id));
            (ffi::ratio(fps), codec, ffi::static_text((*(*self.context).iformat).name))
        };
        // SAFETY: open context.
        let whole_ns = unsafe { (*self.context).duration };
        let start_ns = to_ns(stream.start_time, self.time_base).unwrap_or(0);
        self.info = StreamInfo {
            codec,
            extradata,
            width: u32::try_from(parameters.width).unwrap_or(0),
            height: u32::try_from(parameters.height).unwrap_or(0),
            rotation_deg: rotation(streams[index]),
            fps: if fps.is_finite() && fps > 0.0 { fps } else { 0.0 },
            packets: u64::try_from(stream.nb_frames).unwrap_or(0),
            duration_ns: to_ns(stream.duration, self.time_base)
                .or_else(|| to_ns(whole_ns, sys::AVRational { num: 1, den: sys::AV_TIME_BASE as c_int }))
                .filter(|ns| *ns > 0),
            start_ns,
            container,
        };
        Ok(())
    }
}

impl Drop for Demuxer {
    fn drop(&mut self) {
        // SAFETY: `context` was opened in `open`, is closed here once and set to null by FFmpeg.
        unsafe { sys::avformat_close_input(&mut self.context) };
    }
}

fn side_data(packet: &sys::AVPacket, kind: sys::AVPacketSideDataType) -> Option<Vec<u8>> {
    let mut size = 0;
    // SAFETY: the packet is valid; FFmpeg returns null or `size` bytes that live as long as the packet.
    unsafe {
        let bytes = sys::av_packet_get_side_data(packet, kind, &mut size);
        if bytes.is_null() { None } else { Some(std::slice::from_raw_parts(bytes, size).to_vec()) }
    }
}

fn kind(stream: *const sys::AVStream) -> String {
    // SAFETY: a stream of an open context has parameters; the name is a static text or null.
    unsafe { ffi::static_text(sys::av_get_media_type_string((*(*stream).codecpar).codec_type)) }
}

/// Clockwise degrees from the display matrix, rounded to quarter turns.
fn rotation(stream: *const sys::AVStream) -> u32 {
    // SAFETY: a stream of an open context; a display matrix has nine 32-bit numbers, which `size` confirms.
    let degrees = unsafe {
        let mut size = 0;
        let matrix = sys::av_stream_get_side_data(stream, sys::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX, &mut size);
        if matrix.is_null() || size < 36 { 0.0 } else { sys::av_display_rotation_get(matrix.cast()) }
    };
    if degrees.is_nan() { 0 } else { (((-degrees / 90.0).round() as i64).rem_euclid(4) * 90) as u32 }
}

/// The kind of an address, `None` for a path.
fn scheme(source: &str) -> Result<Option<&'static str>, MediaError> {
    let Some((found, _)) = source.split_once("://") else { return Ok(None) };
    let known = SCHEMES.iter().find(|known| found.eq_ignore_ascii_case(known));
    known.map(|known| Some(*known)).ok_or_else(|| MediaError::Open {
        source_name: redact(source),
        why: format!("addresses of kind `{found}` are not allowed"),
        hint: format!("a source is a file, a device (`v4l2:/dev/video0`) or one of {}", SCHEMES.map(|s| format!("`{s}://`")).join(", ")),
    })
}

/// Faults of plain files that FFmpeg words badly.
fn check_file(source: &str) -> Result<(), MediaError> {
    if source.contains("://") || source.starts_with("pipe:") {
        return Ok(());
    }
    let fail = |why: &str, hint: &str| Err(MediaError::Open { source_name: source.to_owned(), why: why.to_owned(), hint: hint.to_owned() });
    match std::fs::metadata(source) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fail("no such file", "check the path; in a graph, relative paths start at the folder of the graph file")
        }
        Err(e) => fail(&e.to_string().to_lowercase(), "check the permissions of the file and its folders"),
        Ok(m) if m.is_dir() => fail("it is a folder", "name a video file in it"),
        Ok(m) if m.is_file() && m.len() == 0 => fail("the file is empty (0 bytes)", "the recording failed; copy or record it again"),
        Ok(_) => Ok(()),
    }
}

fn open_error(source: &str, code: c_int) -> MediaError {
    if code == sys::AVERROR_HTTP_UNAUTHORIZED || code == sys::AVERROR_HTTP_FORBIDDEN {
        return MediaError::Refused { source_name: redact(source) };
    }
    if let Some(path) = device_path(source) {
        let hint = device_hint(path, code == sys::AVERROR(sys::EACCES));
        return MediaError::Open { source_name: source.to_owned(), why: describe(code), hint };
    }
    let hint = if code == sys::AVERROR_INVALIDDATA {
        "not a video that FFmpeg knows, or damaged at its start; an mp4 whose recording was cut off has no index: `ffmpeg -v error -i FILE -f null -` tells more"
    } else if code == sys::AVERROR(sys::EACCES) {
        "check the permissions of the file"
    } else if source.contains("://") {
        "check address, port and network: `ffprobe ADDRESS` should show the stream"
    } else {
        "`ffprobe FILE` tells more"
    };
    MediaError::Open { source_name: redact(source), why: redact_in(&describe(code), source), hint: hint.to_owned() }
}
