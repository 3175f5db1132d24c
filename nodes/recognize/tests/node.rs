//! Drives `recognize` with crops in real pools.

use gantry_frames::{DType, FrameMeta, Layout, Mode, Pool};
use gantry_messages::{BoxXyxy, Crop, CropsRow, TextsRow};
use gantry_node::{Context, Input, Outputs, Stage};
use gantry_node_recognize::{CONTRACT, Params, Recognize};
use std::path::PathBuf;

const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

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
    fn new(name: &str) -> Self {
        Self::in_mode(name, Mode::Lossless)
    }

    fn in_mode(name: &str, mode: Mode) -> Self {
        let dir = std::env::temp_dir().join(format!("gantry-recognize-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let context = Context::for_test("enhance", mode, &dir).with_consumer("crops", "recognize");
        let pool = context.pool("crops", 40, 64 * 1024).unwrap();
        Self { dir, pool, mode }
    }

    fn node(&self, params: Params) -> Recognize {
        Recognize::open(params, &Context::for_test("recognize", self.mode, &self.dir)).unwrap_or_else(|e| panic!("{e}"))
    }

    /// A crop with these pictures, of 64x8 px each.
    fn crop(&self, track_id: u64, variants: &[&str], layout: Layout, bytes: &[u8]) -> Crop {
        let mut slot = self.pool.try_begin_write().unwrap().expect("a free slot");
        slot.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        let published = slot.fill(layout).unwrap().publish(&FrameMeta::default());
        Crop {
            track_id,
            bbox_in_source: BoxXyxy::new(1.0, 2.0, 65.0, 10.0),
            plate_confidence: 0.8,
            legibility: 0.5,
            width: 64,
            height: 8,
            variants: variants.iter().map(|v| (*v).to_owned()).collect(),
            evidence: vec![1, 2, 3],
            overview: Vec::new(),
            handle: *published.handle.as_bytes(),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A grey picture of 64x8 px that the test reader `ctc.onnx` reads as `text`: one column block per step.
fn picture(text: &str) -> Vec<u8> {
    let mut steps: Vec<usize> = text.chars().flat_map(|c| [ALPHABET.find(c).unwrap() + 1, 0]).collect();
    steps.resize(16, 0);
    let row: Vec<u8> = steps.iter().flat_map(|class| [(*class as f32 * 255.0 / 36.0).round() as u8; 4]).collect();
    row.repeat(8)
}

fn row(frame: u64, crops: Vec<Crop>) -> CropsRow {
    CropsRow { source: "cam0".into(), frame, pts_ns: frame as i64 * 40, captured_ns: 9, crops, ..CropsRow::default() }
}

fn run(node: &mut Recognize, out: &mut Outputs, rows: &[CropsRow]) -> Vec<TextsRow> {
    node.on_input(&Input::of("crops", rows), out).unwrap_or_else(|e| panic!("{e}"));
    out.taken("texts")
}

#[test]
fn the_contract_fits_the_parameters_and_the_generated_files() {
    gantry_node::testing::check_contract::<Recognize>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn every_variant_is_read_and_every_row_is_passed_on() {
    let bench = Bench::new("variants");
    let mut node = bench.node(params("ctc.onnx", &[]));
    let mut out = Outputs::collector();
    let tensor = Layout::tensor(DType::U8, &[3, 8, 64]).unwrap();
    let crop = bench.crop(5, &["original", "clahe", "sharpen"], tensor, &[picture("AB12"), picture("A812"), picture("")].concat());
    let rgb: Vec<u8> = picture("XYZ").iter().flat_map(|v| [*v; 3]).collect();
    let mut padded = vec![0; 8 * Layout::rgb8(64, 8).unwrap().as_image().unwrap().planes()[0].stride as usize];
    let stride = padded.len() / 8;
    padded.chunks_exact_mut(stride).zip(rgb.chunks_exact(192)).for_each(|(to, from)| to[..192].copy_from_slice(from));
    let single = bench.crop(6, &["original"], Layout::rgb8(64, 8).unwrap(), &padded);
    let end = CropsRow { source: "cam0".into(), frame: 9, end: true, ..CropsRow::default() };
    let rows = run(&mut node, &mut out, &[row(7, vec![crop, single]), row(8, Vec::new()), end]);
    assert_eq!(rows.iter().map(|r| (r.frame, r.end, r.texts.len())).collect::<Vec<_>>(), [(7, false, 2), (8, false, 0), (9, true, 0)]);
    assert_eq!((rows[0].pts_ns, rows[0].captured_ns), (280, 9));
    let reads: Vec<(&str, &str)> = rows[0].texts[0].reads.iter().map(|r| (r.variant.as_str(), r.text.as_str())).collect();
    assert_eq!(reads, [("original", "AB12"), ("clahe", "A812"), ("sharpen", "")]);
    let first = &rows[0].texts[0];
    assert_eq!((first.track_id, first.plate_confidence, first.legibility, &first.evidence[..]), (5, 0.8, 0.5, &[1, 2, 3][..]));
    assert!(first.reads[0].confidence > 0.7 && first.reads[2].confidence == 0.0);
    assert!(first.reads[0].characters.iter().all(|c| c.candidates.len() == 3 && c.probabilities.len() == 3));
    assert_eq!(rows[0].texts[1].reads[0].text, "XYZ");
    bench.pool.drain(&gantry_frames::StopFlag::new(), Some(std::time::Duration::from_secs(2))).unwrap();
}

#[test]
fn a_crop_is_read_the_same_alone_and_among_others() {
    let bench = Bench::new("alone");
    let mut node = bench.node(params("ctc.onnx", &[]));
    let mut out = Outputs::collector();
    let tensor = || Layout::tensor(DType::U8, &[2, 8, 64]).unwrap();
    let bytes = [picture("Q0O"), picture("QOO")].concat();
    let alone = run(&mut node, &mut out, &[row(0, vec![bench.crop(1, &["original", "clahe"], tensor(), &bytes)])]);
    let crops = (1..=5).map(|track| {
        let other = [picture("77"), picture("1I")].concat();
        bench.crop(track, &["original", "clahe"], tensor(), if track == 3 { &bytes } else { &other })
    });
    let among = run(&mut node, &mut out, &[row(0, crops.collect())]);
    assert_eq!(among[0].texts[2].reads, alone[0].texts[0].reads);
}

#[test]
fn live_the_variants_of_a_crop_are_read_where_its_original_is_not_sure() {
    let bytes: Vec<u8> = ["AB12CD", "AB12CO", "A812CD"].iter().flat_map(|text| picture(text)).collect();
    let read = |name: &str, mode: Mode, set: &[(&str, &str)]| {
        let bench = Bench::in_mode(name, mode);
        let mut node = bench.node(params("ctc.onnx", set));
        let mut out = Outputs::collector();
        let crop = bench.crop(1, &["original", "clahe", "sharpen"], Layout::tensor(DType::U8, &[3, 8, 64]).unwrap(), &bytes);
        let reads = run(&mut node, &mut out, &[row(0, vec![crop])]).remove(0).texts.remove(0).reads;
        (reads, out.counted("pictures"))
    };
    let (all, pictures) = read("lossless", Mode::Lossless, &[("SURE_CHARACTER", "0")]);
    assert_eq!((all.len(), pictures), (3, 3));
    let sure = all[0].characters.iter().map(|character| character.probabilities[0]).fold(1.0, f32::min);
    let (below, above) = (format!("{}", sure - 0.01), format!("{}", sure + 0.01));
    assert_eq!(read("sure", Mode::Live, &[("SURE_CHARACTER", &below)]), (all[..1].to_vec(), 1));
    assert_eq!(read("unsure", Mode::Live, &[("SURE_CHARACTER", &above)]), (all, 3));
}

#[test]
fn reads_below_the_least_confidence_are_dropped_and_top_k_is_followed_live() {
    let bench = Bench::new("confidence");
    let mut node = bench.node(params("ctc.onnx", &[]));
    let mut out = Outputs::collector();
    node.on_params(params("ctc.onnx", &[("MIN_CONFIDENCE", "0.5"), ("TOP_K", "1")])).unwrap();
    let tensor = Layout::tensor(DType::U8, &[2, 8, 64]).unwrap();
    let crop = bench.crop(1, &["original", "clahe"], tensor, &[picture(""), picture("K7")].concat());
    let rows = run(&mut node, &mut out, &[row(0, vec![crop])]);
    assert_eq!(rows[0].texts[0].reads.iter().map(|r| (r.variant.as_str(), r.text.as_str())).collect::<Vec<_>>(), [("clahe", "K7")]);
    assert_eq!(rows[0].texts[0].reads[0].characters[0].candidates, "K");
}

#[test]
fn a_buffer_that_does_not_fit_its_names_ends_the_node_saying_which_crop() {
    let bench = Bench::new("names");
    let mut node = bench.node(params("ctc.onnx", &[]));
    let tensor = Layout::tensor(DType::U8, &[2, 8, 64]).unwrap();
    let crop = bench.crop(4, &["original"], tensor, &picture("A"));
    let fault = node.on_input(&Input::of("crops", &[row(12, vec![crop])]), &mut Outputs::collector()).unwrap_err();
    assert_eq!(fault.to_string(), "crop of track 4 in frame 12 of `cam0`: 2 pictures in the buffer, 1 names in `variants`");
}

#[test]
fn a_model_that_is_no_reader_is_refused_with_a_hint() {
    let context = Context::for_test("recognize", Mode::Lossless, &std::env::temp_dir());
    for (model, why) in [("yolo.onnx", "alphabet"), ("wrong_alphabet.onnx", "[[1, 16, 20]]"), ("nowhere.onnx", "no such file")] {
        let fault = Recognize::open(params(model, &[]), &context).err().unwrap_or_else(|| panic!("{model} was taken"));
        assert!(fault.to_string().contains(why) && fault.hint_text().is_some(), "{fault}");
    }
}
