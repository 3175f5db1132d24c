//! Runs over memory that stays: the same numbers as runs over borrowed bytes, on the CPU, where both can be read.
#![allow(unsafe_code)]

use gantry_inference::{Device, Model, Options};
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models")).join(name)
}

fn picture(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|i| (((i + seed).wrapping_mul(2_654_435_761) >> 26) + (i >> 12) % 190) as u8).collect()
}

#[test]
fn a_bound_run_gives_the_bits_of_a_run_over_borrowed_bytes_and_reuses_its_outputs() {
    for name in ["detector.onnx", "reader.onnx"] {
        let options = Options { device: Device::Cpu, ..Options::default() };
        let mut model = Model::open(&path(name), &options).unwrap_or_else(|e| panic!("{e}"));
        let bytes = model.info().image.len() * model.info().element.size();
        let shapes: Vec<Vec<usize>> = model.run(&picture(bytes, 0), 1, |o| o.iter().map(|o| o.shape.clone()).collect()).unwrap();
        let bound = model.bind(1, &shapes).unwrap();
        for seed in [1, 99, 12_345] {
            let input = picture(bytes, seed);
            let wanted: Vec<Vec<f32>> = model.run(&input, 1, |outputs| outputs.iter().map(|o| o.data.to_vec()).collect()).unwrap();
            // SAFETY: a picture in host memory, which is this model's device; a byte needs no alignment.
            unsafe { model.run_bound(&bound, input.as_ptr().expose_provenance() as u64) }.unwrap();
            for (output, wanted) in bound.outputs().iter().zip(&wanted) {
                assert_eq!(output.byte_len(), 4 * wanted.len(), "{name}");
                // SAFETY: the output lies in host memory, lives as long as `bound`, and no run is under way.
                let found =
                    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<f32>(output.address as usize), wanted.len()) };
                assert_eq!(found, wanted, "{name}");
            }
        }
    }
}

#[test]
fn outputs_of_another_number_are_refused() {
    let options = Options { device: Device::Cpu, ..Options::default() };
    let model = Model::open(&path("detector.onnx"), &options).unwrap_or_else(|e| panic!("{e}"));
    let error = model.bind(1, &[]).unwrap_err();
    assert!(error.to_string().contains("output"), "{error}");
}
