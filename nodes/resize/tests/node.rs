//! The node with real pools in one process.

use gantry_frames::{Client, FrameMeta, Handle, Layout, Mode, Pool, SourceName, StopFlag};
use gantry_messages::{CropsRow, FrameRow};
use gantry_node::{Context, Input, Outputs, Stage};
use gantry_node_resize::{CONTRACT, Params, Resize};
use std::path::Path;

fn params(given: &[(&str, &str)]) -> Params {
    gantry_contract::ParamSet::from_env(&CONTRACT, given.iter().copied()).expect("parameters are right").to().expect("defaults fit")
}

fn decode_pool(dir: &Path, layout: &Layout) -> Pool {
    Context::for_test("decode", Mode::Lossless, dir).with_consumer("frames", "resize").pool("frames", 16, layout.byte_len()).expect("pool")
}

/// A grey frame whose upper half is lighter.
fn publish(pool: &Pool, layout: Layout, number: u64) -> FrameRow {
    let mut slot = pool.begin_write(&StopFlag::new()).expect("slot");
    let image = *layout.as_image().expect("picture");
    let luma = image.planes()[0];
    slot.bytes_mut().fill(128);
    for y in 0..image.height as usize {
        let level = if y < image.height as usize / 2 { 180 } else { 60 };
        slot.bytes_mut()[y * luma.stride as usize..][..image.width as usize].fill(level);
    }
    let meta =
        FrameMeta { source: SourceName::new("cam").expect("short"), frame: number, pts_ns: 5, captured_ns: 6, ..FrameMeta::default() };
    let published = slot.fill(layout).expect("fits").publish(&meta);
    FrameRow {
        source: "cam".into(),
        frame: number,
        pts_ns: 5,
        captured_ns: 6,
        width: image.width,
        height: image.height,
        source_width: image.width,
        source_height: image.height,
        format: "I420".into(),
        handle: *published.handle.as_bytes(),
        ..Default::default()
    }
}

fn reader(dir: &Path) -> Client {
    Context::for_test("detect", Mode::Lossless, dir).client(8).expect("client")
}

fn context(dir: &Path) -> Context {
    Context::for_test("resize", Mode::Lossless, dir).with_consumer("images", "detect")
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Resize>(env!("CARGO_MANIFEST_DIR"));
}

/// A live node with a pool that it reads.
fn live(dir: &Path) -> (Layout, Pool, Resize) {
    let layout = Layout::i420(64, 64).expect("layout");
    let context = |node: &str| Context::for_test(node, Mode::Live, dir);
    let pool = context("decode").with_consumer("frames", "resize").pool("frames", 32, layout.byte_len()).expect("pool");
    let node = Resize::open(params(&[]), &context("resize").with_consumer("images", "detect")).expect("opens");
    (layout, pool, node)
}

#[test]
fn in_live_mode_a_moments_frames_wait_and_beyond_them_the_oldest_go() {
    let dir = tempfile::tempdir().expect("folder");
    let (layout, pool, mut node) = live(dir.path());
    let mut out = Outputs::collector();
    let rows: Vec<FrameRow> = (0..6).map(|number| publish(&pool, layout, number)).collect();
    for row in rows.chunks(1) {
        node.on_input(&Input::of("frames", row), &mut out).unwrap();
    }
    node.work(&mut out).unwrap();
    let sent: Vec<u64> = out.taken::<FrameRow>("images").iter().map(|row| row.frame).collect();
    assert_eq!((sent, out.counted("superseded")), (vec![2, 3, 4, 5], 2));
}

