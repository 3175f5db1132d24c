//! The straight-line program: one loop over the frames of a clip with the libraries that the nodes are made of. No graph, no
//! messages, no pools of shared memory.

use crate::clock::{Laps, STAGES};
use crate::parameters::Parameters;
use gantry_images::{Arrangement, FrameScaler, Letterbox, Rgb, Yuv, gray_from_rgb};
use gantry_inference::{Detector, Device, Options, Reader, Selection};
use gantry_media::{DecoderOptions, FrameReader};
use gantry_messages::{BoxXyxy, CropText, DetectionsRow, FrameRow, Kind, Track, TracksRow, VariantRead};
use gantry_node::Fault;
use gantry_node_crop::cutting::Cutting;
use gantry_node_crop::gate::{Gate, Shown};
use gantry_node_detect::{Green, Stillness};
use gantry_node_enhance::Turns;
use gantry_node_store::Record;
use gantry_node_track::Tracker;
use gantry_node_vote::passes::Passes;
use gantry_operators::{Instance, Picture, PictureMut};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// What one clip gave.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Clip {
    /// Frames decoded.
    pub frames: u64,
    /// Crops that went through the gate.
    pub crops: u64,
    /// CPU seconds of the thread per stage, in the order of [`STAGES`].
    pub cpu_s: [f64; STAGES.len()],
    /// Readings as `store` writes them, but for the evidence.
    pub readings: Vec<Record>,
}

/// Reads `clip` to its end, or `most_frames` of it.
///
/// # Errors
/// What the nodes would end with.
pub fn read(clip: &Path, camera: &str, p: &Parameters, most_frames: u64) -> Result<Clip, Fault> {
    let mut laps = Laps::start();
    let mut line = Line::open(clip, camera, p)?;
    laps.lap(0);
    let mut done = Clip::default();
    while done.frames < most_frames && line.frame(&mut laps, &mut done)? {}
    line.finish(&mut laps, &mut done);
    done.cpu_s = laps.seconds;
    done.readings.sort_by(|a, b| a.first_seen_s.total_cmp(&b.first_seen_s).then(a.track_id.cmp(&b.track_id)));
    Ok(done)
}

/// Everything that a clip needs, opened once.
struct Line<'a> {
    p: &'a Parameters,
    camera: String,
    reader: FrameReader,
    scaler: FrameScaler,
    input: Vec<u8>,
    detector: Detector,
    kinds: Vec<Option<Kind>>,
    still: Stillness,
    selection: Selection,
    tracker: Box<dyn Tracker>,
    gate: Gate,
    cutting: Cutting,
    rgb: Vec<u8>,
    operators: Vec<Instance>,
    turns: Turns,
    grey: Vec<u8>,
    text: Reader,
    passes: Passes,
}

impl<'a> Line<'a> {
    fn open(clip: &Path, camera: &str, p: &'a Parameters) -> Result<Self, Fault> {
        let options = |device: &str, threads: usize| -> Result<Options, Fault> {
            Ok(Options { device: device.parse::<Device>()?, threads, ..Options::default() })
        };
        let detector = Detector::open(Path::new(&p.detect.model), &options(&p.detect.device, p.detect.threads)?)?;
        let kinds = p.detect.kinds(detector.classes());
        let e = &p.enhance;
        let folders = gantry_node_enhance::operators::folders(e.operator_path.as_deref())?;
        let operators = gantry_node_enhance::operators::load(&e.operators, &folders, e.options.as_deref().unwrap_or_default())?;
        let syntaxes = Arc::new(match &p.vote.syntaxes {
            Some(path) => gantry_node_vote::Syntaxes::open(path)?,
            None => gantry_node_vote::Syntaxes::built_in(),
        });
        let (width, height) = p.input;
        let green = Green::of([1, 3, height, width]).ok_or_else(|| Fault::new("the detector's input has no three planes"))?;
        Ok(Self {
            camera: camera.to_owned(),
            reader: FrameReader::open_with(&clip.to_string_lossy(), DecoderOptions { threads: 1, deinterlace: true })?,
            scaler: FrameScaler::default(),
            input: vec![0; Arrangement::PlanarU8.byte_len(width, height)],
            still: p.detect.stillness(green),
            selection: p.detect.selection(&kinds),
            detector,
            kinds,
            tracker: p.track.tracker(),
            gate: Gate::default(),
            cutting: Cutting::default(),
            rgb: Vec::new(),
            turns: p.enhance.turns(operators.len()),
            operators,
            grey: Vec::new(),
            text: Reader::open(Path::new(&p.recognize.model), &options(&p.recognize.device, p.recognize.threads)?)?,
            passes: Passes::new(camera, p.vote.rules(&syntaxes, false)?),
            p,
        })
    }

