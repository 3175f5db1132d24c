//! The kernels on frames of the shipped clips: the same bytes as the CPU makes of them.

mod common;

use std::path::Path;

use common::{Device, devices, difference, operator_library};
use gantry_frames::{DType, ImageLayout, Layout};
use gantry_images::{Arrangement, Cutter, FrameScaler, Gray, LegibilityScratch, Letterbox, Rgb, Shear, Window, Yuv, gray_from_rgb};
use gantry_kernels::{
    Cut, FrameView, Look, Morphology, Operator, Scale, Surroundings, TensorFormat, cut, grey_from_rgb, legibility, operate, scale,
};
use gantry_media::FrameReader;
use gantry_operators::{Library, Picture, PictureMut};

/// A few frames of a clip.
fn frames(clip: &str, every: u64, most: usize) -> Vec<(ImageLayout, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clips").join(clip);
    let mut reader = FrameReader::open(path.to_str().unwrap()).unwrap();
    let mut found = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        if frame.frame % every == every / 2 {
            let Layout::Image(image) = frame.layout else { panic!("a frame is a picture") };
            found.push((image, frame.slot.bytes().to_vec()));
            if found.len() == most {
                break;
            }
        }
    }
    assert!(!found.is_empty(), "{clip} has frames");
    found
}

const CLIPS: [&str; 4] = ["carpark_dusk.mp4", "gate_day.mp4", "road_day.mp4", "road_night.mp4"];

#[test]
fn frames_of_the_clips_become_the_detectors_input_as_on_the_cpu() {
    for clip in CLIPS {
        let frames = frames(clip, 40, 2);
        for device in &mut devices() {
            for (image, bytes) in &frames {
                for (w, h) in [(960, 544), (640, 384)] {
                    let letterbox = Letterbox::fit(image.width as usize, image.height as usize, w, h);
                    let mut wanted = vec![0; 3 * w * h];
                    FrameScaler::default().run(&Yuv::of(image, bytes).unwrap(), &letterbox, Arrangement::PlanarU8, &mut wanted);
                    let (frame, out) = (device.put(bytes), device.room(3 * w * h));
                    let item = Scale { frame: FrameView::of(image, frame.region()).unwrap(), letterbox, out: out.region() };
                    device.run(|scratch| scale(&[item], &TensorFormat::unit(DType::U8, true), scratch)).unwrap();
                    let (most, count) = difference(&device.get(&out), &wanted);
                    println!(
                        "{clip} {}x{} to {w}x{h}, {}: largest difference {most}, {count} bytes",
                        image.width,
                        image.height,
                        device.name()
                    );
                    assert_eq!(most, 0, "{clip} to {w}x{h}, {}", device.name());
                }
            }
        }
    }
}

/// Windows all over a frame, as plates lie: several sizes, level and sloped.
fn windows(image: &ImageLayout) -> Vec<(Window, Shear)> {
    let (w, h) = (f64::from(image.width), f64::from(image.height));
    (0..12)
        .map(|i| {
            let (across, down) = (f64::from(i % 4) / 4.0, f64::from(i / 4) / 3.0);
            let width = 60.0 + 37.0 * f64::from(i);
            let window = Window { x: across * w + 3.3, y: down * h + 1.7, width, height: width / 4.3 };
            (window, Shear([0.0, 0.06, -0.11][i as usize % 3]))
        })
        .collect()
}

fn operators() -> Vec<(&'static str, Operator)> {
    vec![
        ("clahe", Operator::Clahe { clip_limit: 2.0, tiles: 8 }),
        ("equalize", Operator::Equalize),
        ("adaptive_threshold", Operator::AdaptiveThreshold { mean: Surroundings::Gaussian, block_px: 31, c: 8 }),
        ("morphology", Operator::Morphology { operation: Morphology::Close, width_px: 3, height_px: 3 }),
        ("sharpen", Operator::Sharpen { sigma_px: 2.0, amount: 1.5, threshold: 0 }),
    ]
}

