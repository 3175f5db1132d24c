//! The nodes `crop`, `enhance` and `recognize` with plates on a card: the crops, scores, evidence and texts of the host, from frames of the card and of the
//! host. On a card, or over the driver shim; the reader runs on the CPU there.

use gantry_frames::{Colour, FrameMeta, Layout, Memory, Mode, PixelFormat, Pool, SourceName, StopFlag, View};
use gantry_gpu_checks::{REQUIRED, context as card_context, over_the_shim};
use gantry_images::{Gray, gray_from_yuv};
use gantry_inference::{Device, Options, Picture, Reader, ReaderInput};
use gantry_kernels::{DeviceGrey, Kernels, LoadOptions, Queue};
use gantry_messages::{BoxXyxy, CropsRow, FrameRow, TextsRow, Track, TracksRow};
use gantry_node::{Context, Input, Outputs, Stage};
use std::path::{Path, PathBuf};

const W: u32 = 960;
const H: u32 = 540;
const FRAMES: u64 = 4;

fn params<S: Stage>(given: &[(&str, &str)]) -> S::Params {
    gantry_contract::ParamSet::from_env(&S::CONTRACT, given.iter().copied()).expect("parameters are right").to().expect("they fit")
}

/// A model of the tree, in a folder above this program (packed ones bring theirs) or where it was built.
fn models(name: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let tree = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let found = program.ancestors().chain([tree.as_path()]).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no {name} above the program or in the tree")).display().to_string()
}

/// NV12: a street of noise and waves, with plates at [`plates`]: light, with dark strokes that lean.
fn picture(number: u64) -> (Layout, Vec<u8>) {
    let layout = Layout::packed(PixelFormat::Nv12, W, H, Colour::BT709_LIMITED).unwrap();
    let image = *layout.as_image().unwrap();
    let mut bytes = vec![128u8; layout.byte_len() as usize];
    let stride = image.planes()[0].stride as usize;
    let mut state = 7 + number as u32;
    for y in 0..H as usize {
        for x in 0..W as usize {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes[y * stride + x] = (90.0 + 40.0 * ((x + y) as f64 * 0.02).sin() + f64::from(state >> 28)) as u8;
        }
    }
    for (i, plate) in plates(number).iter().enumerate() {
        let slope = [0.0, 0.12, -0.2, 0.05][i % 4];
        let (cx, cy) = plate.center();
        for y in plate.y0.max(0.0) as usize..(plate.y1 as usize).min(H as usize) {
            for x in plate.x0.max(0.0) as usize..(plate.x1 as usize).min(W as usize) {
                let dy = (y as f32 + 0.5 - cy - slope * (x as f32 + 0.5 - cx)).abs() / plate.height();
                let dark = dy < 0.25 && ((x as f32 - plate.x0) / plate.width() * 13.0) as u32 % 2 == 1;
                bytes[y * stride + x] = if dark {
                    45
                } else if dy < 0.4 {
                    215
                } else {
                    100
                };
            }
        }
    }
    (layout, bytes)
}

/// Small and large, slanted, over the edge, and one that is too low for a slope.
fn plates(number: u64) -> Vec<BoxXyxy> {
    let moved = number as f32 * 3.0;
    vec![
        BoxXyxy::new(100.0 + moved, 80.0, 190.0 + moved, 104.0),
        BoxXyxy::new(300.5, 200.25 + moved, 520.0, 262.75 + moved),
        BoxXyxy::new(880.0, 400.0, 970.0, 430.0),
        BoxXyxy::new(40.0, 300.0, 64.0 + moved, 308.0),
        BoxXyxy::new(420.0, 310.0, 900.0, 490.0),
    ]
}

fn publish(pool: &Pool, number: u64) -> FrameRow {
    let (layout, bytes) = picture(number);
    let mut slot = pool.begin_write(&StopFlag::new()).unwrap();
    let stream = slot.device_mut().map(|mut card| {
        let stream = gantry_cuda::Stream::new(&card_context().unwrap()).unwrap();
        stream.upload(&bytes, &mut card.part(0, bytes.len()).unwrap()).unwrap();
        stream
    });
    let filled = match &stream {
        Some(stream) => slot.fill_after(layout, stream).unwrap(),
        None => {
            slot.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
            slot.fill(layout).unwrap()
        }
    };
    let meta = FrameMeta {
        source: SourceName::new("cam").unwrap(),
        frame: number,
        pts_ns: number as i64,
        captured_ns: 6,
        view: View::whole(W, H),
    };
    FrameRow {
        source: "cam".into(),
        frame: number,
        width: W,
        height: H,
        source_width: W,
        source_height: H,
        format: "NV12".into(),
        scale_x: 1.0,
        scale_y: 1.0,
        handle: *filled.publish(&meta).handle.as_bytes(),
        ..Default::default()
    }
}

