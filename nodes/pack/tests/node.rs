//! The node with real pools in one process.

use gantry_frames::{Colour, FrameMeta, Layout, Mode, PixelFormat, Pool, SourceName, StopFlag};
use gantry_messages::{CreditRow, FrameRow, PixelsRow};
use gantry_node::{Context, Input, Outputs, Stage, Work, frame_row};
use gantry_node_pack::{CONTRACT, Pack, Params};
use std::path::Path;

fn params(given: &[(&str, &str)]) -> Params {
    gantry_contract::ParamSet::from_env(&CONTRACT, given.iter().copied()).expect("parameters are right").to().expect("defaults fit")
}

struct Bench {
    _dir: tempfile::TempDir,
    pool: Pool,
    node: Pack,
    out: Outputs,
}

impl Bench {
    fn new(mode: Mode, layout: &Layout) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |node: &str, path: &Path| Context::for_test(node, mode, path);
        let pool = at("decode", dir.path()).with_consumer("frames", "pack").pool("frames", 40, layout.byte_len()).unwrap();
        let node = Pack::open(params(&[("WINDOW_FRAMES", "3")]), &at("pack", dir.path())).unwrap();
        Self { _dir: dir, pool, node, out: Outputs::collector() }
    }

    /// A frame whose byte `i` is `i + number`, padding and all.
    fn frame(&self, layout: Layout, number: u64) -> FrameRow {
        let mut slot = self.pool.begin_write(&StopFlag::new()).unwrap();
        slot.bytes_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = (i as u64 + number) as u8);
        let meta = FrameMeta { source: SourceName::new("cam").unwrap(), frame: number, pts_ns: 5, captured_ns: 6, ..FrameMeta::default() };
        let published = slot.fill(layout).unwrap().publish(&meta);
        frame_row(&published.handle, &layout, &meta)
    }

    /// Lets it work until it has nothing to do; what it sent, by number.
    fn sent(&mut self) -> Vec<u64> {
        while self.node.work(&mut self.out).unwrap() == Work::Again {}
        self.out.taken::<PixelsRow>("pixels").iter().map(|row| row.frame).collect()
    }

    fn credit(&mut self, frame: u64, resend: bool, end: bool) -> Result<(), gantry_node::Fault> {
        let credit = CreditRow { source: "cam".into(), frame, resend, end, ..CreditRow::default() };
        self.node.on_input(&Input::of("credit", &[credit]), &mut self.out)
    }
}

