//! A file as a sequence of pictures on the heap, for tools outside the graph.
#![allow(unsafe_code)]

use crate::convert::{Converter, Side};
use crate::{Decoded, DecoderOptions, Demuxer, HeapAllocator, HeapSlot, MediaError, OpenOptions, SoftwareDecoder, StreamInfo};
use ffmpeg_sys_next as sys;
use gantry_frames::{Colour, Layout, PixelFormat};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::Arc;

/// Reads pictures one after the other, upright, in display order: the same ones that the node `decode` sends.
pub struct FrameReader {
    demuxer: Demuxer,
    decoder: SoftwareDecoder<HeapAllocator>,
    options: DecoderOptions,
    clock: PtsClock,
    ended: bool,
    frame: u64,
    ready: VecDeque<Decoded<HeapSlot>>,
}

/// One picture on the heap.
#[derive(Debug)]
pub struct OwnedFrame {
    /// Number from 0 in display order.
    pub frame: u64,
    /// Media time in ns.
    pub pts_ns: i64,
    /// I420 in `slot`.
    pub layout: Layout,
    /// The bytes.
    pub slot: HeapSlot,
}

/// Gives every frame a time: what the stream says where it rises, else the last one plus a frame.
#[derive(Clone, Debug)]
pub struct PtsClock {
    step_ns: i64,
    last: Option<i64>,
}

impl PtsClock {
    /// For a stream of `fps` (0: unknown, taken as 25).
    #[must_use]
    pub fn new(fps: f64) -> Self {
        let fps = if fps.is_finite() && fps > 0.1 { fps.min(1000.0) } else { 25.0 };
        Self { step_ns: (1e9 / fps).round() as i64, last: None }
    }

    /// The time of the next frame in display order, always above the one before.
    pub fn next(&mut self, pts_ns: Option<i64>) -> i64 {
        let next = match (pts_ns, self.last) {
            (Some(pts), None) => pts,
            (Some(pts), Some(last)) if pts > last => pts,
            (_, Some(last)) => last.saturating_add(self.step_ns),
            (None, None) => 0,
        };
        self.last = Some(next);
        next
    }
}

impl FrameReader {
    /// Opens `source` for reading from its start.
    ///
    /// # Errors
    /// As [`Demuxer::open`] and [`SoftwareDecoder::open`].
    pub fn open(source: &str) -> Result<Self, MediaError> {
        Self::open_with(source, DecoderOptions::default())
    }

    /// [`FrameReader::open`] with options for the decoder.
    ///
    /// # Errors
    /// As [`FrameReader::open`].
    pub fn open_with(source: &str, options: DecoderOptions) -> Result<Self, MediaError> {
        let demuxer = Demuxer::open(source, &OpenOptions::default())?;
        let decoder = SoftwareDecoder::open(demuxer.info(), options, Arc::new(HeapAllocator::default()))?;
        let clock = PtsClock::new(demuxer.info().fps);
        Ok(Self { demuxer, decoder, options, clock, ended: false, frame: 0, ready: VecDeque::new() })
    }

    /// What the container says.
    #[must_use]
    pub fn info(&self) -> &StreamInfo {
        self.demuxer.info()
    }

    /// What the decoder did.
    #[must_use]
    pub fn decoder(&self) -> &SoftwareDecoder<HeapAllocator> {
        &self.decoder
    }

    /// Damage found by the demuxer.
    #[must_use]
    pub fn demuxer(&self) -> &Demuxer {
        &self.demuxer
    }

    /// The next picture, `None` at the end. Damaged parts are skipped and counted.
    ///
    /// # Errors
    /// [`MediaError::Read`], no memory.
    pub fn next_frame(&mut self) -> Result<Option<OwnedFrame>, MediaError> {
        loop {
            if let Some(decoded) = self.ready.pop_front() {
                let frame = self.frame;
                self.frame += 1;
                let pts_ns = self.clock.next(decoded.pts_ns);
                return Ok(Some(OwnedFrame { frame, pts_ns, layout: decoded.layout, slot: decoded.slot }));
            }
            if self.ended {
                return Ok(None);
            }
            match self.demuxer.next_packet()? {
                Some(packet) => {
                    if packet.info_changed {
                        self.decoder.send_end()?;
                        self.collect()?;
                        self.decoder = SoftwareDecoder::open(self.demuxer.info(), self.options, Arc::new(HeapAllocator::default()))?;
                    }
                    self.decoder.send(&packet)?;
                }
                None => {
                    self.ended = true;
                    self.decoder.send_end()?;
                }
            }
            self.collect()?;
        }
    }