fn tracks(number: u64) -> TracksRow {
    let track = |(i, plate): (usize, BoxXyxy)| Track {
        track_id: 1 + i as u64,
        age_frames: 9,
        matched: true,
        vehicle_in_source: None,
        vehicle_confidence: 0.0,
        plate_in_source: Some(plate),
        plate_confidence: 0.9,
        plate_frames: 9,
    };
    let tracks = plates(number).into_iter().enumerate().map(track).collect();
    TracksRow { source: "cam".into(), frame: number, source_width: W, source_height: H, tracks, ..Default::default() }
}

/// What the three nodes make: crops as `crop` and as `enhance` describe them, and texts.
#[derive(PartialEq)]
struct Made {
    cut: Vec<CropsRow>,
    enhanced: Vec<CropsRow>,
    texts: Vec<TextsRow>,
}

fn made(frames_on_card: bool, memory: &'static str, device: &'static str) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let card = Memory::CudaVmmFd(card_context().unwrap());
    let node = |id: &str, output: &str, reader: &str| {
        Context::for_test(id, Mode::Lossless, dir).with_consumer(output, reader).with_memory(card.clone())
    };
    let decode = node("decode", "frames", "crop");
    let bytes = picture(0).0.byte_len();
    let pool = if frames_on_card { decode.pool_in("frames", 16, bytes, 0, &card) } else { decode.pool("frames", 16, bytes) }.unwrap();
    let program = std::env::current_exe().unwrap();
    let folders = format!("{}:{}", program.parent().unwrap().display(), program.ancestors().nth(2).unwrap().display());
    let place = ("MEMORY", memory);
    let mut crop = gantry_node_crop::Crop::open(
        params::<gantry_node_crop::Crop>(&[place, ("READ_EVERY_FRAMES", "1"), ("OVERVIEW_PX", "400")]),
        &node("crop", "crops", "enhance"),
    )
    .unwrap();
    let operators = ("OPERATORS", "clahe,equalize,adaptive_threshold,morphology,sharpen");
    let mut enhance = gantry_node_enhance::Enhance::open(
        params::<gantry_node_enhance::Enhance>(&[place, operators, ("OPTIONS", "sharpen.amount=0.8"), ("OPERATOR_PATH", &folders)]),
        &node("enhance", "crops", "recognize"),
    )
    .unwrap();
    let mut recognize = gantry_node_recognize::Recognize::open(
        params::<gantry_node_recognize::Recognize>(&[place, ("DEVICE", device), ("MODEL", &models("models/reader.onnx"))]),
        &node("recognize", "texts", "vote"),
    )
    .unwrap();
    let mut made = Made { cut: Vec::new(), enhanced: Vec::new(), texts: Vec::new() };
    let without_handles = |rows: &[CropsRow]| {
        let mut rows = rows.to_vec();
        rows.iter_mut().flat_map(|row| &mut row.crops).for_each(|crop| crop.handle = [0; 192]);
        rows
    };
    let mut out = Outputs::collector();
    for number in 0..FRAMES {
        let frame = publish(&pool, number);
        let _edge = gantry_copies::edge(memory);
        crop.on_input(&Input::of("frames", &[frame]), &mut out).unwrap();
        crop.on_input(&Input::of("tracks", &[tracks(number)]), &mut out).unwrap();
        let cut: Vec<CropsRow> = out.taken("crops");
        made.cut.extend(without_handles(&cut));
        enhance.on_input(&Input::of("crops", &cut), &mut out).unwrap();
        let enhanced: Vec<CropsRow> = out.taken("crops");
        made.enhanced.extend(without_handles(&enhanced));
        recognize.on_input(&Input::of("crops", &enhanced), &mut out).unwrap();
        made.texts.extend(out.taken::<TextsRow>("texts"));
    }
    made
}

fn assert_same(found: &Made, wanted: &Made, place: &str) {
    for (found, wanted) in found.cut.iter().zip(&wanted.cut) {
        for (found, wanted) in found.crops.iter().zip(&wanted.crops) {
            assert_eq!((found.track_id, found.width, found.height), (wanted.track_id, wanted.width, wanted.height), "{place}");
            assert_eq!(found.legibility, wanted.legibility, "{place}: track {}", found.track_id);
            assert!(found.evidence == wanted.evidence, "{place}: evidence of track {}", found.track_id);
            assert!(found.overview == wanted.overview, "{place}: overview of track {}", found.track_id);
        }
    }
    assert!(found.cut == wanted.cut && found.enhanced == wanted.enhanced, "{place}");
    assert_eq!(found.texts, wanted.texts, "{place}");
}

