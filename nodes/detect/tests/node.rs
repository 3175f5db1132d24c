//! Drives `detect` with frames in real pools.

use gantry_frames::{DType, FrameMeta, Layout, Mode, Pool, SourceName, View};
use gantry_images::{Arrangement, FrameScaler, Letterbox, Yuv};
use gantry_messages::{BoxXyxy, Detection, DetectionsRow, FrameRow};
use gantry_node::{Context, Input, Outputs, Stage, Work, frame_row};
use gantry_node_detect::{CONTRACT, Detect, Params};
use std::path::PathBuf;

fn params(model: &str, set: &[(&str, &str)]) -> Params {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models")).join(model);
    let path = path.to_str().unwrap().to_owned();
    let env = [("MODEL", path.as_str()), ("DEVICE", "cpu")].into_iter().chain(set.iter().copied());
    gantry_contract::ParamSet::from_env(&CONTRACT, env).unwrap().to().unwrap()
}

struct Bench {
    dir: PathBuf,
    pool: Pool,
    mode: Mode,
}

impl Bench {
    /// A pool of 64x32 frames that node `detect` reads.
    fn new(name: &str, mode: Mode) -> Self {
        Self::sized(name, mode, 32 * 64 * 3 * 4)
    }

    fn sized(name: &str, mode: Mode, bytes: u64) -> Self {
        let dir = std::env::temp_dir().join(format!("gantry-detect-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let context = Context::for_test("resize", mode, &dir).with_consumer("frames", "detect");
        let pool = context.pool("frames", 40, bytes).unwrap();
        Self { dir, pool, mode }
    }

    fn node(&self, params: Params) -> Detect {
        Detect::open(params, &Context::for_test("detect", self.mode, &self.dir)).unwrap_or_else(|e| panic!("{e}"))
    }

    fn frame(&self, source: &str, frame: u64, level: u8, layout: Layout) -> FrameRow {
        let mut slot = self.pool.try_begin_write().unwrap().expect("a free slot");
        slot.bytes_mut().fill(level);
        let meta = FrameMeta {
            source: SourceName::new(source).unwrap(),
            frame,
            pts_ns: frame as i64 * 40,
            captured_ns: 7,
            ..FrameMeta::default()
        };
        let published = slot.fill(layout).unwrap().publish(&meta);
        FrameRow {
            source: source.into(),
            frame,
            pts_ns: meta.pts_ns,
            captured_ns: 7,
            width: 64,
            height: 32,
            format: "TNSR".into(),
            source_width: 128,
            source_height: 60,
            scale_x: 2.0,
            scale_y: 2.0,
            offset_y: -2.0,
            handle: *published.handle.as_bytes(),
            ..FrameRow::default()
        }
    }

    fn u8_frame(&self, source: &str, frame: u64, level: u8) -> FrameRow {
        self.frame(source, frame, level, Layout::tensor(DType::U8, &[1, 3, 32, 64]).unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn end(source: &str, frame: u64) -> FrameRow {
    FrameRow { source: source.into(), frame, end: true, ..FrameRow::default() }
}

fn feed(node: &mut Detect, out: &mut Outputs, rows: &[FrameRow]) {
    node.on_input(&Input::of("frames", rows), out).unwrap_or_else(|e| panic!("{e}"));
}

fn until_idle(node: &mut Detect, out: &mut Outputs) {
    while node.work(out).unwrap_or_else(|e| panic!("{e}")) != Work::Idle {}
}

#[test]
fn the_contract_fits_the_parameters_and_the_generated_files() {
    gantry_node::testing::check_contract::<Detect>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn every_frame_gets_one_row_with_its_boxes_in_source_pixels() {
    let bench = Bench::new("rows", Mode::Lossless);
    let mut node = bench.node(params("yolo.onnx", &[]));
    let mut out = Outputs::collector();
    feed(&mut node, &mut out, &[bench.u8_frame("a", 0, 255), bench.u8_frame("b", 0, 0), bench.u8_frame("a", 1, 0), end("a", 2)]);
    until_idle(&mut node, &mut out);
    assert_eq!(out.message_sizes("detections"), [4]);
    let rows: Vec<DetectionsRow> = out.taken("detections");
    let order: Vec<(&str, u64, bool)> = rows.iter().map(|r| (r.source.as_str(), r.frame, r.end)).collect();
    assert_eq!(order, [("a", 0, false), ("b", 0, false), ("a", 1, false), ("a", 2, true)]);
    let found = |kind, class: &str, confidence, bbox_in_source| Detection { kind, class: class.into(), confidence, bbox_in_source };
    assert_eq!(
        rows[0].detections,
        [
            found(0, "vehicle", 0.9, BoxXyxy::new(20.0, 10.0, 60.0, 34.0)),
            found(1, "plate", 0.85, BoxXyxy::new(32.0, 26.0, 48.0, 34.0)),
            found(1, "plate", 0.6, BoxXyxy::new(92.0, 34.0, 108.0, 42.0)),
        ]
    );
    assert_eq!((rows[0].source_width, rows[0].source_height, rows[2].pts_ns), (128, 60, 40));
    assert!(rows[1].detections.is_empty() && rows[2].detections.is_empty());
    // All frames are acknowledged: nothing keeps the pool from draining.
    bench.pool.drain(&gantry_frames::StopFlag::new(), Some(std::time::Duration::from_secs(2))).unwrap();
}

#[test]
fn results_do_not_depend_on_how_frames_arrive() {
    let run = |name: &str, batch: usize, max_batch: &str| {
        let bench = Bench::new(name, Mode::Lossless);
        let mut node = bench.node(params("yolo.onnx", &[("MAX_BATCH", max_batch)]));
        let mut out = Outputs::collector();
        let frames: Vec<FrameRow> = (0..12).map(|i| bench.u8_frame("a", i, (i * 20) as u8)).collect();
        for chunk in frames.chunks(batch) {
            feed(&mut node, &mut out, chunk);
            until_idle(&mut node, &mut out);
        }
        out.taken::<DetectionsRow>("detections")
    };
    let one = run("one", 1, "1");
    assert_eq!(one.len(), 12);
    assert_eq!(one, run("five", 5, "3"));
    assert_eq!(one, run("all", 12, "8"));
}

#[test]
fn a_model_with_a_fixed_batch_gives_the_same_rows_as_one_frame_at_a_time() {
    let run = |name: &str, model: &str| {
        let bench = Bench::new(name, Mode::Lossless);
        let mut node = bench.node(params(model, &[]));
        let mut out = Outputs::collector();
        let frames: Vec<FrameRow> = (0..6).map(|i| bench.u8_frame(if i % 2 == 0 { "a" } else { "b" }, i / 2, 255 - 30 * i as u8)).collect();
        feed(&mut node, &mut out, &frames);
        until_idle(&mut node, &mut out);
        out.taken::<DetectionsRow>("detections")
    };
    assert_eq!(run("batch4", "yolo_batch4.onnx"), run("batch1", "yolo.onnx"));
}

#[test]
fn thresholds_follow_live_parameters() {
    let bench = Bench::new("live-params", Mode::Lossless);
    let mut node = bench.node(params("yolo.onnx", &[]));
    let mut out = Outputs::collector();
    node.on_params(params("yolo.onnx", &[("MIN_PLATE_CONFIDENCE", "0.7"), ("MIN_VEHICLE_CONFIDENCE", "0.95")])).unwrap();
    feed(&mut node, &mut out, &[bench.u8_frame("a", 0, 255)]);
    until_idle(&mut node, &mut out);
    let rows: Vec<DetectionsRow> = out.taken("detections");
    assert_eq!(rows[0].detections.iter().map(|d| d.confidence).collect::<Vec<_>>(), [0.85]);
}

#[test]
fn live_mode_takes_the_newest_frame_of_a_camera_and_counts_the_others() {
    let bench = Bench::new("newest", Mode::Live);
    let mut node = bench.node(params("yolo.onnx", &[("MAX_WAITING", "1")]));
    let mut out = Outputs::collector();
    feed(&mut node, &mut out, &[bench.u8_frame("a", 0, 255), bench.u8_frame("b", 0, 255)]);
    feed(&mut node, &mut out, &[bench.u8_frame("a", 1, 255)]);
    until_idle(&mut node, &mut out);
    let rows: Vec<DetectionsRow> = out.taken("detections");
    assert_eq!(rows.iter().map(|r| (r.source.as_str(), r.frame)).collect::<Vec<_>>(), [("a", 1), ("b", 0)]);
    assert_eq!(out.counted("superseded"), 1);
}

#[test]
fn live_mode_looks_at_all_messages_before_it_detects_a_full_batch() {
    let bench = Bench::new("full", Mode::Live);
    let mut node = bench.node(params("yolo.onnx", &[("MAX_BATCH", "1"), ("MAX_WAITING", "1")]));
    let mut out = Outputs::collector();
    (0..3).for_each(|n| feed(&mut node, &mut out, &[bench.u8_frame("a", n, 255), bench.u8_frame("b", n, 255)]));
    until_idle(&mut node, &mut out);
    let rows: Vec<DetectionsRow> = out.taken("detections");
    assert_eq!(rows.iter().map(|r| (r.source.as_str(), r.frame)).collect::<Vec<_>>(), [("a", 2), ("b", 2)]);
    assert_eq!(out.counted("superseded"), 4);
}

#[test]
fn in_live_mode_a_few_frames_may_wait_and_then_the_oldest_of_that_camera_goes() {
    let bench = Bench::new("waiting", Mode::Live);
    let mut node = bench.node(params("yolo.onnx", &[("MAX_WAITING", "2")]));
    let mut out = Outputs::collector();
    (0..4).for_each(|n| feed(&mut node, &mut out, &[bench.u8_frame("a", n, 255)]));
    feed(&mut node, &mut out, &[bench.u8_frame("b", 0, 255)]);
    until_idle(&mut node, &mut out);
    let rows: Vec<DetectionsRow> = out.taken("detections");
    assert_eq!(rows.iter().map(|r| (r.source.as_str(), r.frame)).collect::<Vec<_>>(), [("a", 2), ("a", 3), ("b", 0)]);
    assert_eq!(out.counted("superseded"), 2);
}

#[test]
fn still_frames_repeat_the_boxes_and_the_model_rests() {
    let bench = Bench::new("still", Mode::Lossless);
    let rows = |still_frames: &str, levels: &[u8]| {
        let mut node = bench.node(params("yolo.onnx", &[("STILL_FRAMES", still_frames)]));
        let mut out = Outputs::collector();
        for (n, level) in levels.iter().enumerate() {
            feed(&mut node, &mut out, &[bench.u8_frame("a", n as u64, *level)]);
            until_idle(&mut node, &mut out);
        }
        (out.taken::<DetectionsRow>("detections"), out.counted("still"))
    };
    let levels = [255, 255, 255, 255, 255, 0, 0, 255];
    let (every, none) = rows("0", &levels);
    let (repeated, still) = rows("2", &levels);
    assert_eq!((none, still), (0, 4));
    assert!(every.iter().any(|row| !row.detections.is_empty()));
    assert_eq!(every, repeated);
    // This toy's scores follow the level, so that it shows whether it ran.
    let (noisy, _) = rows("2", &[255, 254]);
    assert_eq!(noisy[0].detections, noisy[1].detections);
}

#[test]
fn a_frame_of_another_size_ends_the_node_with_both_sizes_and_a_hint() {
    let bench = Bench::new("size", Mode::Lossless);
    let mut node = bench.node(params("yolo.onnx", &[]));
    let mut out = Outputs::collector();
    feed(&mut node, &mut out, &[bench.frame("cam0", 3, 0, Layout::tensor(DType::F32, &[1, 3, 30, 64]).unwrap())]);
    let fault = node.work(&mut out).unwrap_err();
    let text = fault.to_string();
    assert!(text.contains("frame 3 of `cam0`: a frame of f32 [1, 3, 30, 64]") && text.contains("takes u8 [1, 3, 32, 64]"), "{text}");
    assert!(fault.hint_text().unwrap().contains("WIDTH: 64, HEIGHT: 32, DTYPE: u8, LAYOUT: nchw"), "{text}");
}

/// An I420 picture with a slope of grey and a patch, as `decode` sends it, and the tensor and row that `resize` makes of it.
fn picture_and_tensor(bench: &Bench, frame: u64, (width, height): (u32, u32), patch: u8) -> (FrameRow, FrameRow) {
    let layout = Layout::i420(width, height).unwrap();
    let image = *layout.as_image().unwrap();
    let mut bytes = vec![128; layout.byte_len() as usize];
    let stride = image.planes()[0].stride as usize;
    for (y, row) in bytes.chunks_mut(stride).take(height as usize).enumerate() {
        for (x, level) in row[..width as usize].iter_mut().enumerate() {
            *level = if x < 64 && y < 64 { patch } else { 212 + (x / 64) as u8 };
        }
    }
    let meta =
        |view: View| FrameMeta { source: SourceName::new("a").unwrap(), frame, pts_ns: frame as i64 * 33_000_000, captured_ns: 7, view };
    let publish = |bytes: &[u8], layout: &Layout, meta: &FrameMeta| {
        let mut slot = bench.pool.try_begin_write().unwrap().expect("a free slot");
        slot.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        frame_row(&slot.fill(*layout).unwrap().publish(meta).handle, layout, meta)
    };
    let whole =
        View { width, height, source_width: width, source_height: height, scale_x: 1.0, scale_y: 1.0, offset_x: 0.0, offset_y: 0.0 };
    let letterbox = Letterbox::fit(width as usize, height as usize, 256, 128);
    let mut tensor = vec![0; 3 * 128 * 256];
    FrameScaler::default().run(&Yuv::of(&image, &bytes).unwrap(), &letterbox, Arrangement::PlanarU8, &mut tensor);
    let t = letterbox.source_from_input();
    let scaled =
        View { width: 256, height: 128, scale_x: t.scale_x, scale_y: t.scale_y, offset_x: t.offset_x, offset_y: t.offset_y, ..whole };
    let tensor_layout = Layout::tensor(DType::U8, &[1, 3, 128, 256]).unwrap();
    (publish(&bytes, &layout, &meta(whole)), publish(&tensor, &tensor_layout, &meta(scaled)))
}

#[test]
fn pictures_give_the_rows_of_the_tensors_that_resize_makes_of_them() {
    for (mode, size) in [(Mode::Lossless, (512, 256)), (Mode::Lossless, (480, 270)), (Mode::Live, (512, 256)), (Mode::Live, (480, 270))] {
        let bench = Bench::sized(&format!("pictures-{mode:?}-{}", size.0), mode, 1 << 18);
        let run = |is_picture: bool| {
            let mut node = bench.node(params("yolo_any_size.onnx", &[]));
            let mut out = Outputs::collector();
            // Frames 1 and 2 were left out, so that live the patch is glanced at from then on.
            for (number, patch) in [(0, 200), (3, 215), (4, 225), (5, 235), (9, 205), (10, 205)] {
                let (picture, tensor) = picture_and_tensor(&bench, number, size, patch);
                feed(&mut node, &mut out, &[if is_picture { picture } else { tensor }]);
                until_idle(&mut node, &mut out);
            }
            let counts = ["still", "glances", "looks"].map(|name| out.counted(name));
            (out.taken::<DetectionsRow>("detections"), counts)
        };
        let (rows, counts) = run(true);
        assert!(rows.len() == 6 && rows.iter().any(|row| !row.detections.is_empty()), "{mode:?} {size:?}: {rows:?}");
        assert_eq!((mode == Mode::Live, counts[0]), (counts[1] > 0, 1), "{mode:?} {size:?}: {counts:?}");
        assert_eq!((rows, counts), run(false), "{mode:?} {size:?}");
    }
}

#[test]
fn a_picture_that_is_not_of_a_camera_ends_the_node_with_what_it_is() {
    let bench = Bench::new("rgb", Mode::Lossless);
    let mut node = bench.node(params("yolo.onnx", &[]));
    let mut out = Outputs::collector();
    feed(&mut node, &mut out, &[bench.frame("cam0", 3, 0, Layout::rgb8(32, 16).unwrap())]);
    let fault = node.work(&mut out).unwrap_err().to_string();
    assert!(fault.contains("frame 3 of `cam0`: a rgb8 picture of 32x16 px") && fault.contains("takes u8 [1, 3, 32, 64]"), "{fault}");
}

#[test]
fn classes_are_matched_by_name_and_a_model_without_plates_is_refused() {
    let bench = Bench::new("classes", Mode::Lossless);
    let layout = Layout::tensor(DType::F32, &[1, 3, 32, 64]).unwrap();
    let mut node = bench.node(params("yolo_coco.onnx", &[]));
    let mut out = Outputs::collector();
    // Bytes of 0x3f are floats of 0.747.
    feed(&mut node, &mut out, &[bench.frame("a", 0, 0x3f, layout)]);
    until_idle(&mut node, &mut out);
    let rows: Vec<DetectionsRow> = out.taken("detections");
    assert_eq!(rows[0].detections.iter().map(|d| d.class.as_str()).collect::<Vec<_>>(), ["car", "number_plate", "number_plate"]);
    let refused =
        Detect::open(params("yolo_coco.onnx", &[("PLATE_CLASSES", "tag")]), &Context::for_test("detect", Mode::Lossless, &bench.dir));
    let fault = refused.err().expect("no plate class");
    assert!(fault.to_string().contains("car, number_plate, person, none of them is a plate"), "{fault}");
}

#[test]
fn a_missing_and_a_corrupt_model_are_refused_at_the_start_with_a_hint() {
    let context = Context::for_test("detect", Mode::Lossless, &std::env::temp_dir());
    for model in ["nowhere.onnx", "corrupt.onnx", "wrong_rank.onnx"] {
        let fault = Detect::open(params(model, &[]), &context).err().unwrap_or_else(|| panic!("{model} was taken"));
        assert!(fault.to_string().contains(model) && fault.hint_text().is_some(), "{fault}");
    }
}

/// Frames of 256x128 px, all of `level` but for a patch of 32x32 px in the corner, of a camera that sends 30 a second.
fn patched(bench: &Bench, frame: u64, level: u8, patch: u8) -> FrameRow {
    patched_of(bench, "a", frame, level, patch)
}

/// [`patched`], of a camera of that name.
fn patched_of(bench: &Bench, source: &str, frame: u64, level: u8, patch: u8) -> FrameRow {
    let layout = Layout::tensor(DType::U8, &[1, 3, 128, 256]).unwrap();
    let mut slot = bench.pool.try_begin_write().unwrap().expect("a free slot");
    slot.bytes_mut().fill(level);
    for row in slot.bytes_mut()[..3 * 128 * 256].chunks_exact_mut(256).enumerate().filter(|(y, _)| y % 128 < 32).map(|(_, row)| row) {
        row[..32].fill(patch);
    }
    let pts_ns = frame as i64 * 33_000_000;
    let meta = FrameMeta { source: SourceName::new(source).unwrap(), frame, pts_ns, captured_ns: 7, ..FrameMeta::default() };
    FrameRow {
        source: source.into(),
        frame,
        pts_ns,
        captured_ns: 7,
        width: 256,
        height: 128,
        format: "TNSR".into(),
        source_width: 256,
        source_height: 128,
        scale_x: 1.0,
        scale_y: 1.0,
        handle: *slot.fill(layout).unwrap().publish(&meta).handle.as_bytes(),
        ..FrameRow::default()
    }
}

#[test]
fn live_where_frames_are_left_out_the_plates_that_move_are_looked_at_alone() {
    let bench = Bench::sized("glances", Mode::Live, 3 * 128 * 256);
    let detected = |set: &[(&str, &str)], frames: &[(u64, u8)]| {
        let mut node = bench.node(params("yolo_any_size.onnx", set));
        let mut out = Outputs::collector();
        for (number, patch) in frames {
            feed(&mut node, &mut out, &[patched(&bench, *number, 230, *patch)]);
            until_idle(&mut node, &mut out);
        }
        (out.taken::<DetectionsRow>("detections"), out.counted("glances"), out.counted("looks"))
    };
    // Frames 1 and 2 were left out. From then on the patch is seen alone, where the toy's sure plate lies; frame 9 is looked at whole and answered with a glance. On frame 10 nothing
    // moved since: it has what the look found.
    let frames = [(0, 230), (3, 240), (4, 250), (5, 255), (9, 245), (10, 245)];
    let (rows, glances, looks) = detected(&[], &frames);
    assert_eq!((rows.len(), glances, looks), (6, 4, 2));
    let sure = |row: &DetectionsRow| {
        let of_kind = |kind: u8| row.detections.iter().filter(move |one| one.kind == kind).collect::<Vec<_>>();
        (of_kind(1)[0].clone(), of_kind(0).len(), of_kind(1).len())
    };
    let confidences: Vec<f32> = rows.iter().map(|row| (sure(row).0.confidence * 255.0 / 0.85).round()).collect();
    // Scores of this toy follow the level of what it sees: the window is 64x32 px, half of it the patch; for frame 3 it is 96 px wide, because the plate was seen once and long ago.
    assert_eq!(confidences, [230.0, 233.0, 240.0, 243.0, 238.0, 230.0]);
    // The vehicle goes with its plate; the unsure plate beside the patch did not move.
    for row in &rows {
        let (plate, vehicles, plates) = sure(row);
        assert_eq!((plate.bbox_in_source, vehicles, plates), (BoxXyxy::new(16.0, 14.0, 24.0, 18.0), 1, 2), "frame {}", row.frame);
    }
    // The same where glances are not wanted, and where the model takes pictures of one size.
    let (whole, none, looks) = detected(&[("LOOK_EVERY_MS", "0")], &frames);
    assert_eq!((whole.len(), none, looks), (6, 0, 5));
    assert_eq!(
        rows.iter().map(|row| row.detections.len()).collect::<Vec<_>>(),
        whole.iter().map(|row| row.detections.len()).collect::<Vec<_>>()
    );
}

#[test]
fn live_every_frame_is_answered_once_in_the_order_of_its_camera_or_counted_as_left_out() {
    let bench = Bench::sized("order", Mode::Live, 3 * 128 * 256);
    let mut node = bench.node(params("yolo_any_size.onnx", &[("MAX_WAITING", "2")]));
    let mut out = Outputs::collector();
    // Frames are missing between the first and the second, and the node is called once for each two: looks are under way when the next come.
    let numbers: Vec<u64> = std::iter::once(0).chain(3..60).collect();
    for &number in &numbers {
        let patch = 230 + (number * 7 % 25) as u8;
        feed(&mut node, &mut out, &[patched_of(&bench, "a", number, 230, patch), patched_of(&bench, "b", number, 230, 255 - patch)]);
        node.work(&mut out).unwrap();
    }
    feed(&mut node, &mut out, &[end("a", 60), end("b", 60)]);
    node.finish(&mut out).unwrap();
    let rows: Vec<DetectionsRow> = out.taken("detections");
    for camera in ["a", "b"] {
        let told: Vec<(u64, bool)> = rows.iter().filter(|row| row.source == camera).map(|row| (row.frame, row.end)).collect();
        assert!(told.is_sorted_by(|one, next| one.0 < next.0) && told.last() == Some(&(60, true)), "{camera}: {told:?}");
    }
    assert_eq!(rows.len() as u64 - 2 + out.counted("superseded") + out.counted("stale"), 2 * numbers.len() as u64);
    assert!(out.counted("looks") > 0 && out.counted("glances") > 0, "{} looks, {} glances", out.counted("looks"), out.counted("glances"));
}
