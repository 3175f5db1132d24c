//! Frames to tensors.

use gantry_frames::{Colour, DType, PixelFormat};
use gantry_images::{Arrangement, FrameScaler, Letterbox};
use gantry_kernels::{KernelError, Region, Scale, Scratch, TensorFormat, scale};

use crate::common::{COLOURS, Picture, devices, difference};

const ARRANGEMENTS: [Arrangement; 4] =
    [Arrangement::PlanarU8, Arrangement::PlanarF32, Arrangement::InterleavedU8, Arrangement::InterleavedF32];

/// Source and target sizes: half, half with borders, larger, smaller, odd, one pixel, much smaller.
const SIZES: [(u32, u32, usize, usize); 12] = [
    (64, 48, 32, 24),
    (128, 70, 64, 40),
    (62, 124, 40, 62),
    (70, 50, 96, 96),
    (101, 57, 64, 48),
    (33, 77, 20, 19),
    (97, 31, 160, 64),
    (1, 1, 5, 7),
    (2, 3, 2, 3),
    (640, 360, 33, 17),
    (300, 200, 7, 5),
    (66, 34, 33, 17),
];

fn on_cpu(picture: &Picture, letterbox: &Letterbox, arrangement: Arrangement) -> Vec<u8> {
    let mut out = vec![0; arrangement.byte_len(letterbox.width, letterbox.height)];
    FrameScaler::default().run(&picture.yuv(), letterbox, arrangement, &mut out);
    out
}

#[test]
fn any_size_format_and_colour_gives_the_bytes_of_the_cpu() {
    for mut device in devices() {
        for (i, (w, h, ow, oh)) in SIZES.into_iter().enumerate() {
            for format in [PixelFormat::Nv12, PixelFormat::I420] {
                let colour = COLOURS[i % COLOURS.len()];
                // Strides with and without padding, so that rows start at aligned and at odd addresses.
                let picture = Picture::new(format, w, h, colour, [0, 13, 32][i % 3], i as u64);
                let letterbox = Letterbox::fit(w as usize, h as usize, ow, oh);
                for arrangement in ARRANGEMENTS {
                    let frame = device.put(&picture.bytes);
                    let tensor = TensorFormat::from(arrangement);
                    let out = device.room(tensor.byte_len(ow, oh) as usize);
                    let item = Scale { frame: picture.view(&frame), letterbox, out: out.region() };
                    device.run(|scratch| scale(&[item], &tensor, scratch)).unwrap();
                    let (most, count) = difference(&device.get(&out), &on_cpu(&picture, &letterbox, arrangement));
                    let what = format!("{} {} {w}x{h} to {ow}x{oh} {arrangement:?} {colour:?}", device.name(), format.name());
                    assert_eq!((most, count), (0, 0), "{what}: largest difference {most}, {count} bytes differ");
                }
            }
        }
    }
}

#[test]
fn every_colour_of_both_paths_gives_the_bytes_of_the_cpu() {
    for mut device in devices() {
        for colour in COLOURS {
            for (ow, oh) in [(48, 32), (50, 40)] {
                let picture = Picture::new(PixelFormat::Nv12, 96, 64, colour, 0, 77);
                let letterbox = Letterbox::fit(96, 64, ow, oh);
                let (frame, out) = (device.put(&picture.bytes), device.room(3 * ow * oh));
                let item = Scale { frame: picture.view(&frame), letterbox, out: out.region() };
                device.run(|scratch| scale(&[item], &TensorFormat::unit(DType::U8, true), scratch)).unwrap();
                assert_eq!(device.get(&out), on_cpu(&picture, &letterbox, Arrangement::PlanarU8), "{colour:?} {ow}x{oh}");
            }
        }
    }
}