fn end(frame: u64) -> FrameRow {
    FrameRow { source: "cam".into(), frame, end: true, ..FrameRow::default() }
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Pack>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn rows_lose_their_padding_and_keep_their_colour() {
    // Rows of 5 bytes in strides of 64.
    let colour = Colour { matrix: gantry_frames::Matrix::Bt601, range: gantry_frames::Range::Full };
    let layout = Layout::packed(PixelFormat::I420, 5, 3, colour).unwrap();
    let mut bench = Bench::new(Mode::Lossless, &layout);
    let row = bench.frame(layout, 0);
    bench.node.on_input(&Input::of("frames", &[row]), &mut bench.out).unwrap();
    while bench.node.work(&mut bench.out).unwrap() == Work::Again {}
    let sent: Vec<PixelsRow> = bench.out.taken("pixels");
    let [pixels] = sent.as_slice() else { panic!("{} messages", sent.len()) };
    assert_eq!((pixels.width, pixels.height, pixels.format.as_str()), (5, 3, "I420"));
    assert_eq!((pixels.matrix.as_str(), pixels.range.as_str(), pixels.pts_ns, pixels.captured_ns), ("bt601", "full", 5, 6));
    let at = |start: u8, bytes: u8| (start..start + bytes).collect::<Vec<u8>>();
    // Y 5x3, then U and V 3x2: rows at 0, 64, 128, then 192, then 0 again after 256.
    let wanted = [at(0, 5), at(64, 5), at(128, 5), at(192, 3), at(0, 3), at(64, 3), at(128, 3)].concat();
    assert_eq!(pixels.data, wanted);
}

#[test]
fn no_more_than_the_window_is_under_way_and_frames_go_back_when_they_are_acknowledged() {
    let layout = Layout::i420(64, 48).unwrap();
    let mut bench = Bench::new(Mode::Lossless, &layout);
    let rows: Vec<FrameRow> = (0..5).map(|n| bench.frame(layout, n)).chain([end(5)]).collect();
    bench.node.on_input(&Input::of("frames", &rows), &mut bench.out).unwrap();
    assert_eq!(bench.sent(), [0, 1, 2]);
    assert_eq!(bench.pool.acked_next(), 0, "nothing was acknowledged yet");
    bench.credit(2, false, false).unwrap();
    assert_eq!((bench.sent(), bench.pool.acked_next()), (vec![3, 4], 2));
    // Late and repeated credits change nothing.
    bench.credit(1, false, false).unwrap();
    bench.credit(2, false, false).unwrap();
    assert!(bench.sent().is_empty());
    bench.credit(5, false, false).unwrap();
    assert_eq!(bench.sent(), [5]);
    assert!(!bench.pool.has_unread());
    bench.credit(6, false, true).unwrap();
    assert_eq!(bench.node.work(&mut bench.out).unwrap(), Work::Done);
    bench.node.finish(&mut bench.out).unwrap();
}

#[test]
fn what_is_asked_for_or_not_acknowledged_is_sent_again_and_what_is_gone_is_an_error() {
    let layout = Layout::i420(64, 48).unwrap();
    let mut bench = Bench::new(Mode::Lossless, &layout);
    let rows: Vec<FrameRow> = (0..4).map(|n| bench.frame(layout, n)).collect();
    bench.node.on_input(&Input::of("frames", &rows), &mut bench.out).unwrap();
    assert_eq!(bench.sent(), [0, 1, 2]);
    bench.credit(1, true, false).unwrap();
    assert_eq!(bench.sent(), [1, 2, 3]);
    bench.node.on_tick(&mut bench.out).unwrap();
    assert!(bench.sent().is_empty(), "not before a second has passed");
    std::thread::sleep(std::time::Duration::from_millis(1050));
    bench.node.on_tick(&mut bench.out).unwrap();
    assert_eq!(bench.sent(), [1]);
    assert_eq!(bench.out.counted("sent_again"), 3);
    let fault = bench.credit(0, true, false).unwrap_err();
    assert!(fault.message().contains("frame 0 is asked for, everything before 1 was acknowledged"), "{fault}");
    // Everything ends, and nobody has acknowledged what is under way.
    let fault = bench.node.finish(&mut bench.out).unwrap_err();
    assert!(fault.message().contains("3 frames were not acknowledged"), "{fault}");
}

#[test]
fn a_live_camera_sends_its_newest_frame_and_waits_for_nobody() {
    let layout = Layout::i420(64, 48).unwrap();
    let mut bench = Bench::new(Mode::Live, &layout);
    let rows: Vec<FrameRow> = (0..5).map(|n| bench.frame(layout, n)).collect();
    bench.node.on_input(&Input::of("frames", &rows), &mut bench.out).unwrap();
    assert_eq!((bench.sent(), bench.out.counted("superseded")), (vec![4], 4));
    for n in 5..12 {
        let row = bench.frame(layout, n);
        bench.node.on_input(&Input::of("frames", &[row]), &mut bench.out).unwrap();
        assert_eq!(bench.sent(), [n]);
    }
    // Overwritten before it was read.
    let old = bench.frame(layout, 12);
    (13..60).for_each(|n| drop(bench.frame(layout, n)));
    bench.node.on_input(&Input::of("frames", &[old, end(60)]), &mut bench.out).unwrap();
    assert_eq!((bench.sent(), bench.out.counted("frames_stale")), (vec![60], 1));
}

#[test]
fn two_cameras_and_tensors_are_refused() {
    let layout = Layout::i420(64, 48).unwrap();
    let mut bench = Bench::new(Mode::Lossless, &layout);
    bench.node.on_input(&Input::of("frames", &[end(0)]), &mut bench.out).unwrap();
    let other = FrameRow { source: "road".into(), ..end(0) };
    let fault = bench.node.on_input(&Input::of("frames", &[other]), &mut bench.out).unwrap_err();
    assert!(fault.message().contains("camera `road` come beside those of `cam`") && fault.hint_text().is_some(), "{fault}");

    let mut bench = Bench::new(Mode::Lossless, &layout);
    let tensor = bench.frame(Layout::tensor(gantry_frames::DType::U8, &[1, 3, 4, 4]).unwrap(), 0);
    bench.node.on_input(&Input::of("frames", &[tensor]), &mut bench.out).unwrap();
    let fault = bench.node.work(&mut bench.out).unwrap_err();
    assert!(fault.message().contains("camera `cam`, frame 0") && fault.message().contains("a tensor"), "{fault}");
}
