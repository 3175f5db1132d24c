//! Cuts plates from full-size frames.
//!
//! For each frame it waits for the frame's tracks. A track's plate is read when the gate lets it through (`min_track_frames`,
//! `min_plate_confidence`, seen in this very frame), at most every `read_every_frames`-th frame, and after
//! `max_crops_per_track` only when it is taller than ever before. The plate is cut with a margin; below `min_height_px` it is
//! scaled up to `target_height_px` with Catmull-Rom; a clear slope of its lines is levelled. A crop that is the most legible of its
//! track so far, or of a plate that has become much wider, travels along as a JPEG: the evidence. A frame without a plate to
//! read is given back without being looked at.
//!
//! With `MEMORY: cuda` all of that is done on the card, with the same bytes: the plates of a frame are cut in one batch, crops stay there for `enhance`, and
//! only scores and the evidence's pixels come to the host (`results` of `copies` in the statistics). A frame in host memory, of a camera that `decode`
//! decodes in software, is cut on the CPU, and its crops are uploaded.
//!
//! Decisions depend on frame numbers and tracks alone: the same tracks give the same crops, whatever the timing. In live sites, `vote` may also say which
//! tracks' texts are sure (`decided`, an edge against the stream): those are read every `decided_every_frames`-th frame, and when they are taller than ever.
//!
//! Here frames and tracks are together, so this is where `preview` gets them from: frames that it asks for (`wanted`, against the stream, too) are passed on as
//! handles, on `views`, and their tracks on `view_tracks`. While it asks for nothing, nothing is sent.
//!
//! ```yaml
//! - id: crop
//!   path: bin/crop
//!   inputs:
//!     tick: dora/timer/millis/500
//!     tracks: { source: track/tracks, queue_size: 256, queue_policy: backpressure }
//!     frames_cam0: { source: decode_cam0/frames, queue_size: 256, queue_policy: backpressure }
//!   outputs: [crops]
//!   env: { MIN_TRACK_FRAMES: 5, MIN_PLATE_CONFIDENCE: 0.75 }
//! ```

mod card;
mod contract;
pub mod cutting;
pub mod gate;
pub mod geometry;
pub mod pairing;
mod views;

pub use contract::CONTRACT;

use card::OnCard;
use cutting::{Cutting, Plan};
use gantry_frames::{
    AcquireError, Acquired, Client, DrainError, FrameMeta, Handle, Layout, Loaned, Memory, Mode, Pool, SourceName, StopFlag,
};
use gantry_images::{Transform, Yuv};
use gantry_kernels::DeviceFrame;
use gantry_messages::{BoxXyxy, CropsRow, DecidedRow, FrameRow, TracksRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gate::{Gate, Limits, Shown};
use geometry::{MAX_ASPECT, Sizes};
use pairing::{Next, Pairing};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Instant;
use views::Views;

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub min_track_frames: u32,
    pub min_plate_confidence: f32,
    pub read_every_frames: u64,
    pub max_crops_per_track: u32,
    pub decided_every_frames: u64,
    pub margin: f64,
    pub min_height_px: usize,
    pub target_height_px: usize,
    pub max_height_px: usize,
    pub rectify: bool,
    pub jpeg_quality: u8,
    pub overview_px: usize,
    pub memory: String,
    pub pool_slots: u32,
}

impl Params {
    /// Limits of the gate.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            min_track_frames: self.min_track_frames,
            min_plate_confidence: self.min_plate_confidence,
            read_every_frames: self.read_every_frames,
            max_crops_per_track: self.max_crops_per_track,
            decided_every_frames: self.decided_every_frames,
        }
    }

    /// Sizes of the crops.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes {
            margin: self.margin,
            min_height_px: self.min_height_px,
            target_height_px: self.target_height_px,
            max_height_px: self.max_height_px,
        }
    }
}

/// The node.
pub struct Crop {
    params: Params,
    pool: Pool,
    client: Client,
    mode: Mode,
    stop: StopFlag,
    cameras: BTreeMap<String, Camera>,
    cutting: Cutting,
    on_card: Option<OnCard>,
    views: Views,
    rows: Vec<CropsRow>,
    used: Vec<Handle>,
}

#[derive(Default)]
struct Camera {
    pairing: Pairing,
    gate: Gate,
}

