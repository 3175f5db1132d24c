//! Finds vehicles and plates in the frames of many cameras.
//!
//! **Model.** One ONNX file, loaded by its path alone: a YOLO11 or v8 export (`[N, 4 + classes, anchors]`) or an end-to-end
//! export (`[N, max_det, 6]`). Class names come from its metadata `names`, the input size from its input, or from `imgsz` where
//! the export leaves the size open.
//!
//! **Frames** are tensors of exactly that size and type, as `resize` makes them (another one ends the node with both sizes), or pictures of any size in host memory, as
//! `decode` makes them, which are scaled here with the same bytes: all of them where the whole picture is looked at, the part that is looked at otherwise. Live, that is the lesser work by far, and
//! a message per frame less; in lossless runs `resize` scales on another core meanwhile.
//!
//! **Batches.** Frames that wait are taken together, up to `max_batch`, and answered in one message. On the CPU each frame is
//! still a run of its own, straight from the pool slot: batching gains nothing there, and no frame's result can depend on the
//! frames beside it; live, an answer goes out after 10 ms, because the first frame in it waits for the last. On a GPU all runs have the same batch, filled up where frames are missing. In live mode at most `max_waiting` frames of a
//! camera wait, and one where frames are left out for longer than a second; the oldest beyond that is left out, which counts as `superseded`. The places stay where they are, so that cameras take turns and a
//! slow one is not starved by fast ones. A run on a GPU starts when `max_batch` frames wait or the first has waited for `max_wait_ms`.
//! Live, on the CPU, the node is 5 levels nicer than the others, so that what there is no time for is left out here and nowhere else, and looks at whole pictures on a thread that is 4 nicer still.
//!
//! **Still scenes.** Where nothing moved since the frame on which the model ran last, its boxes are repeated and the model does not run (`still`
//! in the statistics): of a gate or a road most frames are such. [`still`] says how it is decided. Frames in host memory and u8 models only.
//!
//! **Glances.** Live, on the CPU, with a model that takes pictures of any size: where there is no time for every frame, the whole picture is looked at every
//! `look_every_ms` (`looks` in the statistics), and the frames in between only around the plates that move (`glances`), which takes a tenth of the time. [`glance`] says how.
//! No plate that is followed waits for a look: the frame that is looked at is answered with a glance, and what the look finds goes into those that follow. Rows of several cameras
//! go out together then, up to 10 ms later: a message costs each node behind this one.
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
//!     frames_cam0: { source: resize_cam0/images, queue_size: 256, queue_policy: backpressure }   # or decode_cam0/frames
//!   outputs: [detections]
//!   env: { MODEL: ../models/detector.onnx, MIN_PLATE_CONFIDENCE: 0.3 }
//! ```

pub mod blocks;
mod contract;
mod engine;
pub mod glance;
mod in_turn;
mod looker;
mod params;
mod pixels;
mod place;
mod promptly;
pub mod still;
mod waiting;

pub use blocks::{Green, Levels};
pub use contract::CONTRACT;
pub use engine::arrangement;
pub use glance::{Glances, Plan};
pub use params::Params;
pub use place::{detections, in_source};
pub use still::Stillness;
pub use waiting::Waiting;

use engine::{Described, Engine};
use gantry_contract::Contract;
use gantry_frames::{AcquireError, Acquired, Client, DType, Handle, Layout, Memory, Mode, PixelFormat, StopFlag};
use gantry_inference::{ElementType, Selection};
use gantry_messages::{DetectionsRow, FrameRow, Kind};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use in_turn::InTurn;
use pixels::Pixels;
use promptly::Promptly;
use std::time::Instant;

/// Frames that the harness lets a reader hold at once.
const MOST_HELD: usize = 8;

/// The node.
pub struct Detect {
    shared: Shared,
    way: Way,
}

/// How frames are taken.
enum Way {
    /// In their turn, in runs of one or more.
    InTurn(InTurn),
    /// Live, each by itself, as soon as there is time for it.
    Promptly(Box<Promptly>),
}

/// What both ways need.
struct Shared {
    params: Params,
    described: Described,
    kinds: Vec<Option<Kind>>,
    selection: Selection,
    client: Client,
    mode: Mode,
    stop: StopFlag,
    waiting: Waiting,
    still: Option<Stillness>,
}

