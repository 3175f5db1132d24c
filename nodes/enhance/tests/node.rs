//! The node with real pools and the real operator libraries, in one process.

use gantry_frames::{Client, FrameMeta, Handle, Layout, Mode, Pool, SourceName, StopFlag};
use gantry_messages::{BoxXyxy, Crop, CropsRow, FrameRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use gantry_node_enhance::{CONTRACT, Enhance, Params};
use std::path::Path;

fn params(given: &[(&str, &str)]) -> Params {
    gantry_contract::ParamSet::from_env(&CONTRACT, given.iter().copied()).expect("parameters are right").to().expect("defaults fit")
}

fn open(dir: &Path, given: &[(&str, &str)]) -> Result<Enhance, Fault> {
    Enhance::open(params(given), &Context::for_test("enhance", Mode::Lossless, dir).with_consumer("crops", "recognize"))
}

fn crop_pool(dir: &Path) -> Pool {
    Context::for_test("crop", Mode::Lossless, dir).with_consumer("crops", "enhance").pool("crops", 32, 200_000).expect("pool")
}

fn reader(dir: &Path) -> Client {
    Context::for_test("recognize", Mode::Lossless, dir).client(8).expect("client")
}

/// Dark strokes on a ground that climbs to the right.
fn publish(pool: &Pool, w: usize, h: usize, track_id: u64) -> Crop {
    let layout = Layout::rgb8(w as u32, h as u32).unwrap();
    let stride = layout.as_image().unwrap().planes()[0].stride as usize;
    let mut slot = pool.begin_write(&StopFlag::new()).unwrap();
    for y in 0..h {
        for x in 0..w {
            let level = (90 + x * 120 / w - if (x / 8) % 2 == 0 { 50 } else { 0 }) as u8;
            slot.bytes_mut()[y * stride + 3 * x..][..3].fill(level);
        }
    }
    let meta = FrameMeta { source: SourceName::new("cam").unwrap(), frame: 4, pts_ns: 1, captured_ns: 2, ..FrameMeta::default() };
    let handle = *slot.fill(layout).unwrap().publish(&meta).handle.as_bytes();
    Crop {
        track_id,
        bbox_in_source: BoxXyxy::new(1.0, 2.0, 3.0, 4.0),
        plate_confidence: 0.8,
        legibility: 0.5,
        width: w as u32,
        height: h as u32,
        variants: vec!["original".into()],
        evidence: vec![1, 2, 3],
        overview: Vec::new(),
        handle,
    }
}

fn row(frame: u64, crops: Vec<Crop>) -> CropsRow {
    CropsRow { source: "cam".into(), frame, pts_ns: 1, captured_ns: 2, crops, ..Default::default() }
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Enhance>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn each_crop_gets_the_original_and_five_variants_in_one_tensor() {
    let dir = tempfile::tempdir().unwrap();
    let pool = crop_pool(dir.path());
    let mut node = open(dir.path(), &[]).unwrap();
    let client = reader(dir.path());
    let mut out = Outputs::collector();
    let rows =
        [row(4, vec![publish(&pool, 211, 80, 1), publish(&pool, 97, 64, 2)]), row(5, vec![]), CropsRow { end: true, ..row(6, vec![]) }];
    node.on_input(&Input::of("crops", &rows), &mut out).unwrap();
    assert_eq!(out.message_sizes("crops"), [3]);
    let sent: Vec<CropsRow> = out.taken("crops");
    assert!(sent[1].crops.is_empty() && sent[2].end && sent[2].frame == 6);
    for (crop, (w, h)) in sent[0].crops.iter().zip([(211usize, 80usize), (97, 64)]) {
        assert_eq!(crop.variants, ["original", "clahe", "equalize", "adaptive_threshold", "morphology", "sharpen"]);
        assert_eq!((crop.evidence.as_slice(), crop.legibility), (&[1u8, 2, 3][..], 0.5));
        let frame = client.acquire(&Handle::from_bytes(crop.handle)).unwrap();
        assert_eq!(frame.layout().as_tensor().unwrap().shape(), [6, h as u32, w as u32]);
        let variants: Vec<&[u8]> = frame.bytes().chunks_exact(w * h).collect();
        for y in 0..h {
            for x in 0..w {
                assert_eq!(usize::from(variants[0][y * w + x]), 90 + x * 120 / w - if (x / 8) % 2 == 0 { 50 } else { 0 });
            }
        }
        for i in 0..6 {
            for j in 0..i {
                assert_ne!(variants[i], variants[j], "{} and {} are the same picture", crop.variants[i], crop.variants[j]);
            }
        }
        assert!(variants[3].iter().all(|v| [0, 255].contains(v)), "adaptive_threshold is black and white");
        assert!(variants[2].contains(&0) && variants[2].contains(&255), "equalize uses the whole range");
        frame.ack();
    }
    assert!(!pool.has_unread(), "every crop was given back");
    node.finish(&mut out).unwrap();
}

#[test]
fn options_reach_their_operator_and_an_empty_list_passes_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let pool = crop_pool(dir.path());
    let client = reader(dir.path());
    let picture = |given: &[(&str, &str)]| {
        let mut out = Outputs::collector();
        let mut node = open(dir.path(), given).unwrap();
        node.on_input(&Input::of("crops", &[row(0, vec![publish(&pool, 100, 64, 1)])]), &mut out).unwrap();
        let crop = out.taken::<CropsRow>("crops").remove(0).crops.remove(0);
        let frame = client.acquire(&Handle::from_bytes(crop.handle)).unwrap();
        let bytes = frame.bytes().to_vec();
        frame.ack();
        (crop.variants.len(), bytes)
    };
    let (two, sharp) = picture(&[("OPERATORS", "sharpen")]);
    let (_, same) = picture(&[("OPERATORS", "sharpen"), ("OPTIONS", "sharpen.amount=0")]);
    let (one, original) = picture(&[("OPERATORS", "")]);
    assert_eq!((one, two), (1, 2));
    assert_eq!(same[6400..], original[..]);
    assert_ne!(sharp[6400..], original[..]);
}

#[test]
fn wrong_operators_and_options_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |given: &[(&str, &str)]| match open(dir.path(), given) {
        Ok(_) => panic!("{given:?} was taken"),
        Err(fault) => fault.to_string(),
    };
    let missing = refused(&[("OPERATORS", "clahe,deskew")]);
    assert!(
        missing.contains("operator `deskew`: no `libgantry_operator_deskew.so` in `") && missing.contains("OPERATOR_PATH"),
        "{missing}"
    );
    let unknown = refused(&[("OPTIONS", "clahe.clip_limt=3")]);
    assert!(
        unknown.contains("did you mean `CLIP_LIMIT`?") && unknown.contains("its options: `clahe.clip_limit`, `clahe.tiles`"),
        "{unknown}"
    );
    assert!(refused(&[("OPERATORS", "clahe,clahe")]).contains("named twice"));
    assert!(refused(&[("OPERATORS", "../evil")]).contains("is no operator name"));
    std::fs::write(dir.path().join("libgantry_operator_text.so"), "no library").unwrap();
    let folder = dir.path().to_str().unwrap();
    let corrupt = refused(&[("OPERATORS", "text"), ("OPERATOR_PATH", folder)]);
    assert!(corrupt.contains("libgantry_operator_text.so` cannot be loaded"), "{corrupt}");
}