    /// One frame from packet to vote; `false` at the end.
    fn frame(&mut self, laps: &mut Laps, done: &mut Clip) -> Result<bool, Fault> {
        let Some(frame) = self.reader.next_frame()? else { return Ok(false) };
        laps.lap(1);
        let image = frame.layout.as_image().ok_or_else(|| Fault::new("the decoder gave a tensor"))?;
        let yuv = Yuv::of(image, frame.slot.bytes())?;
        let (width, height) = self.p.input;
        let letterbox = Letterbox::fit(yuv.width, yuv.height, width, height);
        self.scaler.run(&yuv, &letterbox, Arrangement::PlanarU8, &mut self.input);
        laps.lap(2);
        let t = letterbox.source_from_input();
        let row = FrameRow {
            source: self.camera.clone(),
            source_width: yuv.width as u32,
            source_height: yuv.height as u32,
            scale_x: t.scale_x,
            scale_y: t.scale_y,
            offset_x: t.offset_x,
            offset_y: t.offset_y,
            ..FrameRow::default()
        };
        let detections = match self.still.repeat(&row, gantry_node_detect::Levels::Input(&self.input)) {
            Some(found) => found.to_vec(),
            None => {
                let found = self.detector.detect(&self.input, &self.selection)?.to_vec();
                let detections = gantry_node_detect::detections(&found, &row, self.detector.classes(), &self.kinds);
                self.still.keep(&self.camera, &detections);
                detections
            }
        };
        laps.lap(3);
        let detections = DetectionsRow {
            source: self.camera.clone(),
            frame: frame.frame,
            end: false,
            pts_ns: frame.pts_ns,
            captured_ns: frame.pts_ns,
            source_width: yuv.width as u32,
            source_height: yuv.height as u32,
            detections,
        };
        let tracks = self.tracker.step(&detections);
        laps.lap(4);
        let limits = self.p.crop.limits();
        let mut wanted: Vec<(&Track, BoxXyxy)> =
            tracks.tracks.iter().filter_map(|t| Some((t, self.gate.admit(&limits, tracks.frame, t)?))).collect();
        wanted.sort_by_key(|(track, _)| track.track_id);
        let mut texts = Vec::with_capacity(wanted.len());
        for (track, plate) in wanted {
            texts.push(self.crop(&yuv, tracks.frame, track, &plate, laps)?);
        }
        tracks.ended.iter().for_each(|id| self.gate.end(*id));
        done.crops += texts.len() as u64;
        self.vote(&tracks, texts, done);
        laps.lap(8);
        done.frames += 1;
        drop(frame);
        laps.lap(1);
        Ok(true)
    }

    /// Cuts, enhances and reads one plate.
    fn crop(&mut self, frame: &Yuv<'_>, number: u64, track: &Track, plate: &BoxXyxy, laps: &mut Laps) -> Result<CropText, Fault> {
        let p = &self.p.crop;
        let plan = self.cutting.plan(frame, plate, &p.sizes(), p.rectify);
        let (w, h) = (plan.width, plan.height);
        self.rgb.resize(w * h * 3, 0);
        let legibility = self.cutting.cut(frame, &plan, &mut self.rgb, w * 3)?;
        let is_evidence = self.gate.shown(track.track_id, legibility, plate.width(), false) != Shown::Nothing;
        let evidence = if is_evidence { self.cutting.evidence(&plan, &self.rgb, w * 3, p.jpeg_quality)? } else { Vec::new() };
        laps.lap(5);
        let chosen = self.turns.next(&self.camera, number, track.track_id);
        self.grey.resize(w * h * (1 + chosen.len()), 0);
        let (original, variants) = self.grey.split_at_mut(w * h);
        gray_from_rgb(&Rgb::new(&self.rgb, w, h, w * 3)?, original);
        let input = Picture::new(original, w, h, w)?;
        for (&i, variant) in chosen.iter().zip(variants.chunks_exact_mut(w * h)) {
            self.operators[i].run(&input, &mut PictureMut::new(variant, w, h, w)?)?;
        }
        laps.lap(6);
        let pictures: Vec<_> =
            self.grey.chunks_exact(w * h).map(|g| gantry_inference::Picture::gray(g, w, h, w)).collect::<Result<_, _>>()?;
        let reads = self.text.read(&pictures, self.p.recognize.top_k)?;
        let least = self.p.recognize.min_confidence;
        let names = std::iter::once("original").chain(chosen.iter().map(|&i| self.p.enhance.operators[i].as_str()));
        let reads = names
            .zip(reads)
            .filter(|(_, r)| r.confidence >= least)
            .map(|(name, r)| VariantRead { variant: name.to_owned(), text: r.text, confidence: r.confidence, characters: r.characters })
            .collect();
        laps.lap(7);
        let (track_id, plate_confidence) = (track.track_id, track.plate_confidence);
        Ok(CropText { track_id, bbox_in_source: *plate, plate_confidence, legibility, reads, evidence, overview: Vec::new() })
    }

    fn vote(&mut self, tracks: &TracksRow, texts: Vec<CropText>, done: &mut Clip) {
        done.readings.extend(self.passes.step(tracks, texts).iter().map(|r| Record::of(r, None)));
    }

    /// The end of the clip, as the end row brings it to the nodes.
    fn finish(&mut self, laps: &mut Laps, done: &mut Clip) {
        let end = DetectionsRow { source: self.camera.clone(), frame: done.frames, end: true, ..DetectionsRow::default() };
        let tracks = self.tracker.finish(&end);
        laps.lap(4);
        if !tracks.ended.is_empty() || !tracks.tracks.is_empty() {
            self.vote(&tracks, Vec::new(), done);
        }
        done.readings.extend(self.passes.finish().iter().map(|r| Record::of(r, None)));
        laps.lap(8);
    }
}
