//! Legibility and slope.

use gantry_frames::PixelFormat;
use gantry_images::{Cutter, Gray, LegibilityScratch, SlantScratch, Window, estimate_slant};
use gantry_kernels::{KernelError, Measured, Scratch, SlantJob, legibility, slants};

use crate::common::{COLOURS, Noise, Picture, devices};

#[test]
fn legibility_is_the_number_of_the_cpu_bit_by_bit() {
    let sizes = [(356, 80), (40, 160), (1, 1), (2, 700), (2000, 30), (96, 64), (7, 9)];
    // Noise, strokes, a ramp and a flat crop.
    let mut crops: Vec<(usize, usize, Vec<u8>)> =
        (0u64..).zip(sizes).map(|(seed, (w, h))| (w, h, Noise::new(seed).bytes(w * h, w))).collect();
    crops.push((240, 72, (0..240 * 72).map(|i| if (i % 240 / 6) % 2 == 0 { 30 } else { 220 }).collect()));
    crops.push((240, 72, (0..240 * 72).map(|i| (i % 240) as u8).collect()));
    crops.push((100, 40, vec![90; 4000]));
    // More than one launch holds.
    (0..130).for_each(|seed| crops.push((20, 10, Noise::new(seed).bytes(200, 20))));
    for mut device in devices() {
        let memories: Vec<_> = crops.iter().map(|(_, _, bytes)| device.put(bytes)).collect();
        let views: Vec<_> = crops.iter().zip(&memories).map(|((w, h, _), memory)| memory.grey(*w, *h, *w)).collect();
        let out = device.room(4 * crops.len());
        device.run(|scratch| legibility(&views, out.region(), scratch)).unwrap();
        let found = device.get(&out);
        for ((w, h, bytes), found) in crops.iter().zip(found.chunks_exact(4)) {
            let wanted = gantry_images::legibility(&mut LegibilityScratch::default(), &Gray::new(bytes, *w, *h, *w).unwrap());
            assert_eq!(f32::from_le_bytes(found.try_into().unwrap()).to_bits(), wanted.to_bits(), "{} {w}x{h}: {wanted}", device.name());
        }
    }
}

/// Strokes along a slope.
fn slanted(slope: f64, seed: u64) -> Picture {
    let mut picture = Picture::new(PixelFormat::Nv12, 320, 160, COLOURS[0], 0, seed);
    let stride = picture.layout.planes()[0].stride as usize;
    for y in 0..160 {
        for x in 0..320 {
            let line = y as f64 + 0.5 - slope * (x as f64 + 0.5 - 160.0);
            let is_ink = (60.0..100.0).contains(&line) && (x / 7) % 2 == 0;
            picture.bytes[y * stride + x] = if is_ink { 40 } else { 210 };
        }
    }
    picture
}

#[test]
fn slopes_are_those_of_the_cpu() {
    let mut jobs = Vec::new();
    for slope in [-0.25, -0.15, -0.06, 0.0, 0.05, 0.12, 0.22, 0.3] {
        for (width, height) in [(96, 48), (384, 48), (12, 12), (50, 33)] {
            jobs.push((slanted(slope, 3), Window { x: 40.0, y: 20.0, width: 240.0, height: 120.0 }, width, height));
        }
    }
    // Noise, where nothing is to be found, and a window beyond the border.
    for seed in 0..6 {
        let picture = Picture::new(PixelFormat::I420, 90, 60, COLOURS[1], 5, seed);
        jobs.push((picture, Window { x: -8.0, y: 30.0, width: 70.0, height: 44.0 }, 60, 40));
    }
    for mut device in devices() {
        let frames: Vec<_> = jobs.iter().map(|(picture, ..)| device.put(&picture.bytes)).collect();
        let plan: Vec<SlantJob> = jobs
            .iter()
            .zip(&frames)
            .map(|((picture, window, w, h), frame)| SlantJob { frame: picture.view(frame), window: *window, width: *w, height: *h })
            .collect();
        let out = device.room(size_of::<Measured>() * jobs.len());
        device.run(|scratch| slants(&plan, out.region(), scratch)).unwrap();
        let found = device.get(&out);
        let mut clear = 0;
        for ((picture, window, w, h), found) in jobs.iter().zip(found.chunks_exact(size_of::<Measured>())) {
            let found: Measured = bytemuck::pod_read_unaligned(found);
            let (w, h) = (*w as usize, *h as usize);
            let mut luma = vec![0; w * h];
            Cutter::default().luma(&picture.yuv(), window, w, h, &mut luma);
            match estimate_slant(&mut SlantScratch::default(), &Gray::new(&luma, w, h, w).unwrap()) {
                Some(wanted) => {
                    assert_eq!((found.slope, found.gain), (wanted.slope, wanted.gain), "{} {w}x{h} {window:?}", device.name());
                    clear += 1;
                }
                None => assert_eq!(found.gain, 0.0, "{} {w}x{h} {window:?}", device.name()),
            }
        }
        assert!(clear > 20, "{clear} slopes were found");
    }
}

#[test]
fn a_picture_that_is_too_small_for_a_slope_is_refused() {
    let device = &devices()[0];
    let picture = Picture::new(PixelFormat::Nv12, 64, 48, COLOURS[0], 0, 1);
    let (frame, out) = (device.put(&picture.bytes), device.room(8));
    let window = Window { x: 0.0, y: 0.0, width: 64.0, height: 48.0 };
    let job = SlantJob { frame: picture.view(&frame), window, width: 64, height: 48 };
    assert!(slants(&[job], out.region(), &mut Scratch::counting()).is_ok());
    for wrong in [SlantJob { width: 11, ..job }, SlantJob { height: 11, ..job }, SlantJob { width: 5000, ..job }] {
        assert!(matches!(slants(&[wrong], out.region(), &mut Scratch::counting()), Err(KernelError::Pixels(_))), "{wrong:?}");
    }
    assert!(slants(&[job, job], out.region(), &mut Scratch::counting()).is_err(), "room for one result");
}