#[test]
fn a_crop_larger_than_a_slot_is_a_fault_that_names_the_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let pool = crop_pool(dir.path());
    let mut node = open(dir.path(), &[("MAX_CROP_PIXELS", "1024")]).unwrap();
    let fault = node.on_input(&Input::of("crops", &[row(0, vec![publish(&pool, 100, 64, 1)])]), &mut Outputs::collector()).unwrap_err();
    assert!(fault.to_string().contains("MAX_CROP_PIXELS"), "{fault}");
}

#[test]
fn a_message_of_another_type_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = open(dir.path(), &[]).unwrap();
    let fault = node.on_input(&Input::of("crops", &[FrameRow::default()]), &mut Outputs::collector()).unwrap_err();
    assert!(fault.message().contains("crops/v1"), "{fault}");
}

#[test]
fn later_crops_of_a_track_get_operators_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let pool = crop_pool(dir.path());
    let mut node = open(dir.path(), &[("FULL_CROPS", "2"), ("OPERATORS_PER_CROP", "2"), ("OPERATORS", "clahe,equalize,sharpen")]).unwrap();
    let client = reader(dir.path());
    let mut out = Outputs::collector();
    let rows: Vec<CropsRow> = (0..5).map(|frame| row(frame, vec![publish(&pool, 97, 64, 7)])).collect();
    node.on_input(&Input::of("crops", &rows), &mut out).unwrap();
    let sent: Vec<CropsRow> = out.taken("crops");
    let ran: Vec<Vec<&str>> = sent.iter().map(|r| r.crops[0].variants.iter().skip(1).map(String::as_str).collect()).collect();
    let all = vec!["clahe", "equalize", "sharpen"];
    assert_eq!(ran, [all.clone(), all, vec!["clahe", "equalize"], vec!["clahe", "sharpen"], vec!["equalize", "sharpen"]]);
    // The same pixels give the same picture, alone or among all.
    let picture = |r: &CropsRow, name: &str| {
        let frame = client.acquire(&Handle::from_bytes(r.crops[0].handle)).unwrap();
        assert_eq!(frame.layout().as_tensor().unwrap().shape()[0] as usize, r.crops[0].variants.len());
        let at = r.crops[0].variants.iter().position(|v| v == name).unwrap();
        frame.bytes()[at * 97 * 64..][..97 * 64].to_vec()
    };
    assert_eq!(picture(&sent[0], "sharpen"), picture(&sent[4], "sharpen"));
    assert_eq!(picture(&sent[0], "original"), picture(&sent[2], "original"));
}

