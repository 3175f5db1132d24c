//! From a picture file to plates.

use crate::failure::Failure;
use gantry_contract::{Contract, ParamSet};
use gantry_images::{Arrangement, FrameScaler, Letterbox, Rgb, Yuv, gray_from_rgb};
use gantry_inference::{Detector, ModelError, Options, Picture, Reader, Selection};
use gantry_media::FrameReader;
use gantry_messages::{BoxXyxy, CropText, FrameRow, Kind, VariantRead};
use gantry_node::Fault;
use gantry_node_crop::{cutting::Cutting, geometry::Sizes};
use gantry_node_vote::{Read, consensus};
use gantry_operators::{Instance, PictureMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// What to load.
pub struct Models<'a> {
    /// Reader of plates.
    pub reader: PathBuf,
    /// Detector; `None`: every picture is a plate.
    pub detector: Option<PathBuf>,
    /// Operators, separated by commas; `None`: the default of `enhance`.
    pub operators: Option<&'a str>,
    /// Folders of the operators, separated by colons.
    pub operator_path: Option<&'a str>,
    /// Score from which a detection is taken for a plate.
    pub min_plate_confidence: f32,
}

/// What was seen in one picture.
#[derive(Serialize)]
pub struct Seen {
    /// Width in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// Score of the best candidate, if the detector found some and none reached the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_rejected: Option<f32>,
    /// Left to right.
    pub plates: Vec<Plate>,
}

/// A plate and what was read of it.
#[derive(Serialize)]
pub struct Plate {
    /// Where the detector found it; `None`: the whole picture.
    pub found: Option<Found>,
    /// Sharpness and contrast, `0.0..=1.0`.
    pub legibility: f32,
    /// The crop, u8 `[H, W, 3]` RGB.
    #[serde(skip)]
    pub colour: Pixels,
    /// File of the crop in colour, if it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// `original`, then the operators.
    pub variants: Vec<Variant>,
    /// `None`: no text of a plate's length.
    pub vote: Option<Vote>,
}

/// A detection.
#[derive(Serialize)]
pub struct Found {
    /// Box in pixels of the picture.
    pub bbox_xyxy: [f32; 4],
    /// Score.
    pub confidence: f32,
}

