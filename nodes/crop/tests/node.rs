//! The node with real pools in one process: frames with a drawn plate, tracks as the tracker sends them.

use gantry_frames::{Client, FrameMeta, Handle, Layout, Mode, Pool, SourceName, StopFlag};
use gantry_messages::{BoxXyxy, CropsRow, DecidedRow, DetectionsRow, FrameRow, Track, TracksRow, WantedRow};
use gantry_node::{Context, Input, Outputs, Stage};
use gantry_node_crop::{CONTRACT, Crop, Params};
use std::path::Path;

const PLATE: BoxXyxy = BoxXyxy::new(400.0, 300.0, 520.0, 330.0);

struct Bench {
    dir: tempfile::TempDir,
    pool: Pool,
    node: Crop,
    reader: Client,
    out: Outputs,
}

fn params(given: &[(&str, &str)]) -> Params {
    gantry_contract::ParamSet::from_env(&CONTRACT, given.iter().copied()).expect("parameters are right").to().expect("defaults fit")
}

fn pool(dir: &Path, layout: &Layout) -> Pool {
    Context::for_test("decode", Mode::Lossless, dir).with_consumer("frames", "crop").pool("frames", 64, layout.byte_len()).expect("pool")
}

fn layout() -> Layout {
    Layout::i420(960, 540).unwrap()
}

impl Bench {
    fn new(given: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pool = pool(dir.path(), &layout());
        let node =
            Crop::open(params(given), &Context::for_test("crop", Mode::Lossless, dir.path()).with_consumer("crops", "enhance")).unwrap();
        let reader = Context::for_test("enhance", Mode::Lossless, dir.path()).client(8).unwrap();
        Self { dir, pool, node, reader, out: Outputs::collector() }
    }

    fn frame(&self, source: &str, number: u64, slope: f32, blur: usize) -> FrameRow {
        publish(&self.pool, source, number, slope, blur)
    }

    fn send_frames(&mut self, rows: &[FrameRow]) {
        self.node.on_input(&Input::of("frames", rows), &mut self.out).unwrap();
    }

    fn send_tracks(&mut self, rows: &[TracksRow]) {
        self.node.on_input(&Input::of("tracks", rows), &mut self.out).unwrap();
    }

    /// What came out; crops are read and given back.
    fn taken(&mut self) -> Vec<CropsRow> {
        let rows: Vec<CropsRow> = self.out.taken("crops");
        for crop in rows.iter().flat_map(|r| &r.crops) {
            self.reader.acquire(&Handle::from_bytes(crop.handle)).unwrap().ack();
        }
        rows
    }
}

/// A dark frame with a light plate and dark strokes in it, in luma; strokes follow the slope, `blur` softens them.
fn publish(pool: &Pool, source: &str, number: u64, slope: f32, blur: usize) -> FrameRow {
    let mut slot = pool.begin_write(&StopFlag::new()).expect("slot");
    let layout = layout();
    let stride = layout.as_image().unwrap().planes()[0].stride as usize;
    let (cx, cy) = PLATE.center();
    let bytes = slot.bytes_mut();
    bytes.fill(128);
    let level = |x: usize, y: usize| -> u8 {
        let (dx, dy) = (x as f32 + 0.5 - cx, y as f32 + 0.5 - cy - slope * (x as f32 + 0.5 - cx));
        let (w, h) = (58.0, 13.0);
        match () {
            () if dx.abs() > w || dy.abs() > h => 70,
            () if dy.abs() < 8.0 && dx.abs() < 50.0 && (x / 5).is_multiple_of(2) => 40,
            () => 215,
        }
    };
    for y in 0..540usize {
        for x in 0..960usize {
            let r = blur as isize;
            bytes[y * stride + x] = if blur == 0 || !(280..350).contains(&y) || !(380..540).contains(&x) {
                level(x, y)
            } else {
                let cells = (-r..=r).map(|d| u32::from(level((x as isize + d) as usize, y)));
                (cells.sum::<u32>() / (2 * blur as u32 + 1)) as u8
            };
        }
    }
    let meta = FrameMeta {
        source: SourceName::new(source).unwrap(),
        frame: number,
        pts_ns: 40 * number as i64,
        captured_ns: 7,
        ..FrameMeta::default()
    };
    let published = slot.fill(layout).unwrap().publish(&meta);
    FrameRow {
        source: source.into(),
        frame: number,
        pts_ns: 40 * number as i64,
        captured_ns: 7,
        width: 960,
        height: 540,
        source_width: 960,
        source_height: 540,
        format: "I420".into(),
        handle: *published.handle.as_bytes(),
        ..Default::default()
    }
}

