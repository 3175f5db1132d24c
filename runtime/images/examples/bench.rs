//! Time per call on one core: `cargo run --release -p gantry-images --example bench`.

use gantry_frames::Layout;
use gantry_images::*;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    for (w, h) in [(1920u32, 1080u32), (1280, 720), (3840, 2160), (2560, 1440)] {
        for layout in [Layout::i420(w, h).unwrap(), Layout::nv12(w, h).unwrap()] {
            let bytes: Vec<u8> = (0..layout.byte_len()).map(|i| ((i * 31) >> 3) as u8).collect();
            let image = *layout.as_image().unwrap();
            let frame = Yuv::of(&image, &bytes).unwrap();
            let b = Letterbox::fit(w as usize, h as usize, 960, 544);
            let mut out = vec![0; Arrangement::PlanarU8.byte_len(960, 544)];
            let mut scaler = FrameScaler::default();
            let name = format!("{} {w}x{h} to 960x544 planar u8", image.format.name());
            time(&name, || scaler.run(&frame, &b, Arrangement::PlanarU8, black_box(&mut out)));
            time("  a part of 160x128", || {
                scaler.run_part(&frame, &b, Arrangement::PlanarU8, (320..480, 192..320), black_box(&mut out));
            });
            if w == 1920 {
                let mut out = vec![0; Arrangement::PlanarF32.byte_len(960, 544)];
                time("  same, planar f32", || scaler.run(&frame, &b, Arrangement::PlanarF32, black_box(&mut out)));
            }
        }
    }
    let layout = Layout::i420(1920, 1080).unwrap();
    let bytes: Vec<u8> = (0..layout.byte_len()).map(|i| ((i * 31) >> 3) as u8).collect();
    let frame = Yuv::of(layout.as_image().unwrap(), &bytes).unwrap();
    let mut sums = vec![0u16; 1920];
    time("column sums of 1920x1080, every 4th row", || {
        for block in 0..34 {
            sums.fill(0);
            sum_columns(&frame.y, 32 * block..(32 * block + 32).min(1080), 4, black_box(&mut sums));
        }
    });
    let mut cutter = Cutter::default();
    let mut out = vec![0; 3 * 360 * 80];
    let mut step = 0.0;
    for (name, shear) in [("cut 160x36 to 356x80", Shear(0.0)), ("  same, sheared", Shear(0.08))] {
        time(name, || {
            step += 0.01;
            let window = Window { x: 700.3 + step, y: 500.7, width: 160.0, height: 36.0 };
            cutter.rgb(&frame, &window, shear, 356, 80, black_box(&mut out), 356 * 3);
        });
    }
    let mut grey = vec![0; 356 * 80];
    time("gray_from_rgb 356x80", || gray_from_rgb(&Rgb::new(&out, 356, 80, 356 * 3).unwrap(), black_box(&mut grey)));
    let mut scratch = LegibilityScratch::default();
    time("legibility 356x80", || {
        black_box(legibility(&mut scratch, &Gray::new(&grey, 356, 80, 356).unwrap()));
    });
    let mut scratch = SlantScratch::default();
    time("estimate_slant 178x40", || {
        black_box(estimate_slant(&mut scratch, &Gray::new(&grey, 178, 40, 356).unwrap()));
    });
    let mut scratch = GrayScratch::default();
    let mut small = vec![0; 256 * 64];
    time("resize_gray 356x80 to 256x64", || {
        resize_gray(&mut scratch, &Gray::new(&grey, 356, 80, 356).unwrap(), 256, 64, black_box(&mut small))
    });
    time("jpeg 356x80", || {
        black_box(encode_jpeg(&Rgb::new(&out, 356, 80, 356 * 3).unwrap(), 85).unwrap());
    });
    let whole = Window { x: 0.0, y: 0.0, width: 1920.0, height: 1080.0 };
    let mut overview = vec![0; 3 * 640 * 360];
    time("overview of 1920x1080, 640x360", || {
        cutter.rgb(&frame, &whole, Shear(0.0), 640, 360, black_box(&mut overview), 640 * 3);
    });
    time("jpeg 640x360", || {
        black_box(encode_jpeg(&Rgb::new(&overview, 640, 360, 640 * 3).unwrap(), 85).unwrap());
    });
}

/// The best of 100 calls: other work on the machine only ever adds.
fn time(name: &str, mut f: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..100 {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:<44} {:.3} ms", best * 1e3);
}