/// One picture of the plate and what the reader saw in it.
#[derive(Serialize)]
pub struct Variant {
    /// `original`, or the operator.
    pub variant: String,
    /// Most likely text.
    pub text: String,
    /// Geometric mean over its characters.
    pub confidence: f32,
    /// Candidates of every character, most likely first.
    pub characters: Vec<Vec<(char, f32)>>,
    /// u8 `[H, W]`, grey.
    #[serde(skip)]
    pub grey: Pixels,
    /// File of the picture, if it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// The vote over all variants.
#[derive(Serialize)]
pub struct Vote {
    /// The text.
    pub plate: String,
    /// `0.0..=1.0`. All variants show one frame: it stays below what a video of the same plate reaches.
    pub confidence: f32,
    /// Layout that fits, empty if none.
    pub syntax: String,
}

/// Samples without gaps.
#[derive(Default)]
pub struct Pixels {
    /// Width in px.
    pub width: usize,
    /// Height in px.
    pub height: usize,
    /// Rows from the top.
    pub bytes: Vec<u8>,
}

struct Finder {
    detector: Detector,
    kinds: Vec<Option<Kind>>,
    selection: Selection,
    arrangement: Arrangement,
    scaler: FrameScaler,
    input: Vec<u8>,
}

/// Models, operators and scratch.
pub struct Engine {
    finder: Option<Finder>,
    reader: Reader,
    top_k: usize,
    operators: Vec<Instance>,
    names: Vec<String>,
    min_plate_confidence: f32,
    crop: gantry_node_crop::Params,
    cutting: Cutting,
    options: gantry_node_vote::Options,
}

impl Engine {
    /// Loads everything.
    pub fn open(models: &Models<'_>) -> Result<Self, Failure> {
        let finder = models.detector.as_deref().map(Finder::open).transpose()?;
        let reader = Reader::open(&models.reader, &Options::default()).map_err(refused_model)?;
        let recognize = ParamSet::defaults(&gantry_node_recognize::CONTRACT);
        let enhance = match models.operators {
            Some(names) => ParamSet::from_env(&gantry_node_enhance::CONTRACT, [("OPERATORS", names)])
                .map_err(|faults| Failure::refused(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?,
            None => ParamSet::defaults(&gantry_node_enhance::CONTRACT),
        };
        let operators: Vec<String> = enhance.get("operators").and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default();
        let folders = gantry_node_enhance::operators::folders(models.operator_path).map_err(refused)?;
        let loaded = gantry_node_enhance::operators::load(&operators, &folders, "").map_err(refused)?;
        let vote: gantry_node_vote::Params = defaults(&gantry_node_vote::CONTRACT)?;
        let rules = vote.rules(&std::sync::Arc::new(gantry_node_vote::Syntaxes::built_in()), false).map_err(refused)?;
        Ok(Self {
            finder,
            reader,
            top_k: recognize.get("top_k").and_then(serde_json::Value::as_u64).unwrap_or(3) as usize,
            operators: loaded,
            names: std::iter::once("original".to_owned()).chain(operators).collect(),
            min_plate_confidence: models.min_plate_confidence,
            crop: defaults(&gantry_node_crop::CONTRACT)?,
            cutting: Cutting::default(),
            options: rules.options.clone(),
        })
    }

    /// Reads the plates of one picture.
    pub fn read(&mut self, image: &Path) -> Result<Seen, Failure> {
        let shown = image.display();
        let hint = "name pictures that FFmpeg reads: PNG, JPEG";
        let no_picture = |e: gantry_media::MediaError| Failure::failed(e.to_string()).hint(hint);
        let frame = FrameReader::open(&image.to_string_lossy()).and_then(|mut r| r.next_frame()).map_err(no_picture)?;
        let Some(frame) = frame else {
            return Err(Failure::failed(format!("{shown}: there is no picture in it")).hint(hint));
        };
        let in_image = |fault: Fault| failed(fault.context(shown.to_string()));
        let layout = frame.layout.as_image().ok_or_else(|| Failure::failed(format!("{shown}: not a picture")))?;
        let yuv = Yuv::of(layout, frame.slot.bytes()).map_err(|e| in_image(e.into()))?;
        let found = match &mut self.finder {
            Some(finder) => finder.find(&yuv)?,
            None => Vec::new(),
        };
        let mut plates = Vec::new();
        let least = self.min_plate_confidence;
        for (bbox, confidence) in found.iter().filter(|(_, c)| *c >= least) {
            let sizes = self.crop.sizes();
            let found = Found { bbox_xyxy: [bbox.x0, bbox.y0, bbox.x1, bbox.y1], confidence: *confidence };
            plates.push(self.plate(&yuv, bbox, &sizes, Some(found)).map_err(in_image)?);
        }
        let mut best_rejected = None;
        if plates.is_empty() {
            best_rejected = found.iter().map(|(_, c)| *c).reduce(f32::max);
            // The picture is the plate already: nothing lies around it that a margin could show.
            let all = BoxXyxy::new(0.0, 0.0, yuv.width as f32, yuv.height as f32);
            let sizes = Sizes { margin: 0.0, ..self.crop.sizes() };
            plates.push(self.plate(&yuv, &all, &sizes, None).map_err(in_image)?);
        }
        Ok(Seen { width: layout.width, height: layout.height, best_rejected, plates })
    }

    /// Cuts, enhances, reads and votes.
    fn plate(&mut self, frame: &Yuv<'_>, bbox: &BoxXyxy, sizes: &Sizes, found: Option<Found>) -> Result<Plate, Fault> {
        let plan = self.cutting.plan(frame, bbox, sizes, self.crop.rectify);
        let (width, height) = (plan.width, plan.height);
        let mut colour = vec![0; width * height * 3];
        let legibility = self.cutting.cut(frame, &plan, &mut colour, width * 3)?;
        let mut original = vec![0; width * height];
        gray_from_rgb(&Rgb::new(&colour, width, height, width * 3)?, &mut original);
        let mut greys = vec![original];
        for operator in &mut self.operators {
            let mut variant = vec![0; width * height];
            let input = gantry_operators::Picture::new(&greys[0], width, height, width)?;
            operator.run(&input, &mut PictureMut::new(&mut variant, width, height, width)?)?;
            greys.push(variant);
        }
        let pictures = greys.iter().map(|g| Picture::gray(g, width, height, width)).collect::<Result<Vec<_>, _>>()?;
        let reads = self.reader.read(&pictures, self.top_k)?;
        let reads: Vec<VariantRead> = self
            .names
            .iter()
            .zip(reads)
            .map(|(name, r)| VariantRead { variant: name.clone(), text: r.text, confidence: r.confidence, characters: r.characters })
            .collect();
        let plate_confidence = found.as_ref().map_or(1.0, |f| f.confidence);
        let text = CropText {
            track_id: 1,
            bbox_in_source: *bbox,
            plate_confidence,
            legibility,
            reads,
            evidence: Vec::new(),
            overview: Vec::new(),
        };
        let voters: Vec<Read> = text.reads.iter().map(|r| Read::of(0, &text, r)).collect();
        let vote = consensus(&voters, &self.options).map(|c| Vote { plate: c.text, confidence: c.confidence, syntax: c.syntax });
        let variants = text
            .reads
            .iter()
            .zip(greys)
            .map(|(read, bytes)| Variant {
                variant: read.variant.clone(),
                text: read.text.clone(),
                confidence: read.confidence,
                characters: read.characters.iter().map(|c| c.candidates.chars().zip(c.probabilities.iter().copied()).collect()).collect(),
                grey: Pixels { width, height, bytes },
                file: None,
            })
            .collect();
        Ok(Plate { found, legibility, colour: Pixels { width, height, bytes: colour }, file: None, variants, vote })
    }
}

impl Finder {
    fn open(path: &Path) -> Result<Self, Failure> {
        let detector = Detector::open(path, &Options::default()).map_err(refused_model)?;
        let params: gantry_node_detect::Params = defaults(&gantry_node_detect::CONTRACT)?;
        let kinds = params.kinds(detector.classes());
        if !kinds.contains(&Some(Kind::Plate)) {
            let classes = detector.classes().join(", ");
            return Err(Failure::refused(format!("model {}: of its classes {classes} none is a plate", path.display()))
                .hint("name a detector of plates with `--detector`, or read plates alone with `--plate`"));
        }
        let arrangement = gantry_node_detect::arrangement(&detector).ok_or_else(|| {
            let (element, _) = detector.picture();
            Failure::refused(format!("model {}: takes {element}, pictures are made as u8 or f32", path.display()))
                .hint("export the detector with a u8 or f32 input")
        })?;
        let selection = params.selection(&kinds);
        Ok(Self { detector, kinds, selection, arrangement, scaler: FrameScaler::default(), input: Vec::new() })
    }

    /// Plates with their scores, left to right.
    fn find(&mut self, frame: &Yuv<'_>) -> Result<Vec<(BoxXyxy, f32)>, Failure> {
        let image = self.detector.info().image;
        let letterbox = Letterbox::fit(frame.width, frame.height, image.width, image.height);
        self.input.resize(self.arrangement.byte_len(image.width, image.height), 0);
        self.scaler.run(frame, &letterbox, self.arrangement, &mut self.input);
        let found = self.detector.detect(&self.input, &self.selection).map_err(refused_model)?.to_vec();
        let t = letterbox.source_from_input();
        let row = FrameRow {
            source_width: frame.width as u32,
            source_height: frame.height as u32,
            scale_x: t.scale_x,
            scale_y: t.scale_y,
            offset_x: t.offset_x,
            offset_y: t.offset_y,
            ..FrameRow::default()
        };
        let all = gantry_node_detect::detections(&found, &row, self.detector.classes(), &self.kinds);
        let mut plates: Vec<(BoxXyxy, f32)> =
            all.into_iter().filter(|d| d.kind == Kind::Plate as u8).map(|d| (d.bbox_in_source, d.confidence)).collect();
        plates.sort_by(|a, b| a.0.x0.total_cmp(&b.0.x0).then(a.0.y0.total_cmp(&b.0.y0)));
        Ok(plates)
    }
}

/// Parameters of a node as its contract has them.
fn defaults<P: DeserializeOwned>(contract: &Contract) -> Result<P, Failure> {
    ParamSet::defaults(contract).to().map_err(|e| Failure::failed(format!("node `{}`: {e}", contract.name)))
}

fn refused_model(error: ModelError) -> Failure {
    Failure::refused(error.to_string()).hint(error.hint())
}

fn refused(fault: Fault) -> Failure {
    Failure::refused(fault.message()).maybe_hint(fault.hint_text())
}

fn failed(fault: Fault) -> Failure {
    Failure::failed(fault.message()).maybe_hint(fault.hint_text())
}