#[test]
fn in_live_mode_crops_that_would_wait_for_their_reader_go_without_variants() {
    let dir = tempfile::tempdir().unwrap();
    let context = |node: &str| Context::for_test(node, Mode::Live, dir.path());
    let pool = context("crop").with_consumer("crops", "enhance").pool("crops", 32, 200_000).expect("pool");
    let mut node = Enhance::open(params(&[]), &context("enhance").with_consumer("crops", "recognize")).unwrap();
    let reader = context("recognize").client(8).expect("client");
    let mut out = Outputs::collector();
    // Each crop is a track's first, which is worth all variants.
    let mut enhanced = |frame: u64, plates: u64| -> Vec<Crop> {
        let crops = (0..plates).map(|plate| publish(&pool, 64, 64, 100 * frame + plate)).collect();
        node.on_input(&Input::of("crops", &[row(frame, crops)]), &mut out).unwrap();
        out.taken::<CropsRow>("crops").remove(0).crops
    };
    let pictures = |crops: &[Crop]| crops.iter().map(|crop| crop.variants.len()).collect::<Vec<_>>();
    let come_to = |crop: &Crop| drop(reader.acquire(&Handle::from_bytes(crop.handle)).unwrap());
    // The reader joins, and comes to all of the first frame.
    come_to(&enhanced(0, 1)[0]);
    let many = enhanced(1, 5);
    assert_eq!(pictures(&many), [6, 6, 6, 1, 1]);
    // It has not come to them when the next frame's are there.
    let next = enhanced(2, 2);
    assert_eq!(pictures(&next), [1, 1]);
    assert_eq!(next[1].variants, ["original"]);
    let last = reader.acquire(&Handle::from_bytes(next[1].handle)).unwrap();
    assert_eq!(last.layout().as_tensor().unwrap().shape(), [1, 64, 64]);
    drop(last);
    assert_eq!(pictures(&enhanced(3, 1)), [6]);
    assert_eq!(out.counted("without_variants"), 4);
}