#[test]
fn in_live_mode_nothing_is_scaled_for_a_reader_that_does_not_come_to_what_there_is() {
    let dir = tempfile::tempdir().expect("folder");
    let (layout, pool, mut node) = live(dir.path());
    let reader = Context::for_test("detect", Mode::Live, dir.path()).client(8).expect("client");
    let mut out = Outputs::collector();
    let frame = |node: &mut Resize, out: &mut Outputs, number: u64| -> Vec<FrameRow> {
        node.on_input(&Input::of("frames", &[publish(&pool, layout, number)]), out).unwrap();
        node.work(out).unwrap();
        out.taken("images")
    };
    let numbers = |rows: &[FrameRow]| rows.iter().map(|row| row.frame).collect::<Vec<_>>();
    // It comes to the first, then to no more of them.
    let first = frame(&mut node, &mut out, 0);
    drop(reader.acquire(&Handle::from_bytes(first[0].handle)).unwrap());
    let mut sent = Vec::new();
    for number in 1..=6 {
        sent.extend(frame(&mut node, &mut out, number));
    }
    assert_eq!((numbers(&sent), out.counted("unwanted")), (vec![1, 2, 3], 2));
    // It does again: the newest that waits goes out with the next.
    drop(reader.acquire(&Handle::from_bytes(sent[2].handle)).unwrap());
    assert_eq!(numbers(&frame(&mut node, &mut out, 7)), [6, 7]);
    // Had it missed the messages, it would get one after a while.
    for number in 8..=9 {
        frame(&mut node, &mut out, number);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(numbers(&frame(&mut node, &mut out, 10)).last(), Some(&10));
    assert_eq!(out.counted("superseded"), 0);
}

#[test]
fn frames_of_any_size_become_the_detectors_input_with_the_way_back() {
    for (w, h, arrangement) in [(1920u32, 1080u32, "u8"), (853, 479, "u8"), (640, 480, "f32")] {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::i420(w, h).unwrap();
        let pool = decode_pool(dir.path(), &layout);
        let mut node = Resize::open(params(&[("DTYPE", arrangement)]), &context(dir.path())).unwrap();
        let client = reader(dir.path());
        let mut out = Outputs::collector();
        let rows = [
            publish(&pool, layout, 0),
            publish(&pool, layout, 1),
            FrameRow { source: "cam".into(), frame: 2, end: true, ..Default::default() },
        ];
        node.on_input(&Input::of("frames", &rows), &mut out).unwrap();
        assert_eq!(out.message_sizes("images"), [3], "one message for one message");
        let sent: Vec<FrameRow> = out.taken("images");
        assert!(sent[2].end && sent[2].frame == 2);
        for (i, row) in sent[..2].iter().enumerate() {
            assert_eq!((row.frame, row.width, row.height, row.source_width, row.source_height), (i as u64, 960, 544, w, h));
            let frame = client.acquire(&Handle::from_bytes(row.handle)).unwrap();
            let tensor = frame.layout().as_tensor().unwrap();
            assert_eq!(tensor.shape(), [1, 3, 544, 960]);
            let sample = |x: usize, y: usize| match arrangement {
                "u8" => f32::from(frame.bytes()[y * 960 + x]),
                _ => f32::from_le_bytes(frame.bytes()[4 * (y * 960 + x)..][..4].try_into().unwrap()) * 255.0,
            };
            // Limited range: 180 is 191, 60 is 51. Points of the source, taken through the inverse of scale and offset.
            for (sx, sy, wanted) in [(0.3, 0.2, 191.0), (0.9, 0.45, 191.0), (0.1, 0.55, 51.0), (0.99, 0.99, 51.0)] {
                let x = (sx * w as f32 - row.offset_x) / row.scale_x;
                let y = (sy * h as f32 - row.offset_y) / row.scale_y;
                assert!((sample(x as usize, y as usize) - wanted).abs() <= 1.5, "{w}x{h} ({x}, {y}): {}", sample(x as usize, y as usize));
            }
            assert!((sample(0, 0) - 114.0).abs() < 0.01, "{w}x{h}: the corner is border");
            frame.ack();
        }
        assert!(!pool.has_unread(), "every frame was given back");
        node.finish(&mut out).unwrap();
    }
}

#[test]
fn more_frames_than_slots_go_through_when_the_reader_keeps_up() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::nv12(64, 48).unwrap();
    let pool = decode_pool(dir.path(), &layout);
    let mut node = Resize::open(params(&[("WIDTH", "32"), ("HEIGHT", "32"), ("POOL_SLOTS", "9")]), &context(dir.path())).unwrap();
    let client = reader(dir.path());
    let mut out = Outputs::collector();
    for n in 0..40 {
        node.on_input(&Input::of("frames", &[publish(&pool, layout, n)]), &mut out).unwrap();
        for row in out.taken::<FrameRow>("images") {
            assert_eq!(row.frame, n);
            client.acquire(&Handle::from_bytes(row.handle)).unwrap().ack();
        }
    }
    node.finish(&mut out).unwrap();
}

#[test]
fn stop_ends_a_wait_for_a_slot() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::i420(64, 48).unwrap();
    let pool = decode_pool(dir.path(), &layout);
    let ctx = context(dir.path());
    let mut node = Resize::open(params(&[("WIDTH", "32"), ("HEIGHT", "32"), ("POOL_SLOTS", "9")]), &ctx).unwrap();
    let rows: Vec<FrameRow> = (0..12).map(|n| publish(&pool, layout, n)).collect();
    let stop = ctx.stop.clone();
    let later = std::thread::Builder::new().name("stopper".into()).spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        stop.set();
    });
    let mut out = Outputs::collector();
    node.on_input(&Input::of("frames", &rows), &mut out).unwrap();
    node.finish(&mut out).unwrap();
    later.unwrap().join().unwrap();
    let sent: Vec<FrameRow> = out.taken("images");
    assert_eq!(sent.len(), 9, "what was finished was sent before the wait");
}

#[test]
fn a_message_of_another_type_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Resize::open(params(&[]), &context(dir.path())).unwrap();
    let fault = node.on_input(&Input::of("frames", &[CropsRow::default()]), &mut Outputs::collector()).unwrap_err();
    assert!(fault.message().contains("frames/v1"), "{fault}");
}