/// Live: frames of a camera that wait for their tracks; their slots have been written again long before.
const LIVE_FRAMES: usize = 256;

/// The node was told to stop while it waited for a slot.
struct Stopped;

impl Stage for Crop {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        check(&params)?;
        let largest = Layout::rgb8((params.max_height_px * MAX_ASPECT) as u32, params.max_height_px as u32)?;
        let memory = if params.memory == "cuda" { context.memory_of_card()? } else { Memory::Host };
        let on_card = if params.memory == "cuda" { Some(OnCard::open(&memory)?) } else { None };
        Ok(Self {
            pool: match &on_card {
                Some(_) => context.pool_in("crops", params.pool_slots, largest.byte_len(), 0, &memory)?,
                None => context.pool("crops", params.pool_slots, largest.byte_len())?,
            },
            client: context.client_on(1, &memory)?,
            on_card,
            mode: context.mode,
            stop: context.stop.clone(),
            cameras: BTreeMap::new(),
            cutting: Cutting::default(),
            views: Views::new(context)?,
            rows: Vec::new(),
            used: Vec::new(),
            params,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if input.port == "decided" {
            let rows = input.rows::<DecidedRow>()?;
            out.count("tracks_decided", rows.iter().filter(|row| row.sure).count() as u64);
            for row in rows {
                if let Some(camera) = self.cameras.get_mut(&row.source) {
                    camera.gate.decide(row.track_id, row.sure);
                }
            }
            return Ok(());
        }
        if input.port == "wanted" {
            self.views.ask(input.rows()?, Instant::now());
            return Ok(());
        }
        // Cameras of this message, in its order: a message rarely has more than one or two.
        let mut touched: Vec<String> = Vec::new();
        let mut touch = |source: &str| {
            if !touched.iter().any(|t| t == source) {
                touched.push(source.to_owned());
            }
        };
        if input.port == "frames" {
            for row in input.rows::<FrameRow>()? {
                touch(&row.source);
                if !row.end {
                    self.views.frame(&row);
                }
                let pairing = &mut self.cameras.entry(row.source.clone()).or_default().pairing;
                pairing.frame(row);
                if self.mode == Mode::Live
                    && let Some(handle) = pairing.take_surplus(LIVE_FRAMES)
                {
                    out.count("tracks_missing", 1);
                    self.used.push(handle);
                }
            }
        } else {
            for row in input.rows::<TracksRow>()? {
                touch(&row.source);
                self.cameras.entry(row.source.clone()).or_default().pairing.tracks(row);
            }
        }
        for source in touched {
            self.advance(&source, out)?;
        }
        self.flush(out)
    }

    fn on_tick(&mut self, _out: &mut Outputs) -> Result<(), Fault> {
        self.views.forget(Instant::now());
        Ok(())
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        check(&params)?;
        self.params = params;
        Ok(())
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        self.flush(out)?;
        match self.pool.drain(&self.stop, None) {
            Ok(()) | Err(DrainError::Stopped { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

fn check(p: &Params) -> Result<(), Fault> {
    if p.target_height_px > p.max_height_px {
        return Err(Fault::new(format!("`target_height_px` {} is above `max_height_px` {}", p.target_height_px, p.max_height_px))
            .hint("raise `MAX_HEIGHT_PX` or lower `TARGET_HEIGHT_PX`"));
    }
    Ok(())
}

impl Crop {
    fn advance(&mut self, source: &str, out: &mut Outputs) -> Result<(), Fault> {
        while let Some(next) = self.cameras.get_mut(source).and_then(|c| c.pairing.take_next()) {
            match next {
                Next::Both(frame, tracks) => {
                    self.note(source, &tracks);
                    self.views.both(&frame, &tracks);
                    let place = || format!("camera `{source}`, frame {}", tracks.frame);
                    match self.read(&frame, &tracks, out).map_err(|fault| fault.context(place()))? {
                        Ok(row) => self.rows.push(row),
                        Err(Stopped) => return Ok(()),
                    }
                    self.used.push(Handle::from_bytes(frame.handle));
                    self.forget(source, &tracks.ended);
                }
                Next::NoFrame(tracks) => {
                    self.note(source, &tracks);
                    out.count("frames_missing", 1);
                    self.rows.push(empty(&tracks));
                    self.forget(source, &tracks.ended);
                }
                Next::NoTracks(handle) => {
                    out.count("tracks_missing", 1);
                    self.used.push(handle);
                }
                Next::End(tracks) => {
                    self.views.end(source, tracks.frame);
                    self.rows.push(empty(&tracks));
                    self.cameras.remove(source);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, source: &str, tracks: &TracksRow) {
        if let Some(camera) = self.cameras.get_mut(source) {
            camera.gate.at(tracks.frame, &tracks.tracks);
        }
    }

    fn forget(&mut self, source: &str, ended: &[u64]) {
        if let Some(camera) = self.cameras.get_mut(source) {
            ended.iter().for_each(|id| camera.gate.end(*id));
        }
    }

    fn read(&mut self, frame: &FrameRow, tracks: &TracksRow, out: &mut Outputs) -> Result<Result<CropsRow, Stopped>, Fault> {
        let (limits, quality) = (self.params.limits(), self.params.jpeg_quality);
        let mut row = empty(tracks);
        let gate = &mut self.cameras.entry(tracks.source.clone()).or_default().gate;
        let mut wanted: Vec<_> = tracks.tracks.iter().filter_map(|t| Some((t, gate.admit(&limits, tracks.frame, t)?))).collect();
        // Slots of one frame are all held until its row is sent: half the pool, so that another half can be on its way.
        let most = (self.params.pool_slots / 2).max(1) as usize;
        if wanted.len() > most {
            out.count("crops_over_pool", (wanted.len() - most) as u64);
            wanted.truncate(most);
        }
        if wanted.is_empty() {
            return Ok(Ok(row));
        }
        wanted.sort_by_key(|(track, _)| track.track_id);
        let picture = match self.client.acquire(&Handle::from_bytes(frame.handle)) {
            Ok(picture) => picture,
            Err(AcquireError::Stale { .. }) => {
                out.count("frames_stale", 1);
                return Ok(Ok(row));
            }
            Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => {
                out.count("frames_stale", 1);
                return Ok(Ok(row));
            }
            Err(e) => return Err(e.into()),
        };
        let source_from_frame =
            Transform { scale_x: frame.scale_x, scale_y: frame.scale_y, offset_x: frame.offset_x, offset_y: frame.offset_y };
        let meta = FrameMeta {
            source: SourceName::new(&tracks.source)?,
            frame: tracks.frame,
            pts_ns: tracks.pts_ns,
            captured_ns: tracks.captured_ns,
            ..FrameMeta::default()
        };
        let in_frame = |plate: &BoxXyxy| {
            let ((x0, y0), (x1, y1)) = (source_from_frame.invert(plate.x0, plate.y0), source_from_frame.invert(plate.x1, plate.y1));
            BoxXyxy::new(x0, y0, x1, y1)
        };
        let plates: Vec<BoxXyxy> = wanted.iter().map(|(_, plate)| in_frame(plate)).collect();
        let mut slots = Vec::with_capacity(plates.len());
        for _ in &plates {
            let Some(slot) = self.slot(out)? else { return Ok(Err(Stopped)) };
            slots.push(slot);
        }
        let cuts = self.cut(&picture, &plates, &mut slots)?;
        let gate = &mut self.cameras.entry(tracks.source.clone()).or_default().gate;
        let with_overviews = self.params.overview_px > 0;
        let shown: Vec<Shown> = wanted
            .iter()
            .zip(&cuts)
            .map(|((track, plate), (_, legibility))| gate.shown(track.track_id, *legibility, plate.width(), with_overviews))
            .collect();
        // One for all plates of the frame.
        let overview = if shown.contains(&Shown::CropAndFrame) { self.overview(&picture)? } else { Vec::new() };
        out.count("overviews", u64::from(!overview.is_empty()));
        match &self.on_card {
            Some(card) => card.give_back(picture)?,
            None => drop(picture),
        }
        for ((((track, plate), mut slot), (plan, legibility)), shown) in wanted.into_iter().zip(slots).zip(cuts).zip(shown) {
            let evidence = if shown != Shown::Nothing {
                let stride = plan.stride()?;
                let pixels: &[u8] = match &mut self.on_card {
                    Some(card) => card.fetch(&plan, &mut slot)?,
                    None => slot.bytes_mut(),
                };
                self.cutting.evidence(&plan, pixels, stride, quality)?
            } else {
                Vec::new()
            };
            let filled = match &self.on_card {
                Some(card) => card.fill(slot, plan.layout()?)?,
                None => slot.fill(plan.layout()?)?,
            };
            let published = filled.publish(&meta);
            row.crops.push(gantry_messages::Crop {
                track_id: track.track_id,
                bbox_in_source: plate,
                plate_confidence: track.plate_confidence,
                legibility,
                width: plan.width as u32,
                height: plan.height as u32,
                variants: vec!["original".to_owned()],
                evidence,
                overview: if shown == Shown::CropAndFrame { overview.clone() } else { Vec::new() },
                handle: *published.handle.as_bytes(),
            });
        }
        out.count("crops", row.crops.len() as u64);
        Ok(Ok(row))
    }

    /// JPEG of a whole frame as wide as was asked for, and never wider than it is; empty where none is wanted.
    fn overview(&mut self, picture: &Acquired) -> Result<Vec<u8>, Fault> {
        let Some(layout) = picture.layout().as_image().filter(|_| self.params.overview_px > 0) else { return Ok(Vec::new()) };
        let plan = Plan::overview(layout, self.params.overview_px);
        match (&mut self.on_card, picture.device()) {
            (Some(card), Some(pixels)) => {
                let small = card.overview(DeviceFrame { layout, pixels }, &plan)?;
                self.cutting.evidence(&plan, small, plan.stride()?, self.params.jpeg_quality)
            }
            _ => self.cutting.overview(&Yuv::of(layout, picture.bytes())?, &plan, self.params.jpeg_quality),
        }
    }

    /// Cuts each plate of a frame, in its pixels, into the slot of the same index; with how legible it is.
    fn cut(&mut self, picture: &Acquired, plates: &[BoxXyxy], slots: &mut [Loaned]) -> Result<Vec<(Plan, f32)>, Fault> {
        let (sizes, rectify) = (self.params.sizes(), self.params.rectify);
        let layout = picture
            .layout()
            .as_image()
            .ok_or_else(|| Fault::new("the frame is a tensor").hint("connect the output `frames` of `decode`"))?;
        if let (Some(card), Some(pixels)) = (&mut self.on_card, picture.device()) {
            return card.cut(DeviceFrame { layout, pixels }, plates, &sizes, rectify, slots);
        }
        let yuv = Yuv::of(layout, picture.bytes())?;
        let mut cuts = Vec::with_capacity(plates.len());
        for (plate, slot) in plates.iter().zip(slots) {
            let plan = self.cutting.plan(&yuv, plate, &sizes, rectify);
            let legibility = match &mut self.on_card {
                Some(card) => card.cut_on_host(&mut self.cutting, &yuv, &plan, slot)?,
                None => self.cutting.cut(&yuv, &plan, slot.bytes_mut(), plan.stride()?)?,
            };
            cuts.push((plan, legibility));
        }
        Ok(cuts)
    }

    /// A slot; what is finished goes out before a wait, the reader may need it to free one.
    fn slot(&mut self, out: &mut Outputs) -> Result<Option<Loaned>, Fault> {
        if let Some(slot) = self.pool.try_begin_write()? {
            return Ok(Some(slot));
        }
        self.flush(out)?;
        match self.pool.begin_write(&self.stop) {
            Ok(slot) => Ok(Some(slot)),
            Err(_) if self.stop.is_set() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Sends what is finished, then gives the frames it was made from back.
    fn flush(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        out.send("crops", &self.rows)?;
        self.rows.clear();
        self.views.send(out)?;
        for handle in self.used.drain(..) {
            match self.client.ack(&handle) {
                Ok(()) => {}
                // The producer was started again: nobody waits for this.
                Err(AcquireError::Closed { .. }) if self.mode == Mode::Live => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

fn empty(tracks: &TracksRow) -> CropsRow {
    CropsRow {
        source: tracks.source.clone(),
        frame: tracks.frame,
        end: tracks.end,
        pts_ns: tracks.pts_ns,
        captured_ns: tracks.captured_ns,
        crops: Vec::new(),
    }
}
