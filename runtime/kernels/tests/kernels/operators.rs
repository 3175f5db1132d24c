//! The preprocessing operators against their shared libraries.

use gantry_images::{Gray, GrayScratch, Rgb, gray_from_rgb, resize_gray};
use gantry_kernels::{KernelError, Morphology, Operator, Scratch, Surroundings, grey_from_rgb, operate, resize_grey};
use gantry_operators::{Library, Picture, PictureMut};

use crate::common::{Noise, devices, operator_library};

/// Width, height and bytes between rows.
const SIZES: [(usize, usize, usize); 9] =
    [(1, 1, 0), (1, 40, 3), (23, 5, 0), (25, 300, 1), (96, 32, 0), (333, 81, 7), (256, 64, 0), (47, 49, 16), (480, 80, 0)];

fn crops() -> Vec<Vec<u8>> {
    (0u64..).zip(SIZES).map(|(seed, (w, h, gap))| Noise::new(seed).bytes((w + gap) * h, w + gap)).collect()
}

/// The kernel on all sizes in one batch, against the library with the same options.
fn same_as_library(name: &str, options: &str, operator: &Operator) {
    let library = Library::open(&operator_library(name)).unwrap();
    let mut instance = library.create(options).unwrap();
    let crops = crops();
    let on_cpu: Vec<Vec<u8>> = crops
        .iter()
        .zip(SIZES)
        .map(|(crop, (w, h, gap))| {
            let mut out = vec![0; w * h];
            instance.run(&Picture::new(crop, w, h, w + gap).unwrap(), &mut PictureMut::new(&mut out, w, h, w).unwrap()).unwrap();
            out
        })
        .collect();
    // A flat crop is where histograms divide by nothing.
    let flat = vec![77u8; 64 * 40];
    let mut on_flat = vec![0; 64 * 40];
    instance.run(&Picture::new(&flat, 64, 40, 64).unwrap(), &mut PictureMut::new(&mut on_flat, 64, 40, 64).unwrap()).unwrap();
    for mut device in devices() {
        let mut pairs = Vec::new();
        let memories: Vec<_> = crops.iter().chain([&flat]).map(|crop| (device.put(crop), device.room(crop.len()))).collect();
        for ((from, to), (w, h, gap)) in memories.iter().zip(SIZES.into_iter().chain([(64, 40, 0)])) {
            pairs.push((from.grey(w, h, w + gap), to.grey(w, h, w)));
        }
        device.run(|scratch| operate(operator, &pairs, scratch)).unwrap();
        for ((_, to), (wanted, size)) in memories.iter().zip(on_cpu.iter().zip(SIZES)) {
            assert!(device.get(to)[..wanted.len()] == wanted[..], "{} {name} {options} {size:?}", device.name());
        }
        assert_eq!(device.get(&memories[SIZES.len()].1), on_flat, "{} {name} {options} flat", device.name());
    }
}

#[test]
fn equalize_gives_the_bytes_of_its_library() {
    same_as_library("equalize", "", &Operator::Equalize);
}

#[test]
fn clahe_gives_the_bytes_of_its_library() {
    for (clip_limit, tiles) in [(2.0, 8), (1.0, 1), (100.0, 3), (3.3, 64)] {
        same_as_library("clahe", &format!("clip_limit={clip_limit};tiles={tiles}"), &Operator::Clahe { clip_limit, tiles });
    }
}

#[test]
fn adaptive_threshold_gives_the_bytes_of_its_library() {
    for (mean, word) in [(Surroundings::Gaussian, "gaussian"), (Surroundings::Mean, "mean")] {
        for (block_px, c) in [(31, 8), (3, -2), (255, 0)] {
            let options = format!("mean={word};block_px={block_px};c={c}");
            same_as_library("adaptive_threshold", &options, &Operator::AdaptiveThreshold { mean, block_px, c });
        }
    }
}

#[test]
fn morphology_gives_the_bytes_of_its_library() {
    use Morphology::*;
    let operations = [
        (Open, "open"),
        (Close, "close"),
        (Tophat, "tophat"),
        (Blackhat, "blackhat"),
        (Gradient, "gradient"),
        (Erode, "erode"),
        (Dilate, "dilate"),
    ];
    for (operation, word) in operations {
        for (width_px, height_px) in [(3, 3), (1, 1), (4, 2), (64, 7)] {
            let options = format!("operation={word};width_px={width_px};height_px={height_px}");
            same_as_library("morphology", &options, &Operator::Morphology { operation, width_px, height_px });
        }
    }
}

#[test]
fn sharpen_gives_the_bytes_of_its_library() {
    for (sigma_px, amount, threshold) in [(2.0, 1.5, 0), (0.3, 10.0, 0), (16.0, 0.7, 12), (1.1, 0.0, 255)] {
        let options = format!("sigma_px={sigma_px};amount={amount};threshold={threshold}");
        same_as_library("sharpen", &options, &Operator::Sharpen { sigma_px, amount, threshold });
    }
}

