//! Finds vehicles and plates in the frames of many cameras.
//!
//! **Model.** One ONNX file, loaded by its path alone: a YOLO11 or v8 export (`[N, 4 + classes, anchors]`) or an end-to-end
//! export (`[N, max_det, 6]`). Class names come from its metadata `names`, the input size from its input, or from `imgsz` where
//! the export leaves the size open. The frames must have exactly that size and type: `resize` makes them, and a frame that
//! differs ends the node with both sizes.
//!
//! **Batches.** Frames that wait are taken together, up to `max_batch`, and answered in one message. On the CPU each frame is
//! still a run of its own, straight from the pool slot: batching gains nothing there, and no frame's result can depend on the
//! frames beside it; live, an answer goes out after 10 ms, because the first frame in it waits for the last. On a GPU all runs have the same batch, filled up where frames are missing. In live mode at most `max_waiting` frames of a
//! camera wait, and one where frames are left out for longer than a second; the oldest beyond that is left out, which counts as `superseded`. The places stay where they are, so that cameras take turns and a
//! slow one is not starved by fast ones. A run on a GPU starts when `max_batch` frames wait or the first has waited for `max_wait_ms`.
//! Live, on the CPU, the node is 5 levels nicer than the others, so that what there is no time for is left out here and nowhere else.
//!
//! **Still scenes.** Where nothing moved since the frame on which the model ran last, its boxes are repeated and the model does not run (`still`
//! in the statistics): of a gate or a road most frames are such. [`still`] says how it is decided. u8 frames in host memory only.
//!
//! **Glances.** Live, on the CPU, with a model that takes pictures of any size: where there is no time for every frame, the whole picture is looked at every
//! `look_every_ms` at least, and the frames in between only around the plates that move (`glances` in the statistics), which takes a tenth of the time. [`glance`] says how.
//!
//! **Memory.** With `MEMORY: cuda` the frames lie on the card, where `resize` with the same parameter puts them, and only candidate boxes come to
//! the host. Up to 8 frames are one run then.
//!
//! **Boxes** are mapped to source pixels and cut at the picture's edge. A box counts for its best class; boxes of plates
//! suppress each other, and so do boxes of vehicles of whatever class.
//!
//! ```yaml
//! - id: detect
//!   path: bin/detect
//!   inputs:
//!     tick: dora/timer/millis/500
//!     frames_cam0: { source: resize_cam0/images, queue_size: 256, queue_policy: backpressure }
//!   outputs: [detections]
//!   env: { MODEL: ../models/detector.onnx, MIN_PLATE_CONFIDENCE: 0.3 }
//! ```

mod contract;
mod engine;
pub mod glance;
mod params;
mod place;
mod prompt;
pub mod still;
mod waiting;

pub use contract::CONTRACT;
pub use glance::{Glances, Plan};
pub use params::Params;
pub use place::{detections, in_source};
pub use still::{Green, Stillness};
pub use waiting::Waiting;

use engine::Engine;
use gantry_contract::Contract;
use gantry_frames::{AcquireError, Acquired, Client, DType, Handle, Layout, Memory, Mode, StopFlag};
use gantry_inference::{ElementType, Selection, Windows};
use gantry_messages::{DetectionsRow, FrameRow, Kind};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use std::time::{Duration, Instant};

/// Frames that the harness lets a reader hold at once.
const MOST_HELD: usize = 8;
/// The node.
pub struct Detect {
    params: Params,
    engine: Engine,
    kinds: Vec<Option<Kind>>,
    selection: Selection,
    client: Client,
    mode: Mode,
    stop: StopFlag,
    waiting: Waiting,
    still: Option<Stillness>,
    /// Live, for models that take parts of pictures.
    glances: Option<(Windows, Glances)>,
    /// What the last look at a whole picture took.
    look_took: Duration,
}