    fn collect(&mut self) -> Result<(), MediaError> {
        while let Some(decoded) = self.decoder.receive()? {
            self.ready.push_back(decoded);
        }
        Ok(())
    }
}

impl OwnedFrame {
    /// Width and height in px.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        match &self.layout {
            Layout::Image(image) => (image.width, image.height),
            Layout::Tensor(_) => (0, 0),
        }
    }

    /// The picture as u8 `[H, W, 3]` RGB, full range, rows without gaps, in `rgb` (resized to fit).
    ///
    /// # Errors
    /// libswscale refuses.
    pub fn to_rgb(&self, rgb: &mut Vec<u8>) -> Result<(), MediaError> {
        let Layout::Image(image) = &self.layout else { return Ok(()) };
        let (w, h) = (image.width as usize, image.height as usize);
        // libswscale may write past a row: it gets rows of 64-byte multiples, which are closed up after.
        let stride = (w * 3).next_multiple_of(64) + 64;
        rgb.resize(stride * h, 0);
        let bytes = self.slot.bytes();
        let mut from = Side { format: I420, colour: image.colour, data: [std::ptr::null_mut(); 4], strides: [0; 4] };
        for (i, plane) in image.planes().iter().enumerate() {
            from.data[i] = bytes[plane.offset as usize..].as_ptr().cast_mut();
            from.strides[i] = plane.stride as c_int;
        }
        let mut to = Side { format: RGB24, colour: Colour::RGB_FULL, data: [std::ptr::null_mut(); 4], strides: [0; 4] };
        to.data[0] = rgb.as_mut_ptr();
        to.strides[0] = stride as c_int;
        // SAFETY: the source planes lie in the slot as its layout says (checked when it was made), `rgb` has `h` padded rows.
        unsafe { Converter::default().convert(&from, &to, image.width, image.height)? };
        for y in 1..h {
            rgb.copy_within(y * stride..y * stride + w * 3, y * w * 3);
        }
        rgb.truncate(w * h * 3);
        Ok(())
    }

    /// Visible rows of plane `index` (0 Y, 1 U, 2 V), top to bottom.
    pub fn rows(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        let (bytes, (w, h)) = (self.slot.bytes(), self.size());
        let (width, rows) = PixelFormat::I420.plane_size(index, w, h);
        let plane = match &self.layout {
            Layout::Image(image) => image.planes().get(index).copied().unwrap_or_default(),
            Layout::Tensor(_) => gantry_frames::Plane::default(),
        };
        (0..rows as usize).map(move |y| &bytes[plane.offset as usize + y * plane.stride as usize..][..width as usize])
    }
}

pub(crate) const I420: c_int = sys::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
pub(crate) const RGB24: c_int = sys::AVPixelFormat::AV_PIX_FMT_RGB24 as c_int;

#[cfg(test)]
mod tests {
    use super::PtsClock;

    #[test]
    fn times_always_rise_and_gaps_are_filled_from_the_frame_rate() {
        let mut clock = PtsClock::new(50.0);
        let given = [Some(5), Some(20_000_005), None, Some(7), Some(100_000_000), None];
        let got: Vec<i64> = given.into_iter().map(|pts| clock.next(pts)).collect();
        assert_eq!(got, [5, 20_000_005, 40_000_005, 60_000_005, 100_000_000, 120_000_000]);
        assert_eq!(PtsClock::new(0.0).next(None), 0);
        let mut unknown = PtsClock::new(f64::NAN);
        unknown.next(None);
        assert_eq!(unknown.next(None), 40_000_000);
    }
}