#[test]
fn crops_scores_evidence_and_texts_are_those_of_the_host_and_no_frame_leaves_the_card() {
    if card_context().is_none() {
        return;
    }
    let host = made(false, "host", "cpu");
    assert!(
        host.cut.iter().all(|row| row.crops.len() == plates(0).len())
            && host.cut[0].crops.iter().all(|crop| !crop.evidence.is_empty())
            && host.cut[1].crops.iter().all(|crop| !crop.evidence.is_empty() && !crop.overview.is_empty())
    );
    assert!(host.texts.iter().flat_map(|row| &row.texts).all(|text| text.reads.len() == 6));
    assert_same(&made(true, "cuda", "cpu"), &host, "frames of the card");
    let copies = gantry_copies::counted()["cuda"];
    // Scores and evidence came off; no frame did, nor went up.
    assert!(copies.results > 0 && copies.result_bytes > 0, "{copies:?}");
    assert_eq!((copies.on_host, copies.to_card), (0, 0), "{copies:?}");
    assert_same(&made(false, "cuda", "cpu"), &host, "frames of the host");
}

/// The reader's input out of grey pictures of the card, for models that take levels and numbers, one channel and three, stretched and fitted.
#[test]
fn a_readers_input_has_the_bytes_that_the_host_makes() {
    let Some(context) = card_context() else { return };
    let kernels = Kernels::load(&context, &LoadOptions::from_env()).unwrap_or_else(|e| panic!("{e}; {}", e.hint()));
    let mut queue = Queue::new(&kernels).unwrap();
    let (layout, frame) = picture(1);
    let mut grey = vec![0; (W * H) as usize];
    gray_from_yuv(&gantry_images::Yuv::of(layout.as_image().unwrap(), &frame).unwrap(), &mut grey);
    let sizes = [(356usize, 80usize), (48, 30), (480, 80), (300, 64)];
    let models_of =
        ["models/reader.onnx", "tests/models/ctc_steps_first_f32.onnx", "tests/models/slots_flat_rgb.onnx", "tests/models/ctc.onnx"];
    for model in models_of {
        let mut reader = Reader::open(Path::new(&models(model)), &Options { device: Device::Cpu, ..Options::default() }).unwrap();
        let batch = reader.info().image.batch.unwrap_or(6);
        let parts: Vec<_> = sizes.iter().take(batch).collect();
        let pictures: Vec<Picture<'_>> = parts.iter().map(|(w, h)| Picture::Gray(Gray::new(&grey, *w, *h, W as usize).unwrap())).collect();
        let wanted = reader.input(&pictures, batch).to_vec();
        let mut input = ReaderInput::of(&reader);
        assert_eq!(wanted.len(), batch * input.picture_len(), "{model}");
        let on_card = gantry_cuda::DeviceMemory::create_private(&context, grey.len()).unwrap();
        queue.stream().upload(&grey, &mut on_card.slice_mut(0, grey.len()).unwrap()).unwrap();
        let room = gantry_cuda::DeviceMemory::create_private(&context, wanted.len()).unwrap();
        // As after a run of other pictures.
        queue.stream().fill(&mut room.slice_mut(0, wanted.len()).unwrap(), 9).unwrap();
        let greys: Vec<DeviceGrey<'_>> = parts
            .iter()
            .map(|(w, h)| {
                let pixels = on_card.slice(0, W as usize * (h - 1) + w).unwrap();
                DeviceGrey { pixels, width: *w as u32, height: *h as u32, stride: W }
            })
            .collect();
        input.fill(&mut queue, &greys, &mut room.slice_mut(0, wanted.len()).unwrap()).unwrap();
        let mut found = vec![0; wanted.len()];
        queue.stream().download(&room.slice(0, wanted.len()).unwrap(), &mut found).unwrap();
        let filled = parts.len() * input.picture_len();
        assert!(found[..filled] == wanted[..filled], "{model}: {:?}", reader.info().input);
        assert!(found[filled..].iter().all(|byte| *byte == 9), "{model}: places without a picture stay");
    }
}

#[test]
fn the_nodes_pass_over_the_driver_shim() {
    if std::env::var_os(REQUIRED).is_none() {
        over_the_shim(&["crops_scores", "a_readers_input"], &[]);
    }
}