fn tracks(source: &str, frame: u64, age_frames: u32) -> TracksRow {
    let track = Track {
        track_id: 3,
        age_frames,
        matched: true,
        vehicle_in_source: None,
        vehicle_confidence: 0.0,
        plate_in_source: Some(PLATE),
        plate_confidence: 0.9,
        plate_frames: age_frames,
    };
    TracksRow {
        source: source.into(),
        frame,
        pts_ns: 40 * frame as i64,
        captured_ns: 7,
        source_width: 960,
        source_height: 540,
        tracks: vec![track],
        ..Default::default()
    }
}

fn end_of_frames(source: &str, frame: u64) -> FrameRow {
    FrameRow { source: source.into(), frame, end: true, ..Default::default() }
}

fn end_of_tracks(source: &str, frame: u64) -> TracksRow {
    TracksRow { source: source.into(), frame, end: true, ..Default::default() }
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Crop>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_small_plate_is_scaled_up_and_every_frame_has_its_row() {
    let mut b = Bench::new(&[]);
    let frames: Vec<FrameRow> = (0..8).map(|n| b.frame("cam", n, 0.0, 0)).collect();
    b.send_frames(&frames);
    assert!(b.taken().is_empty(), "no row before the tracks");
    let rows: Vec<TracksRow> = (0..8).map(|n| tracks("cam", n, n as u32 + 1)).collect();
    b.send_tracks(&rows);
    b.send_frames(&[end_of_frames("cam", 8)]);
    b.send_tracks(&[end_of_tracks("cam", 8)]);
    assert_eq!(b.out.message_sizes("crops"), [8, 1], "one message for one message");
    let sent: Vec<CropsRow> = b.out.taken("crops");
    assert_eq!(sent.iter().map(|r| r.frame).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(sent[8].end && !sent[7].end);
    // The fifth matched frame is frame 4; then every second one.
    assert_eq!(sent.iter().filter(|r| !r.crops.is_empty()).map(|r| r.frame).collect::<Vec<_>>(), [4, 6]);
    let crop = &sent[4].crops[0];
    // 30 px and 10 % above and below: 36 px, below 64, so 80; 144 px wide becomes 320.
    assert_eq!((crop.width, crop.height, crop.track_id), (320, 80, 3));
    assert_eq!(crop.variants, ["original"]);
    assert_eq!((sent[4].pts_ns, sent[4].captured_ns), (160, 7));
    assert!(crop.legibility > 0.2, "{}", crop.legibility);
    assert_eq!(crop.evidence[..2], [0xff, 0xd8]);
    assert!(sent[6].crops[0].evidence.is_empty(), "the same picture is no better evidence");
    let picture = b.reader.acquire(&Handle::from_bytes(crop.handle)).unwrap();
    let image = *picture.layout().as_image().unwrap();
    let red = |x: usize, y: usize| picture.bytes()[y * image.planes()[0].stride as usize + 3 * x];
    // Plate ground above the strokes: 215 limited is 232; frame around: 70 is 63.
    assert!(red(160, 17).abs_diff(232) <= 3, "{}", red(160, 17));
    assert!(red(160, 2).abs_diff(63) <= 3, "{}", red(160, 2));
    let row: Vec<u8> = (60..260).map(|x| red(x, 40)).collect();
    assert!(row.iter().any(|&v| v < 40) && row.iter().any(|&v| v > 220), "strokes are black on white");
    picture.ack();
    b.reader.ack(&Handle::from_bytes(sent[6].crops[0].handle)).unwrap();
    assert!(!b.pool.has_unread(), "every frame was given back");
    b.node.finish(&mut b.out).unwrap();
}

#[test]
fn a_track_that_vote_is_sure_of_is_read_more_seldom() {
    let read = |decided: &[DecidedRow]| -> Vec<u64> {
        let mut b = Bench::new(&[("DECIDED_EVERY_FRAMES", "6")]);
        b.send_frames(&(0..20).map(|n| b.frame("cam", n, 0.0, 0)).collect::<Vec<_>>());
        b.send_tracks(&(0..6).map(|n| tracks("cam", n, n as u32 + 1)).collect::<Vec<_>>());
        b.node.on_input(&Input::of("decided", decided), &mut b.out).unwrap();
        b.send_tracks(&(6..20).map(|n| tracks("cam", n, n as u32 + 1)).collect::<Vec<_>>());
        assert_eq!(b.out.counted("tracks_decided"), decided.len() as u64);
        b.taken().into_iter().filter(|row| !row.crops.is_empty()).map(|row| row.frame).collect()
    };
    let row = |source: &str| DecidedRow { source: source.into(), frame: 4, track_id: 3, sure: true, ..Default::default() };
    assert_eq!(read(&[row("cam")]), [4, 10, 16]);
    assert_eq!(read(&[row("another")]), [4, 6, 8, 10, 12, 14, 16, 18]);
}

#[test]
fn the_whole_frame_goes_with_the_evidence_where_that_is_wanted() {
    let sent = |given: &[(&str, &str)]| -> Vec<(usize, Vec<u8>)> {
        let mut b = Bench::new(given);
        b.send_frames(&(0..8).map(|n| b.frame("cam", n, 0.0, 0)).collect::<Vec<_>>());
        b.send_tracks(&(0..8).map(|n| tracks("cam", n, n as u32 + 1)).collect::<Vec<_>>());
        b.out.taken::<CropsRow>("crops").into_iter().flat_map(|row| row.crops).map(|crop| (crop.evidence.len(), crop.overview)).collect()
    };
    assert!(sent(&[]).iter().all(|(_, overview)| overview.is_empty()));
    for (wanted, width) in [("160", 160), ("3840", layout().as_image().unwrap().width as usize)] {
        let crops = sent(&[("OVERVIEW_PX", wanted)]);
        // A reading takes two crops, and so does a frame to go with it.
        let shown: Vec<(bool, bool)> = crops.iter().map(|(evidence, overview)| (*evidence > 0, !overview.is_empty())).collect();
        assert_eq!(shown, [(true, false), (true, true)]);
        for (_, overview) in crops {
            if !overview.is_empty() {
                let image = *layout().as_image().unwrap();
                let height = (image.height as usize * width).div_ceil(image.width as usize) & !1;
                assert_eq!(jpeg_size(&overview), (width, height));
            }
        }
    }
}

/// Width and height from the frame header (SOF0) of a JPEG.
fn jpeg_size(jpeg: &[u8]) -> (usize, usize) {
    let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).expect("a baseline JPEG");
    let number = |i: usize| usize::from(u16::from_be_bytes([jpeg[at + i], jpeg[at + i + 1]]));
    (number(7), number(5))
}

#[test]
fn crops_do_not_depend_on_timing_or_on_the_other_camera() {
    let strip = |rows: Vec<CropsRow>| -> Vec<CropsRow> {
        let mut rows: Vec<CropsRow> = rows.into_iter().filter(|r| r.source == "a").collect();
        rows.iter_mut().flat_map(|r| &mut r.crops).for_each(|c| c.handle = [0; 192]);
        rows
    };
    let mut alone = Bench::new(&[("READ_EVERY_FRAMES", "1")]);
    let mut wanted = Vec::new();
    for n in 0..12 {
        let frame = alone.frame("a", n, 0.0, (12 - n as usize) / 3);
        alone.send_frames(&[frame]);
        alone.send_tracks(&[tracks("a", n, n as u32)]);
        wanted.extend(alone.taken());
    }
    let wanted = strip(wanted);
    assert!(
        wanted.iter().filter(|r| r.crops.first().is_some_and(|c| !c.evidence.is_empty())).count() >= 2,
        "sharper crops are new evidence"
    );

    let mut both = Bench::new(&[("READ_EVERY_FRAMES", "1")]);
    let mut found = Vec::new();
    for group in 0..4u64 {
        let numbers: Vec<u64> = (3 * group..3 * group + 3).collect();
        // Tracks first, then the frames, two cameras mixed.
        both.send_tracks(&numbers.iter().flat_map(|&n| [tracks("b", n, 9), tracks("a", n, n as u32)]).collect::<Vec<_>>());
        let frames: Vec<FrameRow> =
            numbers.iter().flat_map(|&n| [both.frame("a", n, 0.0, (12 - n as usize) / 3), both.frame("b", n, 0.0, 0)]).collect();
        both.send_frames(&frames);
        found.extend(both.taken());
    }
    assert_eq!(strip(found), wanted);
    assert!(both.dir.path().exists());
}

#[test]
fn a_slanted_plate_is_levelled_and_a_level_one_is_left_alone() {
    for (slope, rectify) in [(0.12f32, "true"), (-0.1, "true"), (0.12, "false")] {
        let mut b = Bench::new(&[("MIN_TRACK_FRAMES", "1"), ("RECTIFY", rectify)]);
        let frame = b.frame("cam", 0, slope, 0);
        b.send_frames(&[frame]);
        // The detector's box is the box around the slanted plate.
        let grow = slope.abs() * 58.0;
        let mut row = tracks("cam", 0, 5);
        row.tracks[0].plate_in_source = Some(BoxXyxy::new(PLATE.x0, PLATE.y0 - grow, PLATE.x1, PLATE.y1 + grow));
        b.send_tracks(&[row]);
        let sent: Vec<CropsRow> = b.out.taken("crops");
        let crop = &sent[0].crops[0];
        assert_eq!(crop.height, 80);
        let picture = b.reader.acquire(&Handle::from_bytes(crop.handle)).unwrap();
        let stride = picture.layout().as_image().unwrap().planes()[0].stride as usize;
        // Ink per row; level strokes begin and end within few rows.
        let (w, h) = (crop.width as usize, crop.height as usize);
        let ink = |y: usize| (w / 8..w - w / 8).filter(|x| picture.bytes()[y * stride + 3 * x] < 48).count();
        let full = (0..h).map(ink).max().unwrap();
        let partial = (0..h).filter(|&y| (full / 5..full * 4 / 5).contains(&ink(y))).count();
        if rectify == "true" {
            assert!(partial <= 8, "slope {slope}: {partial} rows are partly ink");
        } else {
            assert!(partial > 12, "slope {slope}: {partial} rows are partly ink");
        }
        picture.ack();
    }
}

#[test]
fn frames_without_a_plate_to_read_are_given_back_and_keep_their_rows() {
    let mut b = Bench::new(&[]);
    let frames: Vec<FrameRow> = (0..3).map(|n| b.frame("cam", n, 0.0, 0)).collect();
    b.send_frames(&frames[..1]);
    b.send_frames(&frames[2..]);
    b.send_tracks(&[TracksRow { tracks: Vec::new(), ..tracks("cam", 0, 0) }, tracks("cam", 1, 9), tracks("cam", 2, 2)]);
    let rows = b.taken();
    assert_eq!(rows.iter().map(|r| (r.frame, r.crops.len())).collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(b.out.counted("frames_missing"), 1, "frame 1 was dropped on the way and is said");
}

#[test]
fn plates_at_the_border_and_boxes_beyond_it_are_cut_without_harm() {
    let mut b = Bench::new(&[("MIN_TRACK_FRAMES", "1"), ("READ_EVERY_FRAMES", "1")]);
    let boxes = [
        BoxXyxy::new(-10.0, -4.0, 60.0, 20.0),
        BoxXyxy::new(900.0, 520.0, 990.0, 560.0),
        BoxXyxy::new(0.0, 0.0, 960.0, 540.0),
        BoxXyxy::new(5.0, 5.0, 6.0, 6.0),
        BoxXyxy::new(50.0, 50.0, f32::NAN, 60.0),
        BoxXyxy::new(100.0, 100.0, 900.0, 106.0),
    ];
    for (n, plate) in boxes.iter().enumerate() {
        let frame = b.frame("cam", n as u64, 0.0, 0);
        b.send_frames(&[frame]);
        let mut row = tracks("cam", n as u64, 9);
        row.tracks[0].plate_in_source = Some(*plate);
        row.tracks[0].track_id = n as u64;
        b.send_tracks(&[row]);
    }
    let sizes: Vec<Vec<(u32, u32)>> = b.taken().iter().map(|r| r.crops.iter().map(|c| (c.width, c.height)).collect()).collect();
    assert_eq!(sizes, [vec![(233, 80)], vec![(180, 80)], vec![(284, 160)], vec![], vec![], vec![(480, 80)]]);
}

#[test]
fn frames_are_passed_on_to_those_who_ask_for_them_and_who_may_read_their_pool() {
    let dir = tempfile::tempdir().unwrap();
    let graph = serde_json::json!({ "nodes": [
        { "id": "crop", "inputs": { "frames": "decode/frames", "tracks": "track/tracks", "wanted": "preview/wanted" } },
        { "id": "preview", "inputs": { "views": { "source": "crop/views", "queue_size": 8 }, "tracks": "crop/view_tracks" } },
    ]});
    let context = |node| Context::for_test(node, Mode::Live, dir.path()).in_graph(graph.clone()).unwrap();
    let pool = context("decode").pool("frames", 40, layout().byte_len()).unwrap();
    let mut node = Crop::open(params(&[]), &context("crop").with_consumer("crops", "enhance")).unwrap();
    let mut out = Outputs::collector();
    let mut pass = |number: u64, wanted: &[WantedRow]| {
        let row = publish(&pool, "cam", number, 0.0, 0);
        if !wanted.is_empty() {
            node.on_input(&Input::of("wanted", wanted), &mut out).unwrap();
        }
        node.on_input(&Input::of("frames", &[row]), &mut out).unwrap();
        node.on_input(&Input::of("tracks", &[tracks("cam", number, 1)]), &mut out).unwrap();
        (out.taken::<FrameRow>("views"), out.taken::<TracksRow>("view_tracks"))
    };
    assert_eq!(pass(0, &[]), (vec![], vec![]), "nobody looks");
    let wanted = WantedRow { source: "cam".into(), every_ns: 0, for_ns: 5_000_000_000, ..WantedRow::default() };
    let (frames, of_them) = pass(1, &[wanted]);
    assert_eq!((frames.len(), of_them), (1, vec![tracks("cam", 1, 1)]));
    let seen = context("preview").client(8).unwrap().acquire(&Handle::from_bytes(frames[0].handle)).expect("it is a reader of the pool");
    assert_eq!(seen.layout(), &layout());
    assert_eq!(pass(2, &[]).0[0].frame, 2);
}

#[test]
fn a_message_of_another_type_is_a_fault() {
    let mut b = Bench::new(&[]);
    let fault = b.node.on_input(&Input::of("tracks", &[DetectionsRow::default()]), &mut b.out).unwrap_err();
    assert!(fault.message().contains("tracks/v1"), "{fault}");
}
