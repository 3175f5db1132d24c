//! The models that the project ships load, and are what the nodes' defaults expect.

use gantry_inference::{Detector, Device, ElementType, Model, ModelError, Options, Picture, Reader, Selection, Window, Windows};
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models")).join(name)
}

fn with(threads: usize) -> Options {
    Options { device: Device::Cpu, threads, ..Options::default() }
}

/// The same picture on every machine: noise over a gradient.
fn picture(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 26) + (i >> 12) % 190) as u8).collect()
}

#[test]
fn the_detector_takes_the_frames_that_resize_makes_by_default() {
    let detector = Detector::open(&path("detector.onnx"), &with(1)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(detector.picture(), (ElementType::U8, [1, 3, 544, 960]));
    assert_eq!(detector.classes(), ["vehicle", "plate"]);
    assert_eq!(detector.batch(), 1);
}

#[test]
fn the_reader_reads_letters_and_digits() {
    let mut reader = Reader::open(&path("reader.onnx"), &with(1)).unwrap_or_else(|e| panic!("{e}"));
    let mut alphabet: Vec<char> = reader.alphabet().collect();
    alphabet.sort_unstable();
    assert_eq!(alphabet.iter().collect::<String>(), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    let black = vec![0; 80 * 240];
    let reads = reader.read(&[Picture::gray(&black, 240, 80, 240).unwrap()], 3).unwrap();
    assert_eq!(reads[0].text, "", "there is nothing to read in a black picture");
}

#[test]
fn the_same_picture_gives_the_same_bits_with_one_thread_two_and_four() {
    for name in ["detector.onnx", "reader.onnx"] {
        let bits = |threads: usize| -> Vec<u32> {
            let mut model = Model::open(&path(name), &with(threads)).unwrap_or_else(|e| panic!("{e}"));
            let input = picture(model.info().image.len());
            model.run(&input, 1, |outputs| outputs[0].data.iter().map(|v| v.to_bits()).collect()).unwrap()
        };
        let one = bits(1);
        assert!(one.len() > 100);
        assert!(one == bits(2) && one == bits(4), "{name}");
    }
}

#[test]
fn running_again_gives_the_same_detections() {
    let mut detector = Detector::open(&path("detector.onnx"), &with(1)).unwrap();
    let selection = Selection { wanted: vec![Some((0, 0.05)), Some((1, 0.05))], nms_iou: 0.5, max_detections: 64 };
    let input = picture(3 * 544 * 960);
    let first = detector.detect(&input, &selection).unwrap().to_vec();
    let other = vec![90; input.len()];
    detector.detect(&other, &selection).unwrap();
    assert_eq!(detector.detect(&input, &selection).unwrap(), first);
}

#[test]
fn a_window_of_the_whole_picture_gives_the_bits_of_the_picture() {
    let mut detector = Detector::open(&path("detector.onnx"), &with(1)).unwrap();
    let mut windows = Windows::open(&path("detector.onnx"), &detector, &with(1)).unwrap().expect("its size is open");
    assert_eq!((windows.step(), windows.picture_px()), (32, (960, 544)));
    let selection = Selection { wanted: vec![Some((0, 0.02)), Some((1, 0.02))], nms_iou: 0.5, max_detections: 64 };
    let input = picture(3 * 544 * 960);
    let whole = Window { x: 0, y: 0, width: 960, height: 544 };
    let found = detector.detect(&input, &selection).unwrap();
    assert!(!found.is_empty());
    assert_eq!(windows.detect(&input, whole, &selection).unwrap(), found);
    // A part of it, and the whole again: sizes do not disturb each other.
    let part = Window { x: 320, y: 96, width: 192, height: 128 };
    let in_part = windows.detect(&input, part, &selection).unwrap().to_vec();
    assert!(!in_part.is_empty());
    for one in &in_part {
        let (b, reach) = (one.bbox_in_input, 200.0);
        assert!(b.x0 > 320.0 - reach && b.x1 < 512.0 + reach && b.y0 > 96.0 - reach && b.y1 < 224.0 + reach, "{b:?}");
    }
    assert_eq!(windows.detect(&input, part, &selection).unwrap(), in_part);
    assert_eq!(windows.detect(&input, whole, &selection).unwrap(), found);
}

#[test]
fn windows_beside_the_picture_or_between_steps_are_refused_and_models_of_one_size_have_none() {
    let detector = Detector::open(&path("detector.onnx"), &with(1)).unwrap();
    let mut windows = Windows::open(&path("detector.onnx"), &detector, &with(1)).unwrap().expect("its size is open");
    let selection = Selection { wanted: vec![None, None], nms_iou: 0.5, max_detections: 64 };
    let input = picture(3 * 544 * 960);
    for (x, y, width, height) in [(16, 0, 64, 64), (0, 0, 64, 60), (928, 0, 64, 64), (0, 512, 64, 64), (0, 0, 0, 64)] {
        let error = windows.detect(&input, Window { x, y, width, height }, &selection).unwrap_err();
        assert!(matches!(error, ModelError::Picture { .. }), "{x} {y} {width} {height}: {error}");
        assert!(error.to_string().contains("in steps of 32 px"), "{error}");
    }
    assert!(windows.detect(&input[1..], Window { x: 0, y: 0, width: 64, height: 64 }, &selection).is_err());
    let fixed = Detector::open(&path("detector_640.onnx"), &with(1)).unwrap();
    assert!(Windows::open(&path("detector_640.onnx"), &fixed, &with(1)).unwrap().is_none());
}