#[test]
fn crops_of_the_clips_their_variants_and_their_legibility_are_those_of_the_cpu() {
    for clip in CLIPS {
        let (image, bytes) = frames(clip, 60, 1).remove(0);
        for device in &mut devices() {
            crops_match(clip, &image, &bytes, device);
        }
    }
}

fn crops_match(clip: &str, image: &ImageLayout, bytes: &[u8], device: &mut Device) {
    let yuv = Yuv::of(image, bytes).unwrap();
    let frame = device.put(bytes);
    let view = FrameView::of(image, frame.region()).unwrap();
    let windows = windows(image);
    let size = |window: &Window| ((80.0 * window.width / window.height).round() as usize, 80usize);
    let rgbs: Vec<_> = windows.iter().map(|(window, _)| device.room(3 * size(window).0 * size(window).1)).collect();
    let cuts: Vec<Cut> = windows
        .iter()
        .zip(&rgbs)
        .map(|((window, shear), rgb)| {
            let (w, h) = size(window);
            let look = Look::Window(*window, *shear);
            Cut { frame: view, look, width: w as u32, height: h as u32, out: rgb.region(), stride: 3 * w as u32 }
        })
        .collect();
    device.run(|scratch| cut(&cuts, scratch)).unwrap();
    let greys: Vec<_> = windows.iter().map(|(window, _)| device.room(size(window).0 * size(window).1)).collect();
    let views: Vec<_> =
        greys.iter().zip(&windows).map(|(grey, (window, _))| grey.grey(size(window).0, size(window).1, size(window).0)).collect();
    let plan: Vec<_> =
        rgbs.iter().zip(&windows).zip(&views).map(|((rgb, (window, _)), to)| (rgb.region(), 3 * size(window).0 as u32, *to)).collect();
    device.run(|_| grey_from_rgb(&plan)).unwrap();
    let scores = device.room(4 * views.len());
    device.run(|scratch| legibility(&views, scores.region(), scratch)).unwrap();
    let scores = device.get(&scores);

    let mut on_cpu = Vec::new();
    for (i, (window, shear)) in windows.iter().enumerate() {
        let (w, h) = size(window);
        let (mut rgb, mut grey) = (vec![0; 3 * w * h], vec![0; w * h]);
        Cutter::default().rgb(&yuv, window, *shear, w, h, &mut rgb, 3 * w);
        gray_from_rgb(&Rgb::new(&rgb, w, h, 3 * w).unwrap(), &mut grey);
        assert_eq!(difference(&device.get(&rgbs[i]), &rgb), (0, 0), "{clip} {window:?}, {}", device.name());
        let wanted = gantry_images::legibility(&mut LegibilityScratch::default(), &Gray::new(&grey, w, h, w).unwrap());
        let found = f32::from_le_bytes(scores[4 * i..4 * i + 4].try_into().unwrap());
        assert_eq!(found, wanted, "{clip} {window:?}, {}", device.name());
        on_cpu.push((w, h, grey));
    }
    for (name, operator) in operators() {
        let mut instance = Library::open(&operator_library(name)).unwrap().create("").unwrap();
        let outs: Vec<_> = on_cpu.iter().map(|(w, h, _)| device.room(w * h)).collect();
        let pairs: Vec<_> = views.iter().zip(&outs).zip(&on_cpu).map(|((from, to), (w, h, _))| (*from, to.grey(*w, *h, *w))).collect();
        device.run(|scratch| operate(&operator, &pairs, scratch)).unwrap();
        for ((w, h, grey), out) in on_cpu.iter().zip(&outs) {
            let mut wanted = vec![0; w * h];
            instance.run(&Picture::new(grey, *w, *h, *w).unwrap(), &mut PictureMut::new(&mut wanted, *w, *h, *w).unwrap()).unwrap();
            assert_eq!(difference(&device.get(out), &wanted), (0, 0), "{clip} {name} {w}x{h}, {}", device.name());
        }
    }
}