impl Stage for Detect {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let memory = if params.memory == "cuda" { context.memory_of_card()? } else { Memory::Host };
        let is_live_on_cpu = context.mode == Mode::Live && memory.context().is_none();
        let engine = if is_live_on_cpu { looker::nicely(|| Engine::open(&params, &memory))? } else { Engine::open(&params, &memory)? };
        let described = engine.description();
        let kinds = params.kinds(&described.classes);
        if !kinds.contains(&Some(Kind::Plate)) {
            let what = format!("model `{}` has the classes {}, none of them is a plate", params.model, described.classes.join(", "));
            return Err(Fault::new(what).hint("name the model's plate classes in PLATE_CLASSES"));
        }
        let (element, dims) = (described.element, described.dims);
        tracing::info!(device = %engine.device(), memory = params.memory, batch = engine.batch(), input = %format!("{element} {dims:?}"), "detector is ready");
        let is_prompt = context.mode == Mode::Live && engine.is_single();
        let held = match memory.context() {
            // A batch on a card holds all of its frames; else one after the other is read, and beside it one by the looker.
            Some(_) => engine.together() as u32,
            None => 1 + u32::from(is_prompt),
        };
        let client = context.client_on(held, &memory)?;
        let green = Green::of(dims).filter(|_| element == ElementType::U8 && memory.context().is_none());
        let shared = Shared {
            still: green.map(|green| params.stillness(green)),
            selection: params.selection(&kinds),
            described,
            kinds,
            client,
            mode: context.mode,
            stop: context.stop.clone(),
            waiting: Waiting::default(),
            params,
        };
        if is_live_on_cpu {
            gantry_node::give_way(looker::NODE);
        }
        let way = match engine {
            Engine::Host(host) if is_prompt => {
                let windows = engine::windows(&host.detector, &shared.params)?.map(|windows| (windows, Pixels::new(&shared.described)));
                Way::Promptly(Box::new(Promptly::new(host, windows, &shared.params, context.waker.clone())?))
            }
            engine => Way::InTurn(InTurn::new(engine)),
        };
        Ok(Self { shared, way })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        for row in input.rows::<FrameRow>()? {
            let row = pixels::fitted(&self.shared.described, row);
            let now = Instant::now();
            match &mut self.way {
                Way::Promptly(promptly) => promptly.take_note(&mut self.shared, row, now, out),
                Way::InTurn(_) if self.shared.mode == Mode::Live => {
                    let left_out = self.shared.waiting.push_newest(row, self.shared.params.max_waiting, now);
                    out.count("superseded", left_out);
                }
                Way::InTurn(_) => self.shared.waiting.push(row, now),
            }
        }
        match &mut self.way {
            // No sooner than all messages that wait were looked at, because they may have newer frames.
            _ if self.shared.mode == Mode::Live => Ok(()),
            Way::InTurn(in_turn) => in_turn.run_full(&mut self.shared, out),
            Way::Promptly(_) => Ok(()),
        }
    }

    fn work(&mut self, out: &mut Outputs) -> Result<Work, Fault> {
        match &mut self.way {
            Way::InTurn(in_turn) => in_turn.work(&mut self.shared, out),
            Way::Promptly(promptly) => promptly.work(&mut self.shared, out),
        }
    }

    fn on_params(&mut self, params: Params) -> Result<(), Fault> {
        self.shared.selection = params.selection(&self.shared.kinds);
        if let Some(still) = &mut self.shared.still {
            still.set(params.motion_level, params.still_frames);
        }
        if let Way::Promptly(promptly) = &mut self.way {
            promptly.set(&params);
        }
        self.shared.params = params;
        Ok(())
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        // After a stop the frames that wait are given up: their producers may be gone already.
        match &mut self.way {
            Way::InTurn(in_turn) => in_turn.finish(&mut self.shared, out),
            Way::Promptly(promptly) => promptly.finish(&mut self.shared, out),
        }
    }
}

impl Shared {
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
        let (element, dims) = (self.described.element, self.described.dims);
        let found = match layout.as_tensor() {
            Some(tensor) => {
                let shape: Vec<usize> = tensor.shape().iter().map(|d| *d as usize).collect();
                if same(tensor.dtype, element) && shape == dims && tensor.is_contiguous() {
                    return Ok(());
                }
                format!("a frame of {} {shape:?}{}", tensor.dtype.name(), if tensor.is_contiguous() { "" } else { " with gaps" })
            }
            None => match layout.as_image() {
                Some(image) if self.described.arrangement.is_some() && matches!(image.format, PixelFormat::I420 | PixelFormat::Nv12) => {
                    return Ok(());
                }
                Some(image) => format!("a {} picture of {}x{} px", image.format.name(), image.width, image.height),
                None => "neither a picture nor a tensor".to_owned(),
            },
        };
        let (width, height, order) = &self.described.picture;
        let what = format!("{}: {found}, model `{}` takes {element} {dims:?}", place_of(frame), self.params.model);
        let hint = format!("set WIDTH: {width}, HEIGHT: {height}, DTYPE: {element}, LAYOUT: {order} at the `resize` nodes");
        Err(Fault::new(what).hint(hint))
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
