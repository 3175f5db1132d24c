//! The models that the project ships load, and are what the nodes' defaults expect.

use gantry_inference::{Detector, Device, ElementType, Model, Options, Picture, Reader, Selection};
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
