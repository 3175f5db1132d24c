//! Time of a look at a whole picture and at parts of it on one core: `cargo run --release -p gantry-inference --example windows`.

use gantry_inference::{Detector, Device, Options, Selection, Window, Windows};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

fn main() {
    let path = Path::new("models/detector.onnx");
    let options = Options { device: Device::Cpu, ..Options::default() };
    let mut detector = Detector::open(path, &options).expect("run it in the root of the repository, after `cargo xtask setup`");
    let mut windows = Windows::open(path, &detector, &options).expect("it opens").expect("the shipped detector takes pictures of any size");
    let selection = Selection { wanted: vec![Some((0, 0.25)), Some((1, 0.4))], nms_iou: 0.5, max_detections: 64 };
    let picture: Vec<u8> = (0..3 * 544 * 960u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 26) + (i >> 12) % 190) as u8).collect();
    time("whole, 960x544", || {
        black_box(detector.detect(&picture, &selection).expect("it runs"));
    });
    for (width, height) in [(64, 64), (128, 96), (160, 128), (192, 128), (320, 192), (480, 288), (960, 544)] {
        let window = Window { x: 0, y: 0, width, height };
        time(&format!("window of {width}x{height}, {:.1} %", window.area() as f64 / 5222.4), || {
            black_box(windows.detect(&picture, window, &selection).expect("it runs"));
        });
    }
}

/// The best and the middle of 100 calls.
fn time(name: &str, mut f: impl FnMut()) {
    let mut all: Vec<f64> = (0..100)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    all.sort_by(f64::total_cmp);
    println!("{name:<32} {:.3} ms at best, {:.3} in the middle", all[0], all[50]);
}