impl Stage for Detect {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let memory = if params.memory == "cuda" { context.memory_of_card()? } else { Memory::Host };
        // Frames are left out here and nowhere else.
        if context.mode == Mode::Live
            && memory.context().is_none()
            && let Err(error) = gantry_node::give_way()
        {
            tracing::warn!(%error, "the detector competes with the other nodes for the processor");
        }
        let engine = Engine::open(&params, &memory)?;
        let described = engine.described();
        let kinds = params.kinds(described.classes());
        if !kinds.contains(&Some(Kind::Plate)) {
            let what = format!("model `{}` has the classes {}, none of them is a plate", params.model, described.classes().join(", "));
            return Err(Fault::new(what).hint("name the model's plate classes in PLATE_CLASSES"));
        }
        let (element, dims) = described.picture();
        tracing::info!(device = %engine.device(), memory = params.memory, batch = engine.batch(), input = %format!("{element} {dims:?}"), "detector is ready");
        // A batch on a card holds all of its frames; else one after the other is read.
        let held = if memory.context().is_some() { engine.together() as u32 } else { 1 };
        let client = context.client_on(held, &memory)?;
        let glances = if context.mode == Mode::Live { glances(&engine, &params) } else { None };
        let green = Green::of(dims).filter(|_| element == ElementType::U8 && memory.context().is_none());
        Ok(Self {
            still: green.map(|green| params.stillness(green)),
            selection: params.selection(&kinds),
            params,
            engine,
            kinds,
            client,
            mode: context.mode,
            stop: context.stop.clone(),
            waiting: Waiting::default(),
            glances,
            look_took: Duration::ZERO,
        })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        for row in input.rows::<FrameRow>()? {
            match self.mode {
                Mode::Live => self.take_note(row, out),
                Mode::Lossless => self.waiting.push(row, Instant::now()),
            }
        }
        // Live: no sooner than all messages that wait were looked at, because they may have newer frames.
        while self.mode == Mode::Lossless && self.waiting.len() >= self.params.max_batch {
            self.detect_waiting(out)?;
        }
        Ok(())
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        let may_fill = self.mode == Mode::Live && self.engine.batch() > 1;
        let patience = Duration::from_millis(if may_fill { self.params.max_wait_ms } else { 0 });
        match self.waiting.until_run(self.params.max_batch, patience, Instant::now()) {
            None => Ok(Work::Idle),
            Some(left) if !left.is_zero() => Ok(Work::After(left)),
            Some(_) => {
                if self.mode == Mode::Live && self.engine.is_single() {
                    self.detect_promptly(out)?;
                } else {
                    self.detect_waiting(out)?;
                }
                Ok(Work::Again)
            }
        }
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.selection = params.selection(&self.kinds);
        if let Some(still) = &mut self.still {
            still.set(params.motion_level, params.still_frames);
        }
        if let Some((_, glances)) = &mut self.glances {
            glances.set(Duration::from_millis(params.look_every_ms));
        }
        self.params = params;
        Ok(())
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        // After a stop the frames that wait are given up: their producers may be gone already.
        while !self.waiting.is_empty() && !self.stop.is_set() {
            self.detect_waiting(out)?;
        }
        Ok(())
    }
}

impl Detect {
    /// Live: a frame waits from now on. What is left out for it, or was on its way here, is counted.
    fn take_note(&mut self, row: FrameRow, out: &mut Outputs) {
        let now = Instant::now();
        if let Some((_, glances)) = &mut self.glances {
            glances.came(&row.source, row.frame, now);
        }
        let left_out = self.waiting.push_newest(row, self.params.max_waiting, now);
        if let Some((_, glances)) = self.glances.as_mut().filter(|_| left_out > 0) {
            glances.left_out(now);
        }
        out.count("superseded", left_out);
    }

    /// Detects in the frames that wait, `max_batch` at most, sends their rows in one message, then acknowledges the frames.
    fn detect_waiting(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let _edge = gantry_copies::edge("frames");
        let frames = self.waiting.take(self.params.max_batch);
        let mut rows = Vec::with_capacity(frames.len());
        let mut waiting: Vec<(usize, &FrameRow, Option<Acquired>)> = Vec::new();
        let mut still_frames = 0;
        let started = Instant::now();
        for frame in &frames {
            if !frame.end {
                let Some(acquired) = self.acquire(frame, out)? else { continue };
                self.check(frame, acquired.layout())?;
                if let Some(found) = self.still.as_mut().and_then(|still| still.repeat(frame, acquired.bytes())) {
                    let mut row = row_of(frame);
                    row.detections = found.to_vec();
                    rows.push(row);
                    still_frames += 1;
                    continue;
                }
                waiting.push((rows.len(), frame, self.engine.take(waiting.len(), acquired)?));
            }
            if frame.end
                && let Some(still) = &mut self.still
            {
                still.end(&frame.source);
            }
            rows.push(row_of(frame));
            if waiting.len() == self.engine.together() {
                self.run(&mut waiting, &mut rows)?;
            }
        }
        self.run(&mut waiting, &mut rows)?;
        out.count("busy_us", started.elapsed().as_micros() as u64);
        out.count("still", still_frames);
        out.count("boxes", rows.iter().map(|row| row.detections.len() as u64).sum());
        out.send("detections", &rows)?;
        for frame in frames.iter().filter(|frame| !frame.end) {
            self.ack(frame)?;
        }
        Ok(())
    }