#[test]
fn grey_of_rgb_and_other_sizes_of_grey_give_the_bytes_of_the_cpu() {
    for mut device in devices() {
        let rgbs: Vec<Vec<u8>> = SIZES.iter().map(|(w, h, gap)| Noise::new(3).bytes((3 * w + gap) * h, 3 * w + gap)).collect();
        let memories: Vec<_> = rgbs.iter().zip(SIZES).map(|(rgb, (w, h, _))| (device.put(rgb), device.room(w * h))).collect();
        let plan: Vec<_> =
            memories.iter().zip(SIZES).map(|((rgb, grey), (w, h, gap))| (rgb.region(), (3 * w + gap) as u32, grey.grey(w, h, w))).collect();
        device.run(|_| grey_from_rgb(&plan)).unwrap();
        let mut pairs = Vec::new();
        let targets = [(256, 64), (40, 200), (1, 1), (77, 13), (500, 3)];
        let outs: Vec<_> = targets.iter().cycle().take(SIZES.len()).map(|(w, h)| device.room(w * h)).collect();
        for (i, (_, grey)) in memories.iter().enumerate() {
            let ((w, h, gap), (tw, th)) = (SIZES[i], targets[i % targets.len()]);
            let mut wanted = vec![0; w * h];
            gray_from_rgb(&Rgb::new(&rgbs[i], w, h, 3 * w + gap).unwrap(), &mut wanted);
            assert!(device.get(grey) == wanted, "{} {w}x{h}", device.name());
            pairs.push((grey.grey(w, h, w), outs[i].grey(tw, th, tw)));
        }
        device.run(|scratch| resize_grey(&pairs, scratch)).unwrap();
        for (i, (_, grey)) in memories.iter().enumerate() {
            let ((w, h, _), (tw, th)) = (SIZES[i], targets[i % targets.len()]);
            let (grey, mut wanted) = (device.get(grey), vec![0; tw * th]);
            resize_gray(&mut GrayScratch::default(), &Gray::new(&grey, w, h, w).unwrap(), tw, th, &mut wanted);
            assert!(device.get(&outs[i]) == wanted, "{} {w}x{h} to {tw}x{th}", device.name());
        }
    }
}

#[test]
fn more_crops_than_one_launch_holds_are_all_done() {
    let (w, h) = (30, 12);
    let pictures: Vec<Vec<u8>> = (0..150).map(|seed| Noise::new(seed).bytes(w * h, w)).collect();
    let operators = [
        ("equalize", Operator::Equalize),
        ("clahe", Operator::Clahe { clip_limit: 2.0, tiles: 8 }),
        ("adaptive_threshold", Operator::AdaptiveThreshold { mean: Surroundings::Gaussian, block_px: 31, c: 8 }),
        ("morphology", Operator::Morphology { operation: Morphology::Close, width_px: 3, height_px: 3 }),
        ("sharpen", Operator::Sharpen { sigma_px: 2.0, amount: 1.5, threshold: 0 }),
    ];
    for (name, operator) in operators {
        let mut instance = Library::open(&operator_library(name)).unwrap().create("").unwrap();
        for mut device in devices() {
            let memories: Vec<_> = pictures.iter().map(|p| (device.put(p), device.room(w * h))).collect();
            let pairs: Vec<_> = memories.iter().map(|(from, to)| (from.grey(w, h, w), to.grey(w, h, w))).collect();
            device.run(|scratch| operate(&operator, &pairs, scratch)).unwrap();
            for (picture, (_, to)) in pictures.iter().zip(&memories) {
                let mut wanted = vec![0; w * h];
                instance.run(&Picture::new(picture, w, h, w).unwrap(), &mut PictureMut::new(&mut wanted, w, h, w).unwrap()).unwrap();
                assert!(device.get(to) == wanted, "{} {name}", device.name());
            }
        }
    }
}

#[test]
fn options_out_of_range_and_pictures_of_another_size_are_refused() {
    let device = &devices()[0];
    let (one, two) = (device.room(400), device.room(400));
    let pair = (one.grey(20, 20, 20), two.grey(20, 20, 20));
    let wrong = [
        Operator::Clahe { clip_limit: 0.5, tiles: 8 },
        Operator::Clahe { clip_limit: 2.0, tiles: 0 },
        Operator::AdaptiveThreshold { mean: Surroundings::Mean, block_px: 30, c: 0 },
        Operator::AdaptiveThreshold { mean: Surroundings::Gaussian, block_px: 257, c: 0 },
        Operator::Morphology { operation: Morphology::Open, width_px: 65, height_px: 1 },
        Operator::Sharpen { sigma_px: 17.0, amount: 1.0, threshold: 0 },
        Operator::Sharpen { sigma_px: 2.0, amount: f64::NAN, threshold: 0 },
    ];
    for operator in wrong {
        let error = operate(&operator, &[pair], &mut Scratch::counting()).unwrap_err();
        assert!(matches!(error, KernelError::Parameter { .. }), "{operator:?}: {error}");
    }
    let uneven = (pair.0, two.grey(20, 19, 20));
    assert!(matches!(operate(&Operator::Equalize, &[uneven], &mut Scratch::counting()), Err(KernelError::Sizes { .. })));
}
