//! The node with real pools in one process, alone and behind `pack`.

use gantry_contract::ParamSet;
use gantry_frames::{Client, FrameMeta, Handle, Layout, Mode, Pool, SourceName, StopFlag, View};
use gantry_messages::{CreditRow, FrameRow, PixelsRow};
use gantry_node::{Context, Input, Outputs, Stage, Work, frame_row};
use gantry_node_pack::Pack;
use gantry_node_unpack::{CONTRACT, Params, Unpack};

struct Bench {
    _dir: tempfile::TempDir,
    node: Unpack,
    out: Outputs,
    client: Client,
}

fn bench(mode: Mode, given: &[(&str, &str)]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let params: Params = ParamSet::from_env(&CONTRACT, given.iter().copied()).unwrap().to().unwrap();
    let node = Unpack::open(params, &Context::for_test("unpack", mode, dir.path()).with_consumer("frames", "resize")).unwrap();
    let client = Context::for_test("resize", mode, dir.path()).client(8).unwrap();
    Bench { _dir: dir, node, out: Outputs::collector(), client }
}

impl Bench {
    fn give(&mut self, rows: &[PixelsRow]) -> Result<(), gantry_node::Fault> {
        self.node.on_input(&Input::of("pixels", rows), &mut self.out)
    }

    fn frames(&mut self) -> Vec<FrameRow> {
        self.out.taken("frames")
    }

    fn credits(&mut self) -> Vec<(u64, bool, bool)> {
        self.out.taken::<CreditRow>("credit").iter().map(|c| (c.frame, c.resend, c.end)).collect()
    }
}

/// 7x5 I420: 35 bytes of Y, twice 12 of colour.
fn pixels(frame: u64) -> PixelsRow {
    let data = (0..59).map(|i| (i + frame * 3) as u8).collect();
    let text = |s: &str| s.to_owned();
    PixelsRow {
        source: text("cam"),
        frame,
        pts_ns: 40 * frame as i64,
        width: 7,
        height: 5,
        format: text("I420"),
        matrix: text("bt709"),
        range: text("limited"),
        source_width: 14,
        source_height: 10,
        scale_x: 2.0,
        scale_y: 2.0,
        data,
        ..PixelsRow::default()
    }
}

