//! Every layout of tests/models is loaded by its path alone, and what does not fit is refused with both sides of the difference.

use gantry_inference::yolo::Head;
use gantry_inference::{Detector, Device, ElementType, Model, ModelError, Options, Picture, Reader, Selection};
use gantry_messages::BoxXyxy;
use std::path::PathBuf;

const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models")).join(format!("{name}.onnx"))
}

fn cpu() -> Options {
    Options { device: Device::Cpu, ..Options::default() }
}

fn select(classes: usize) -> Selection {
    let wanted = [Some((0, 0.25)), Some((1, 0.25)), None];
    Selection { wanted: wanted[..classes].to_vec(), nms_iou: 0.5, max_detections: 10 }
}

/// A picture of one level, as bytes of the detector's element type; the floats' levels are `0..=1`.
fn flat(detector: &Detector, level: u8) -> Vec<u8> {
    let (element, dims) = detector.picture();
    let n = dims.iter().product::<usize>();
    match element {
        ElementType::U8 => vec![level; n],
        ElementType::F32 => bytemuck::cast_slice(&vec![f32::from(level) / 255.0; n]).to_vec(),
        ElementType::F16 => unreachable!("no such test model"),
    }
}

#[test]
fn yolo_and_end_to_end_exports_give_the_same_detections() {
    for name in ["yolo", "yolo_f32_fixed_batch", "yolo_batch4", "yolo_open_size", "yolo_coco", "yolo_nhwc", "end_to_end"] {
        let mut detector = Detector::open(&path(name), &cpu()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((detector.info().image.height, detector.info().image.width), (32, 64), "{name}");
        assert_eq!(detector.head(), if name == "end_to_end" { Head::EndToEnd } else { Head::Yolo }, "{name}");
        let selection = select(detector.classes().len());
        let white = flat(&detector, 255);
        let found = detector.detect(&white, &selection).unwrap_or_else(|e| panic!("{name}: {e}"));
        let short: Vec<(u8, f32, BoxXyxy)> = found.iter().map(|d| (d.group, d.confidence, d.bbox_in_input)).collect();
        let expected = [
            (0, 0.9, BoxXyxy::new(10.0, 6.0, 30.0, 18.0)),
            (1, 0.85, BoxXyxy::new(16.0, 14.0, 24.0, 18.0)),
            (1, 0.6, BoxXyxy::new(46.0, 18.0, 54.0, 22.0)),
        ];
        assert_eq!(short, expected, "{name}");
        let black = flat(&detector, 0);
        assert!(detector.detect(&black, &selection).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn class_names_come_from_the_metadata() {
    assert_eq!(Detector::open(&path("yolo"), &cpu()).unwrap().classes(), ["vehicle", "plate"]);
    assert_eq!(Detector::open(&path("yolo_coco"), &cpu()).unwrap().classes(), ["car", "number_plate", "person"]);
}

#[test]
fn a_picture_of_a_batch_gives_the_same_whatever_is_beside_it() {
    let mut detector = Detector::open(&path("yolo_batch4"), &cpu()).unwrap();
    assert_eq!(detector.batch(), 4);
    let (white, dim, selection) = (flat(&detector, 255), flat(&detector, 120), select(2));
    let alone = detector.detect(&dim, &selection).unwrap().to_vec();
    for (place, picture) in [&white, &dim, &white].into_iter().enumerate() {
        detector.stage(place, picture).unwrap();
    }
    let mut found = Vec::new();
    detector.run_staged(3, &selection, |index, detections| found.push((index, detections.to_vec()))).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[1], (1, alone));
    assert_eq!(found[0].1.len(), 3);
}

#[test]
fn a_picture_of_another_size_is_refused_with_both_sizes() {
    let mut detector = Detector::open(&path("yolo"), &cpu()).unwrap();
    let error = detector.detect(&[0; 100], &select(2)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("100 bytes") && text.contains("6144 bytes: u8 [1, 3, 32, 64]"), "{text}");
    assert!(error.hint().contains("WIDTH"), "{}", error.hint());
}

/// A picture of 64x8 px whose column blocks have the levels of `classes`, out of `count` classes.
fn blocks(classes: &[usize], count: usize) -> Vec<u8> {
    let width = 64 / classes.len();
    let row: Vec<u8> =
        classes.iter().flat_map(|class| std::iter::repeat_n((*class as f32 * 255.0 / (count - 1) as f32).round() as u8, width)).collect();
    row.repeat(8)
}

fn class_of(c: char) -> usize {
    ALPHABET.find(c).unwrap()
}

#[test]
fn ctc_readers_read_in_every_order_of_their_axes() {
    // Blank is class 0: `A`, a repeat of it, blank, `A`, `B`, blanks, `7`.
    let of = |c: char| class_of(c) + 1;
    let steps = [of('A'), of('A'), 0, of('A'), of('B'), 0, 0, of('7'), 0, 0, 0, 0, 0, 0, 0, 0];
    let gray = blocks(&steps, 37);
    let rgb: Vec<u8> = gray.iter().flat_map(|v| [*v; 3]).collect();
    for name in ["ctc", "ctc_steps_first_f32", "ctc_rgb_classes_first"] {
        let mut reader = Reader::open(&path(name), &cpu()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(reader.alphabet().collect::<String>(), ALPHABET);
        let pictures = [Picture::gray(&gray, 64, 8, 64).unwrap(), Picture::rgb(&rgb, 64, 8, 192).unwrap()];
        let black = vec![0; 64 * 8];
        let pictures = [pictures[0], pictures[1], Picture::gray(&black, 64, 8, 64).unwrap()];
        let reads = reader.read(&pictures, 3).unwrap();
        assert_eq!(reads.iter().map(|r| r.text.as_str()).collect::<Vec<_>>(), ["AAB7", "AAB7", ""], "{name}");
        for read in &reads[..2] {
            // A triangle of logits: the peak has (1 - e^-2) / (1 + e^-2) of the mass.
            assert!((read.confidence - 0.76).abs() < 0.03, "{name}: {}", read.confidence);
            assert_eq!(read.characters[2].candidates.len(), 3);
            assert!(["BAC", "BCA"].contains(&read.characters[2].candidates.as_str()), "{name}: {}", read.characters[2].candidates);
        }
    }
}

#[test]
fn slot_readers_read_with_metadata_and_with_the_sidecar_of_fast_plate_ocr() {
    let slots: Vec<usize> = "K9P".chars().map(class_of).chain([36; 5]).collect();
    let gray = blocks(&slots, 37);
    for name in ["slots", "slots_flat_rgb"] {
        let mut reader = Reader::open(&path(name), &cpu()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let reads = reader.read(&[Picture::gray(&gray, 64, 8, 64).unwrap()], 2).unwrap();
        assert_eq!(reads[0].text, "K9P", "{name}");
        assert_eq!(reads[0].characters.len(), 3);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_found_and_wanted() {
    let opened = |name: &str| Detector::open(&path(name), &cpu()).err().unwrap_or_else(|| panic!("{name} was taken"));
    let read = |name: &str| Reader::open(&path(name), &cpu()).err().unwrap_or_else(|| panic!("{name} was taken"));
    let cases = [
        (opened("wrong_classes"), "found [[1, 6, 8]], wanted f32 [1, 7, anchors] for its 3 classes"),
        (opened("wrong_names"), "metadata `names`: found `vehicle, plate`"),
        (opened("wrong_rank"), "found `features` f32 [1, 10], wanted one input"),
        (opened("corrupt"), "cannot be loaded (300 bytes)"),
        (opened("empty"), "cannot be loaded (0 bytes)"),
        (opened("nowhere"), "no such file"),
        (read("wrong_alphabet"), "found [[1, 16, 20]], wanted f32 [1, steps, 37]"),
        (read("no_alphabet"), "metadata `alphabet`: found nothing"),
        (read("bad_sidecar"), "bad_sidecar.json`: EOF"),
    ];
    for (error, expected) in cases {
        let text = error.to_string();
        assert!(text.contains(expected), "`{expected}` is not in: {text}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_auto_takes_the_cpu() {
    let here = Model::open(&path("yolo"), &Options::default()).unwrap().info().device;
    if here == Device::Cpu {
        for device in [Device::Cuda, Device::Tensorrt] {
            let error = Model::open(&path("yolo"), &Options { device, ..Options::default() }).unwrap_err();
            assert!(matches!(&error, ModelError::Device { device: asked, .. } if *asked == device), "{error}");
        }
    }
}