#[test]
fn full_hd_into_960x544_gives_the_bytes_of_the_cpu() {
    for mut device in devices() {
        let picture = Picture::new(PixelFormat::Nv12, 1920, 1080, Colour::BT709_LIMITED, 128, 5);
        let letterbox = Letterbox::fit(1920, 1080, 960, 544);
        for dtype in [DType::U8, DType::F32] {
            let tensor = TensorFormat::unit(dtype, true);
            let arrangement = if dtype == DType::U8 { Arrangement::PlanarU8 } else { Arrangement::PlanarF32 };
            let (frame, out) = (device.put(&picture.bytes), device.room(tensor.byte_len(960, 544) as usize));
            let item = Scale { frame: picture.view(&frame), letterbox, out: out.region() };
            device.run(|scratch| scale(&[item], &tensor, scratch)).unwrap();
            assert!(device.get(&out) == on_cpu(&picture, &letterbox, arrangement), "{} {dtype:?}", device.name());
        }
    }
}

#[test]
fn a_batch_of_cameras_with_other_sizes_and_targets_is_scaled_at_once() {
    for mut device in devices() {
        // More than one launch of each kind holds.
        let pictures: Vec<Picture> = (0..40u32)
            .map(|i| {
                Picture::new(
                    if i % 2 == 0 { PixelFormat::Nv12 } else { PixelFormat::I420 },
                    40 + 2 * (i % 7),
                    30 + 2 * (i % 5),
                    COLOURS[i as usize % 5],
                    i % 3,
                    i.into(),
                )
            })
            .collect();
        let boxes: Vec<Letterbox> = pictures
            .iter()
            .enumerate()
            .map(|(i, p)| {
                let (w, h) = (p.layout.width as usize, p.layout.height as usize);
                if i % 3 == 0 { Letterbox::fit(w, h, w / 2, h / 2) } else { Letterbox::fit(w, h, 20 + i, 24) }
            })
            .collect();
        let frames: Vec<_> = pictures.iter().map(|p| device.put(&p.bytes)).collect();
        let outs: Vec<_> = boxes.iter().map(|b| device.room(3 * b.width * b.height)).collect();
        let items: Vec<Scale> = (0..pictures.len())
            .map(|i| Scale { frame: pictures[i].view(&frames[i]), letterbox: boxes[i], out: outs[i].region() })
            .collect();
        device.run(|scratch| scale(&items, &TensorFormat::unit(DType::U8, false), scratch)).unwrap();
        for i in 0..pictures.len() {
            assert_eq!(device.get(&outs[i]), on_cpu(&pictures[i], &boxes[i], Arrangement::InterleavedU8), "{} frame {i}", device.name());
        }
    }
}

#[test]
fn addresses_that_are_not_aligned_take_the_slow_way_to_the_same_bytes() {
    for mut device in devices().into_iter().filter(|d| d.name() != "gpu") {
        let picture = Picture::new(PixelFormat::Nv12, 128, 64, Colour::BT709_LIMITED, 0, 9);
        let letterbox = Letterbox::fit(128, 64, 64, 40);
        for start in [1, 2, 4, 6] {
            let frame = device.put_at(start, &picture.bytes);
            let out = device.put_at(start, &vec![0; 3 * 64 * 40]);
            let item = Scale { frame: picture.view(&frame), letterbox, out: out.region() };
            device.run(|scratch| scale(&[item], &TensorFormat::unit(DType::U8, true), scratch)).unwrap();
            assert_eq!(device.get(&out), on_cpu(&picture, &letterbox, Arrangement::PlanarU8), "{start}");
        }
    }
}

