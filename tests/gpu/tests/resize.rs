//! The node `resize` with tensors on a card: the bytes that it makes in host memory, from frames of the card and of the host. On a card, or over the
//! driver shim.

use std::path::Path;

use gantry_frames::{Client, Colour, FrameMeta, Handle, Layout, Memory, Mode, PixelFormat, Pool, SourceName, StopFlag, View};
use gantry_gpu_checks::{REQUIRED, context as card_context, over_the_shim};
use gantry_messages::FrameRow;
use gantry_node::{Context, Input, Outputs, Stage};
use gantry_node_resize::{CONTRACT, Params, Resize};

fn params(given: &[(&str, &str)]) -> Params {
    gantry_contract::ParamSet::from_env(&CONTRACT, given.iter().copied()).expect("parameters are right").to().expect("defaults fit")
}

fn decode(dir: &Path) -> Context {
    Context::for_test("decode", Mode::Lossless, dir).with_consumer("frames", "resize")
}

fn resize(dir: &Path) -> Context {
    Context::for_test("resize", Mode::Lossless, dir).with_consumer("images", "detect")
}

fn picture(layout: &Layout, seed: u32) -> Vec<u8> {
    (0..layout.byte_len() as u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 27) + (i >> 6) % 200 + seed) as u8).collect()
}

/// A frame in a slot of `pool`, wherever that lies.
fn publish(pool: &Pool, layout: Layout, bytes: &[u8], number: u64) -> FrameRow {
    let mut slot = pool.begin_write(&StopFlag::new()).unwrap();
    let stream = match slot.device_mut() {
        Some(mut card) => {
            let stream = gantry_cuda::Stream::new(&card_context().unwrap()).unwrap();
            stream.upload(bytes, &mut card.part(0, bytes.len()).unwrap()).unwrap();
            Some(stream)
        }
        None => {
            slot.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
            None
        }
    };
    let filled = match &stream {
        Some(stream) => slot.fill_after(layout, stream).unwrap(),
        None => slot.fill(layout).unwrap(),
    };
    let image = layout.as_image().unwrap();
    let view = View::whole(image.width, image.height);
    let meta = FrameMeta { source: SourceName::new("cam").unwrap(), frame: number, pts_ns: 5, captured_ns: 6, view };
    FrameRow {
        source: "cam".into(),
        frame: number,
        width: image.width,
        height: image.height,
        source_width: image.width,
        source_height: image.height,
        format: image.format.name().to_uppercase(),
        scale_x: 1.0,
        scale_y: 1.0,
        handle: *filled.publish(&meta).handle.as_bytes(),
        ..Default::default()
    }
}

/// What the node makes of `rows`, with its parameters, as bytes on the host.
fn made(context: &Context, given: &[(&str, &str)], rows: &[FrameRow], reader: &Client) -> Vec<(FrameRow, Vec<u8>)> {
    let mut node = Resize::open(params(given), context).unwrap();
    let mut out = Outputs::collector();
    node.on_input(&Input::of("frames", rows), &mut out).unwrap();
    let sent: Vec<FrameRow> = out.taken("images");
    let bytes = |row: &FrameRow| {
        let frame = reader.acquire(&Handle::from_bytes(row.handle)).unwrap();
        match frame.device() {
            Some(card) => {
                let mut bytes = vec![0; card.len()];
                gantry_cuda::Stream::new(&card_context().unwrap()).unwrap().download(&card, &mut bytes).unwrap();
                bytes
            }
            None => frame.bytes().to_vec(),
        }
    };
    sent.iter().map(|row| (row.clone(), bytes(row))).collect()
}

#[test]
fn tensors_on_the_card_are_those_of_the_host() {
    let Some(card) = card_context() else { return };
    for (format, w, h, dtype) in
        [(PixelFormat::Nv12, 192u32, 108u32, "u8"), (PixelFormat::I420, 101, 57, "u8"), (PixelFormat::Nv12, 250, 180, "f32")]
    {
        let layout = Layout::packed(format, w, h, Colour::BT709_LIMITED).unwrap();
        let given = |memory: &'static str| [("WIDTH", "96"), ("HEIGHT", "64"), ("DTYPE", dtype), ("MEMORY", memory)];
        // On the host, for the tensors that are wanted; then frames of the host and of the card for tensors on the card.
        let mut all = Vec::new();
        for (frames_on_card, memory) in [(false, "host"), (false, "cuda"), (true, "cuda")] {
            let dir = tempfile::tempdir().unwrap();
            let from = decode(dir.path());
            let memory_of_card = Memory::CudaVmmFd(card.clone());
            let pool = match frames_on_card {
                true => from.pool_in("frames", 16, layout.byte_len(), 0, &memory_of_card).unwrap(),
                false => from.pool("frames", 16, layout.byte_len()).unwrap(),
            };
            let rows: Vec<FrameRow> = (0..3).map(|i| publish(&pool, layout, &picture(&layout, i as u32), i)).collect();
            let reader = Context::for_test("detect", Mode::Lossless, dir.path()).client_on(8, &memory_of_card).unwrap();
            all.push(made(&resize(dir.path()).with_memory(memory_of_card), &given(memory), &rows, &reader));
        }
        let [host, uploaded, scaled] = &all[..] else { panic!("three ways") };
        assert_eq!(host.len(), 3);
        for other in [uploaded, scaled] {
            for ((row, bytes), (wanted_row, wanted)) in other.iter().zip(host) {
                assert!(bytes == wanted, "{} {w}x{h} {dtype}", format.name());
                assert_eq!((row.scale_x, row.offset_y, row.frame), (wanted_row.scale_x, wanted_row.offset_y, wanted_row.frame));
            }
        }
    }
}

#[test]
fn the_node_passes_over_the_driver_shim() {
    if std::env::var_os(REQUIRED).is_none() {
        over_the_shim(&["tensors_on_the_card"], &[]);
    }
}

#[test]
fn memory_on_a_card_that_is_not_there_is_an_error_with_a_hint() {
    if gantry_cuda::Device::all().is_ok() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let Err(fault) = Resize::open(params(&[("MEMORY", "cuda")]), &resize(dir.path())) else { panic!("there is no card") };
    let said = format!("{fault:?}");
    assert!(said.contains("no memory of a card") && said.contains("`memory` is `cuda`"), "{said}");
}