    /// Detects in the frames that are held, and gives them back.
    fn run(&mut self, waiting: &mut Vec<(usize, &FrameRow, Option<Acquired>)>, rows: &mut [DetectionsRow]) -> Result<(), Fault> {
        if waiting.is_empty() {
            return Ok(());
        }
        let (mut places, mut pictures) = (Vec::new(), Vec::new());
        for (row, frame, acquired) in waiting.drain(..) {
            places.push((row, frame));
            pictures.push(acquired);
        }
        let classes = self.engine.described().classes().to_vec();
        let (kinds, glances) = (&self.kinds, &mut self.glances);
        self.engine.detect(&pictures, &self.selection, |index, found| {
            let (row, frame) = places[index];
            rows[row].detections = detections(found, frame, &classes, kinds);
            if let Some((_, glances)) = glances {
                glances.looked(&frame.source, frame.pts_ns, found);
            }
        })?;
        self.engine.give_back(pictures)?;
        if let Some(still) = &mut self.still {
            for (row, frame) in places {
                still.keep(&frame.source, &rows[row].detections);
            }
        }
        Ok(())
    }

    /// `None` where the frame is gone, which only live mode allows.
    fn acquire(&self, frame: &FrameRow, out: &mut Outputs) -> Result<Option<Acquired>, Fault> {
        match self.client.acquire(&handle_of(frame)?) {
            Ok(acquired) => Ok(Some(acquired)),
            Err(AcquireError::Stale { .. } | AcquireError::Closed { .. }) if self.mode == Mode::Live => {
                out.count("stale", 1);
                Ok(None)
            }
            Err(error) => Err(Fault::from(error).context(place_of(frame))),
        }
    }

    fn ack(&self, frame: &FrameRow) -> Result<(), Fault> {
        match self.client.ack(&handle_of(frame)?) {
            // A producer that has ended needs no acknowledgement any more.
            Ok(()) | Err(AcquireError::Closed { .. }) => Ok(()),
            Err(_) if self.mode == Mode::Live => Ok(()),
            Err(error) => Err(Fault::from(error).context(place_of(frame))),
        }
    }

    fn check(&self, frame: &FrameRow, layout: &Layout) -> Result<(), Fault> {
        let (element, dims) = self.engine.described().picture();
        let found = match layout.as_tensor() {
            Some(tensor) => {
                let shape: Vec<usize> = tensor.shape().iter().map(|d| *d as usize).collect();
                if same(tensor.dtype, element) && shape == dims && tensor.is_contiguous() {
                    return Ok(());
                }
                format!("{} {shape:?}{}", tensor.dtype.name(), if tensor.is_contiguous() { "" } else { " with gaps" })
            }
            None => format!("a {} picture of {}x{} px", frame.format, frame.width, frame.height),
        };
        let image = self.engine.described().info().image;
        let order = format!("{:?}", image.order).to_lowercase();
        let what = format!("{}: a frame of {found}, model `{}` takes {element} {dims:?}", place_of(frame), self.params.model);
        let hint = format!("set WIDTH: {}, HEIGHT: {}, DTYPE: {element}, LAYOUT: {order} at the `resize` nodes", image.width, image.height);
        Err(Fault::new(what).hint(hint))
    }
}

/// What looks at parts of pictures, where the model can.
fn glances(engine: &Engine, params: &Params) -> Option<(Windows, Glances)> {
    match engine.windows(params) {
        Ok(windows) => windows.map(|windows| {
            let glances = Glances::new(windows.picture_px(), windows.step(), Duration::from_millis(params.look_every_ms));
            (windows, glances)
        }),
        Err(error) => {
            tracing::warn!(%error, "the model does not run on parts of pictures, so that every frame is looked at whole or not at all");
            None
        }
    }
}

fn same(found: DType, wanted: ElementType) -> bool {
    matches!((found, wanted), (DType::U8, ElementType::U8) | (DType::F16, ElementType::F16) | (DType::F32, ElementType::F32))
}

fn handle_of(frame: &FrameRow) -> Result<Handle, Fault> {
    Handle::from_bytes(&frame.handle).map_err(|e| Fault::from(e).context(place_of(frame)))
}

fn place_of(frame: &FrameRow) -> String {
    format!("frame {} of `{}`", frame.frame, frame.source)
}

fn row_of(frame: &FrameRow) -> DetectionsRow {
    DetectionsRow {
        source: frame.source.clone(),
        frame: frame.frame,
        end: frame.end,
        pts_ns: frame.pts_ns,
        captured_ns: frame.captured_ns,
        source_width: frame.source_width,
        source_height: frame.source_height,
        detections: Vec::new(),
    }
}