#[test]
fn halves_and_normalised_numbers_are_the_levels_of_the_cpu_scaled_and_rounded_to_the_nearest() {
    let mean = [0.485, 0.456, 0.406];
    let mut formats = Vec::new();
    for dtype in [DType::F16, DType::F32] {
        for is_planar in [true, false] {
            formats.push(TensorFormat::unit(dtype, is_planar));
            formats.push(TensorFormat::normalised(dtype, is_planar, mean, [0.229, 0.224, 0.225]));
            // Exactly between two halves: those go to the even one.
            formats.push(TensorFormat { dtype, is_planar, scale: [1.0; 3], offset: [2048.0, -2303.0, 4096.0] });
            // Subnormal halves, halves that round to 0, and halves beyond the largest.
            for factor in [3.1e-8, 1.7e-6, 300.7, -0.37] {
                formats.push(TensorFormat {
                    dtype,
                    is_planar,
                    scale: [factor, 2.0 * factor, -factor],
                    offset: [0.0, factor, 0.01 * factor],
                });
            }
        }
    }
    for mut device in devices() {
        for (w, h, ow, oh) in [(96, 64, 48, 36), (90, 70, 61, 35)] {
            let picture = Picture::new(PixelFormat::Nv12, w, h, Colour::BT709_LIMITED, 0, 21);
            let letterbox = Letterbox::fit(w as usize, h as usize, ow, oh);
            let levels = on_cpu(&picture, &letterbox, Arrangement::PlanarU8);
            for format in &formats {
                let (frame, out) = (device.put(&picture.bytes), device.room(format.byte_len(ow, oh) as usize));
                let item = Scale { frame: picture.view(&frame), letterbox, out: out.region() };
                device.run(|scratch| scale(&[item], format, scratch)).unwrap();
                let found = device.get(&out);
                for (i, level) in levels.iter().enumerate() {
                    let (channel, pixel) = (i / (ow * oh), i % (ow * oh));
                    let at = if format.is_planar { i } else { 3 * pixel + channel };
                    let wanted = f32::from(*level) * format.scale[channel] + format.offset[channel];
                    match format.dtype {
                        DType::F16 => {
                            let bits = u16::from_le_bytes([found[2 * at], found[2 * at + 1]]);
                            assert_eq!(bits, half::f16::from_f32(wanted).to_bits(), "{format:?} level {level}: {wanted}");
                        }
                        _ => assert_eq!(found[4 * at..4 * at + 4], wanted.to_le_bytes(), "{format:?} level {level}"),
                    }
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_runs() {
    let picture = Picture::new(PixelFormat::I420, 64, 48, Colour::BT709_LIMITED, 0, 1);
    let region = |len: usize| Region { address: 4096, len: len as u64 };
    let frame = gantry_kernels::FrameView::of(&picture.layout, region(picture.bytes.len())).unwrap();
    let format = TensorFormat::unit(DType::F16, true);
    let plan = |item: Scale, scratch: &mut Scratch| scale(&[item], &format, scratch);
    let letterbox = Letterbox::fit(64, 48, 40, 40);
    let fits = Scale { frame, letterbox, out: region(2 * 3 * 40 * 40) };
    assert_eq!(plan(fits, &mut Scratch::counting()).unwrap().len(), 2);
    let short = Scale { out: region(2 * 3 * 40 * 40 - 1), ..fits };
    assert!(matches!(plan(short, &mut Scratch::counting()), Err(KernelError::Pixels(_))));
    let other = Scale { letterbox: Letterbox::fit(64, 50, 40, 40), ..fits };
    assert!(matches!(plan(other, &mut Scratch::counting()), Err(KernelError::Letterbox { .. })));
    assert!(matches!(plan(fits, &mut Scratch::new(region(100))), Err(KernelError::Scratch { .. })));
    let cut_off = gantry_kernels::FrameView::of(&picture.layout, region(picture.bytes.len() - 1));
    assert!(matches!(cut_off, Err(KernelError::Pixels(_))));
    let wide = Picture::new(PixelFormat::Nv12, 65_000, 2, Colour::BT709_LIMITED, 0, 1);
    let frame = gantry_kernels::FrameView::of(&wide.layout, region(wide.bytes.len())).unwrap();
    let tiny = Scale { frame, letterbox: Letterbox::fit(65_000, 2, 32, 32), out: region(2 * 3 * 32 * 32) };
    let error = plan(tiny, &mut Scratch::counting()).unwrap_err();
    assert!(matches!(error, KernelError::Shrink { .. }), "{error}");
}