fn end(frame: u64) -> PixelsRow {
    PixelsRow { source: "cam".into(), frame, end: true, ..PixelsRow::default() }
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Unpack>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn pictures_become_frames_with_all_that_is_said_of_them() {
    let mut bench = bench(Mode::Lossless, &[]);
    bench.give(&[pixels(0), pixels(1), end(2)]).unwrap();
    let sent = bench.frames();
    assert_eq!(sent.iter().map(|row| (row.frame, row.end)).collect::<Vec<_>>(), [(0, false), (1, false), (2, true)]);
    assert_eq!(bench.credits(), [(3, false, true)]);
    for row in &sent[..2] {
        let frame = bench.client.acquire(&Handle::from_bytes(row.handle)).unwrap();
        let image = *frame.layout().as_image().unwrap();
        assert_eq!((image.width, image.height, image.colour), (7, 5, gantry_frames::Colour::BT709_LIMITED));
        let wanted = pixels(row.frame);
        assert_eq!(frame.plane(0).unwrap()[2 * 64..][..7], wanted.data[14..21], "third row of Y");
        assert_eq!(frame.plane(2).unwrap()[2 * 64..][..4], wanted.data[55..59], "third row of V");
        assert_eq!((row.pts_ns, row.scale_x, row.source_width), (wanted.pts_ns, 2.0, 14));
        frame.ack();
    }
    bench.node.finish(&mut bench.out).unwrap();
}

#[test]
fn each_frame_goes_on_once_and_in_order_and_a_hole_is_asked_for_once() {
    let mut bench = bench(Mode::Lossless, &[]);
    bench.give(&[pixels(0)]).unwrap();
    bench.give(&[pixels(2)]).unwrap();
    bench.give(&[pixels(3)]).unwrap();
    assert_eq!(bench.credits(), [(1, false, false), (1, true, false)]);
    for n in [0, 1, 2, 1, 3] {
        bench.give(&[pixels(n)]).unwrap();
    }
    // Repeated frames are answered: the first answer may have been lost.
    assert_eq!(bench.credits().iter().map(|c| c.0).collect::<Vec<_>>(), [1, 2, 3, 3, 4]);
    assert_eq!(bench.frames().iter().map(|row| row.frame).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!((bench.out.counted("repeated"), bench.out.counted("asked_again")), (2, 1));
    // Another hole is asked for, too, and once more when what was sent again came without it.
    for n in [5, 6, 7] {
        bench.give(&[pixels(n)]).unwrap();
    }
    assert_eq!(bench.credits(), [(4, true, false)]);
    for n in [5, 6, 7] {
        bench.give(&[pixels(n)]).unwrap();
    }
    assert_eq!(bench.credits(), [(4, true, false)]);
}

#[test]
fn bytes_that_do_not_fit_their_picture_are_refused_and_nothing_of_it_goes_on() {
    let wrong = [
        (PixelsRow { data: vec![0; 58], ..pixels(0) }, "58 bytes came, 7x5 I420 has 59"),
        (PixelsRow { data: vec![0; 60], ..pixels(0) }, "60 bytes came"),
        (PixelsRow { data: Vec::new(), ..pixels(0) }, "0 bytes came"),
        (PixelsRow { width: u32::MAX, height: u32::MAX, ..pixels(0) }, "4294967295"),
        (PixelsRow { width: 0, ..pixels(0) }, "0x5"),
        (PixelsRow { format: "YUY2".into(), ..pixels(0) }, "format `YUY2` is not known"),
        (PixelsRow { matrix: "bt470".into(), ..pixels(0) }, "matrix `bt470` is not known"),
        (PixelsRow { range: String::new(), ..pixels(0) }, "range `` is not known"),
        (PixelsRow { source: "x".repeat(65), ..pixels(0) }, "65 bytes"),
        (PixelsRow { width: 64, height: 40, data: vec![0; 3840], ..pixels(0) }, "takes 5120 bytes, a slot has 4000"),
    ];
    for (row, says) in wrong {
        let mut bench = bench(Mode::Lossless, &[("MAX_BYTES", "4000")]);
        let fault = bench.give(&[row]).unwrap_err();
        assert!(fault.message().contains("frame 0") && fault.message().contains(says), "{fault}");
        assert!(bench.frames().is_empty() && bench.credits().is_empty());
    }
}

#[test]
fn in_live_mode_what_comes_goes_on() {
    let mut bench = bench(Mode::Live, &[]);
    for n in [7, 9, 100] {
        bench.give(&[pixels(n)]).unwrap();
    }
    assert_eq!(bench.frames().iter().map(|row| row.frame).collect::<Vec<_>>(), [7, 9, 100]);
    assert!(bench.credits().is_empty());
}

/// A frame of noise.
fn publish(pool: &Pool, layout: Layout, number: u64) -> FrameRow {
    let mut slot = pool.begin_write(&StopFlag::new()).unwrap();
    let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in slot.bytes_mut() {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        *byte = x as u8;
    }
    let view = View { scale_x: 0.5, offset_y: 3.0, ..View::whole(853, 479) };
    let meta = FrameMeta { source: SourceName::new("cam").unwrap(), frame: number, pts_ns: 7, captured_ns: 8, view };
    frame_row(&slot.fill(layout).unwrap().publish(&meta).handle, &layout, &meta)
}

#[test]
fn behind_pack_and_over_messages_that_are_lost_and_repeated_every_frame_arrives_as_it_was() {
    const FRAMES: u64 = 60;
    let layout = Layout::i420(853, 479).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let context = |node: &str| Context::for_test(node, Mode::Lossless, dir.path());
    let pool =
        context("decode").with_consumer("frames", "pack").with_consumer("frames", "witness").pool("frames", 64, layout.byte_len()).unwrap();
    let witness = context("witness").client(8).unwrap();
    let pack_params = ParamSet::from_env(&gantry_node_pack::CONTRACT, [("WINDOW_FRAMES", "4")]).unwrap().to().unwrap();
    let mut pack = Pack::open(pack_params, &context("pack")).unwrap();
    let mut bench = bench(Mode::Lossless, &[("POOL_SLOTS", "9")]);
    let mut from_pack = Outputs::collector();
    let mut rows: Vec<FrameRow> = (0..FRAMES).map(|n| publish(&pool, layout, n)).collect();
    let originals = rows.clone();
    rows.push(FrameRow { source: "cam".into(), frame: FRAMES, end: true, ..FrameRow::default() });
    pack.on_input(&Input::of("frames", &rows), &mut from_pack).unwrap();

    let (mut arrived, mut messages, mut done) = (Vec::new(), 0u64, false);
    for _ in 0..2000 {
        match pack.work(&mut from_pack).unwrap() {
            Work::Done => {
                done = true;
                break;
            }
            Work::Again => {}
            // Everything under way was lost: a tick after a second asks again.
            _ => {
                std::thread::sleep(std::time::Duration::from_millis(20));
                pack.on_tick(&mut from_pack).unwrap();
            }
        }
        for row in from_pack.taken::<PixelsRow>("pixels") {
            messages += 1;
            let times = match messages % 7 {
                3 => 0,
                5 => 2,
                _ => 1,
            };
            (0..times).for_each(|_| bench.give(std::slice::from_ref(&row)).unwrap());
        }
        for row in bench.frames().into_iter().filter(|row| !row.end) {
            let frame = bench.client.acquire(&Handle::from_bytes(row.handle)).unwrap();
            let original = witness.acquire(&Handle::from_bytes(originals[row.frame as usize].handle)).unwrap();
            for plane in 0..3 {
                let (row_bytes, lines) = layout.as_image().unwrap().format.plane_size(plane, 853, 479);
                let stride = layout.as_image().unwrap().planes()[plane].stride as usize;
                for y in 0..lines as usize {
                    let line = |bytes: &[u8]| bytes[y * stride..][..row_bytes as usize].to_vec();
                    assert!(
                        line(frame.plane(plane).unwrap()) == line(original.plane(plane).unwrap()),
                        "frame {}, plane {plane}, row {y}",
                        row.frame
                    );
                }
            }
            assert_eq!(FrameRow { handle: originals[row.frame as usize].handle, ..row.clone() }, originals[row.frame as usize]);
            frame.ack();
            original.ack();
            arrived.push(row.frame);
        }
        for credit in bench.out.taken::<CreditRow>("credit") {
            // Every fifth answer is lost.
            if credit.frame % 5 != 4 || credit.resend {
                pack.on_input(&Input::of("credit", &[credit]), &mut from_pack).unwrap();
            }
        }
    }
    assert!(done, "{} of {FRAMES} frames arrived", arrived.len());
    assert_eq!(arrived, (0..FRAMES).collect::<Vec<_>>());
    assert!(!pool.has_unread(), "every frame went back to its producer");
    assert!(bench.out.counted("repeated") > 5 && bench.out.counted("asked_again") > 0);
    pack.finish(&mut from_pack).unwrap();
    bench.node.finish(&mut bench.out).unwrap();
}
