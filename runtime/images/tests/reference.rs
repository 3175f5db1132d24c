//! Everything against slow, exact references in f64.

use gantry_frames::{Colour, Layout, Matrix, PixelFormat, Range};
use gantry_images::*;
use proptest::prelude::*;

struct Picture {
    layout: Layout,
    bytes: Vec<u8>,
}

impl Picture {
    /// Noise over slow waves, so that both flat and busy places occur.
    fn new(format: PixelFormat, width: u32, height: u32, colour: Colour, seed: u64) -> Self {
        let layout = Layout::packed(format, width, height, colour).unwrap();
        let mut state = seed | 1;
        let mut bytes = vec![0; layout.byte_len() as usize];
        for (i, b) in bytes.iter_mut().enumerate() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let wave = 128.0 + 90.0 * (i as f64 * 0.05).sin();
            *b = (wave + ((state >> 58) as f64) - 32.0).clamp(0.0, 255.0) as u8;
        }
        Self { layout, bytes }
    }

    fn yuv(&self) -> Yuv<'_> {
        Yuv::of(self.layout.as_image().unwrap(), &self.bytes).unwrap()
    }

    /// Sample of channel 0 Y, 1 U, 2 V with the borders repeated.
    fn sample(&self, channel: usize, x: i64, y: i64) -> f64 {
        let image = self.layout.as_image().unwrap();
        let half = u32::from(channel > 0);
        let (w, h) = (i64::from(image.width.div_ceil(1 + half)), i64::from(image.height.div_ceil(1 + half)));
        let (x, y) = (x.clamp(0, w - 1) as usize, y.clamp(0, h - 1) as usize);
        let (plane, x) = match (image.format, channel) {
            (_, 0) => (image.planes()[0], x),
            (PixelFormat::Nv12, c) => (image.planes()[1], 2 * x + c - 1),
            (_, c) => (image.planes()[c], x),
        };
        f64::from(self.bytes[plane.offset as usize + y * plane.stride as usize + x])
    }

    /// Weighted mean around a point with a widened kernel, both axes.
    fn filtered(&self, channel: usize, cx: f64, cy: f64, widen: (f64, f64), kernel: &dyn Fn(f64) -> f64) -> f64 {
        let range = |c: f64, widen: f64| ((c - 2.0 * widen - 1.0).floor() as i64)..=((c + 2.0 * widen + 1.0).ceil() as i64);
        let (mut sum, mut weight) = (0.0, 0.0);
        for y in range(cy, widen.1) {
            let wy = kernel((y as f64 + 0.5 - cy) / widen.1);
            if wy == 0.0 {
                continue;
            }
            for x in range(cx, widen.0) {
                let w = wy * kernel((x as f64 + 0.5 - cx) / widen.0);
                sum += w * self.sample(channel, x, y);
                weight += w;
            }
        }
        sum / weight
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn catmull_rom(x: f64) -> f64 {
    let x = x.abs();
    match x {
        x if x < 1.0 => 1.5 * x * x * x - 2.5 * x * x + 1.0,
        x if x < 2.0 => -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0,
        _ => 0.0,
    }
}

fn exact_rgb(colour: Colour, y: f64, u: f64, v: f64) -> [f64; 3] {
    let (kr, kb) = match colour.matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt2020 => (0.2627, 0.0593),
        _ => (0.2126, 0.0722),
    };
    let (y, c) = if colour.range == Range::Limited { ((y - 16.0) / 219.0, 224.0) } else { (y / 255.0, 255.0) };
    let (pb, pr) = ((u - 128.0) / c, (v - 128.0) / c);
    let (r, b) = (y + 2.0 * (1.0 - kr) * pr, y + 2.0 * (1.0 - kb) * pb);
    let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
    [r, g, b].map(|v| (v * 255.0).clamp(0.0, 255.0))
}

/// RGB of an output pixel of `window` at `size`.
fn expected(p: &Picture, window: &Window, size: (usize, usize), x: usize, y: usize, cubic: bool) -> [f64; 3] {
    let image = p.layout.as_image().unwrap();
    let (sx, sy) = (window.width / size.0 as f64, window.height / size.1 as f64);
    let (cx, cy) = (window.x + (x as f64 + 0.5) * sx, window.y + (y as f64 + 0.5) * sy);
    let luma: &dyn Fn(f64) -> f64 = if cubic { &catmull_rom } else { &triangle };
    let level = p.filtered(0, cx, cy, (sx.max(1.0), sy.max(1.0)), luma).clamp(0.0, 255.0);
    let chroma = |c| p.filtered(c, cx / 2.0, cy / 2.0, ((sx / 2.0).max(1.0), (sy / 2.0).max(1.0)), &triangle);
    exact_rgb(image.colour, level, chroma(1), chroma(2))
}

fn colours() -> impl Strategy<Value = Colour> {
    (prop_oneof![Just(Matrix::Bt601), Just(Matrix::Bt709), Just(Matrix::Bt2020)], prop_oneof![Just(Range::Limited), Just(Range::Full)])
        .prop_map(|(matrix, range)| Colour { matrix, range })
}

fn formats() -> impl Strategy<Value = PixelFormat> {
    prop_oneof![Just(PixelFormat::I420), Just(PixelFormat::Nv12)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn half_size_is_the_mean_of_four_and_within_one_level(w in 1usize..40, h in 1usize..30, format in formats(), colour in colours(), seed: u64) {
        let p = Picture::new(format, 2 * w as u32, 2 * h as u32, colour, seed);
        let b = Letterbox::fit(2 * w, 2 * h, w, h);
        let mut out = vec![0; 3 * w * h];
        FrameScaler::default().run(&p.yuv(), &b, Arrangement::PlanarU8, &mut out);
        for y in 0..h {
            for x in 0..w {
                let (ix, iy) = (2 * x as i64, 2 * y as i64);
                let mean = (p.sample(0, ix, iy) + p.sample(0, ix + 1, iy) + p.sample(0, ix, iy + 1) + p.sample(0, ix + 1, iy + 1)) / 4.0;
                let wanted = exact_rgb(colour, mean, p.sample(1, x as i64, y as i64), p.sample(2, x as i64, y as i64));
                for c in 0..3 {
                    let found = f64::from(out[c * w * h + y * w + x]);
                    prop_assert!((found - wanted[c]).abs() <= 1.0, "({x}, {y}) channel {c}: {found} for {}", wanted[c]);
                }
            }
        }
    }

    #[test]
    fn any_size_is_within_one_level_of_the_filter(w in 2u32..70, h in 2u32..50, ow in 3usize..60, oh in 3usize..60, format in formats(), colour in colours(), seed: u64) {
        let p = Picture::new(format, w, h, colour, seed);
        let b = Letterbox::fit(w as usize, h as usize, ow, oh);
        prop_assume!(w as usize != 2 * b.inner_width || h as usize != 2 * b.inner_height);
        let mut out = vec![0; 3 * ow * oh];
        FrameScaler::default().run(&p.yuv(), &b, Arrangement::InterleavedU8, &mut out);
        let window = Window { x: 0.0, y: 0.0, width: f64::from(w), height: f64::from(h) };
        for y in 0..oh {
            for x in 0..ow {
                let inside = (b.left..b.left + b.inner_width).contains(&x) && (b.top..b.top + b.inner_height).contains(&y);
                let wanted = if inside { expected(&p, &window, (b.inner_width, b.inner_height), x - b.left, y - b.top, false) } else { [114.0; 3] };
                for c in 0..3 {
                    let found = f64::from(out[3 * (y * ow + x) + c]);
                    prop_assert!((found - wanted[c]).abs() <= 1.0, "({x}, {y}) channel {c}: {found} for {}", wanted[c]);
                }
            }
        }
    }

    #[test]
    fn a_cut_is_within_one_level_of_the_cubic_also_beyond_the_border(w in 8u32..60, h in 8u32..40, x in -5.0f64..30.0, y in -5.0f64..20.0, ww in 4.0f64..40.0, hh in 4.0f64..30.0, up in 1.0f64..4.0, format in formats(), colour in colours(), seed: u64) {
        let p = Picture::new(format, w, h, colour, seed);
        let window = Window { x, y, width: ww, height: hh };
        let size = ((ww * up).ceil() as usize, (hh * up).ceil() as usize);
        let stride = 3 * size.0 + 5;
        let mut out = vec![7; stride * size.1];
        Cutter::default().rgb(&p.yuv(), &window, Shear(0.0), size.0, size.1, &mut out, stride);
        for oy in 0..size.1 {
            for ox in 0..size.0 {
                let wanted = expected(&p, &window, size, ox, oy, true);
                for c in 0..3 {
                    let found = f64::from(out[oy * stride + 3 * ox + c]);
                    prop_assert!((found - wanted[c]).abs() <= 1.0, "({ox}, {oy}) channel {c}: {found} for {}", wanted[c]);
                }
            }
            prop_assert!(out[oy * stride + 3 * size.0..][..5].iter().all(|&b| b == 7), "bytes between rows were written");
        }
    }
}

proptest! {
    /// Half size and others, with borders on both axes.
    #[test]
    fn a_part_has_the_bytes_of_the_whole_and_nothing_beside_it_is_written(
        (w, h) in prop_oneof![Just((128u32, 72u32)), Just((120, 90)), (8u32..200, 8u32..150)],
        format in prop_oneof![Just(PixelFormat::I420), Just(PixelFormat::Nv12)],
        arrangement in prop_oneof![
            Just(Arrangement::PlanarU8), Just(Arrangement::PlanarF32), Just(Arrangement::InterleavedU8), Just(Arrangement::InterleavedF32)
        ],
        (x0, x1, y0, y1) in (0usize..=64, 0usize..=64, 0usize..=48, 0usize..=48),
        seed: u64,
    ) {
        let p = Picture::new(format, w, h, Colour::BT709_LIMITED, seed);
        let b = Letterbox::fit(w as usize, h as usize, 64, 48);
        let (columns, rows) = (x0.min(x1)..x0.max(x1), y0.min(y1)..y0.max(y1));
        let mut scaler = FrameScaler::default();
        let mut whole = vec![0; arrangement.byte_len(64, 48)];
        scaler.run(&p.yuv(), &b, arrangement, &mut whole);
        let mut part = vec![7; whole.len()];
        scaler.run_part(&p.yuv(), &b, arrangement, (columns.clone(), rows.clone()), &mut part);
        let bytes = arrangement.sample_bytes();
        for (i, (&found, &wanted)) in part.iter().zip(&whole).enumerate() {
            let pixel = match arrangement {
                Arrangement::PlanarU8 | Arrangement::PlanarF32 => i / bytes % (64 * 48),
                Arrangement::InterleavedU8 | Arrangement::InterleavedF32 => i / bytes / 3,
            };
            let is_in = columns.contains(&(pixel % 64)) && rows.contains(&(pixel / 64));
            prop_assert_eq!(found, if is_in { wanted } else { 7 }, "byte {}", i);
        }
    }
}

#[test]
fn all_arrangements_hold_the_same_numbers() {
    let p = Picture::new(PixelFormat::Nv12, 101, 57, Colour::BT709_LIMITED, 3);
    let b = Letterbox::fit(101, 57, 64, 48);
    let run = |a: Arrangement| {
        let mut out = vec![0; a.byte_len(64, 48)];
        FrameScaler::default().run(&p.yuv(), &b, a, &mut out);
        out
    };
    let floats = |bytes: Vec<u8>| -> Vec<u8> {
        bytes.chunks_exact(4).map(|c| (f32::from_le_bytes(c.try_into().unwrap()) * 255.0).round() as u8).collect()
    };
    let planar = run(Arrangement::PlanarU8);
    let interleaved = run(Arrangement::InterleavedU8);
    assert_eq!(floats(run(Arrangement::PlanarF32)), planar);
    assert_eq!(floats(run(Arrangement::InterleavedF32)), interleaved);
    for i in 0..64 * 48 {
        assert_eq!([planar[i], planar[64 * 48 + i], planar[2 * 64 * 48 + i]], interleaved[3 * i..3 * i + 3]);
    }
}

#[test]
fn i420_and_nv12_with_the_same_samples_give_the_same_pixels() {
    let nv12 = Picture::new(PixelFormat::Nv12, 62, 38, Colour::BT601_LIMITED, 11);
    let mut i420 = Picture::new(PixelFormat::I420, 62, 38, Colour::BT601_LIMITED, 11);
    let planes = i420.layout.as_image().unwrap().planes().to_vec();
    for (c, plane) in planes.iter().enumerate() {
        let (w, h) = if c == 0 { (62, 38) } else { (31, 19) };
        for y in 0..h {
            for x in 0..w {
                i420.bytes[plane.offset as usize + y * plane.stride as usize + x] = nv12.sample(c, x as i64, y as i64) as u8;
            }
        }
    }
    for (w, h) in [(31, 19), (40, 40)] {
        let b = Letterbox::fit(62, 38, w, h);
        let (mut one, mut two) = (vec![0; 3 * w * h], vec![0; 3 * w * h]);
        let mut scaler = FrameScaler::default();
        scaler.run(&nv12.yuv(), &b, Arrangement::PlanarU8, &mut one);
        scaler.run(&i420.yuv(), &b, Arrangement::PlanarU8, &mut two);
        assert_eq!(one, two);
    }
}

/// Black bars on white, drawn along a slope, in luma.
fn slanted(slope: f64) -> Picture {
    let (w, h) = (320u32, 160u32);
    let mut p = Picture::new(PixelFormat::I420, w, h, Colour { matrix: Matrix::Bt601, range: Range::Full }, 1);
    p.bytes.fill(128);
    let stride = p.layout.as_image().unwrap().planes()[0].stride as usize;
    for y in 0..h as usize {
        for x in 0..w as usize {
            let line = y as f64 + 0.5 - slope * (x as f64 + 0.5 - 160.0);
            // A band of "strokes" between 60 and 100, like a line of text.
            let ink = (60.0..100.0).contains(&line) && (x / 7) % 2 == 0;
            p.bytes[y * stride + x] = if ink { 40 } else { 210 };
        }
    }
    p
}

#[test]
fn finds_the_slope_of_a_line_of_text_and_levels_it() {
    for slope in [-0.15, -0.06, 0.0, 0.05, 0.12] {
        let p = slanted(slope);
        let window = Window { x: 40.0, y: 20.0, width: 240.0, height: 120.0 };
        let mut luma = vec![0; 120 * 60];
        let mut cutter = Cutter::default();
        cutter.luma(&p.yuv(), &window, 120, 60, &mut luma);
        let found = estimate_slant(&mut SlantScratch::default(), &Gray::new(&luma, 120, 60, 120).unwrap()).unwrap();
        assert!((f64::from(found.slope) - slope).abs() <= 0.02, "slope {slope}: {found:?}");
        assert!(slope == 0.0 || found.gain > 1.3, "slope {slope}: {found:?}");

        let mut rgb = vec![0; 3 * 240 * 120];
        cutter.rgb(&p.yuv(), &window, Shear(slope), 240, 120, &mut rgb, 720);
        let mut grey = vec![0; 240 * 120];
        gray_from_rgb(&Rgb::new(&rgb, 240, 120, 720).unwrap(), &mut grey);
        let after = estimate_slant(&mut SlantScratch::default(), &Gray::new(&grey, 240, 120, 240).unwrap()).unwrap();
        assert!(after.slope.abs() <= 0.015, "slope {slope}: after levelling {after:?}");
        // Rows just above and below the text (60 and 100 in the source) are white all along.
        for row in [36, 83] {
            assert!(grey[row * 240..(row + 1) * 240].iter().all(|&v| v > 180), "slope {slope}: ink in row {row}");
        }
        assert!(grey[60 * 240..61 * 240].iter().filter(|&&v| v < 90).count() > 80, "slope {slope}: no ink in the middle");
    }
}

#[test]
fn a_blurred_or_pale_crop_is_less_legible() {
    let text = |contrast: f64, blur: usize| -> f32 {
        let (w, h) = (240usize, 80usize);
        let mut level: Vec<f64> = (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                let ink = (15..65).contains(&y) && ((x / 9) % 3 != 2) && (x % 9 < 4 || (y / 12) % 2 == 0);
                if ink { 128.0 - contrast } else { 128.0 + contrast }
            })
            .collect();
        for _ in 0..blur {
            let before = level.clone();
            for y in 1..h - 1 {
                for x in 1..w - 1 {
                    level[y * w + x] = (0..9).map(|k| before[(y + k / 3 - 1) * w + x + k % 3 - 1]).sum::<f64>() / 9.0;
                }
            }
        }
        let bytes: Vec<u8> = level.iter().map(|v| v.round() as u8).collect();
        legibility(&mut LegibilityScratch::default(), &Gray::new(&bytes, w, h, w).unwrap())
    };
    let (crisp, soft, softer, pale) = (text(90.0, 0), text(90.0, 3), text(90.0, 12), text(15.0, 0));
    assert!(crisp > soft && soft > softer, "{crisp} {soft} {softer}");
    assert!(crisp > 0.45 && softer < 0.25, "{crisp} {softer}");
    assert!(pale < 0.7 * crisp, "{crisp} {pale}");
    let flat = vec![90u8; 100 * 40];
    assert_eq!(legibility(&mut LegibilityScratch::default(), &Gray::new(&flat, 100, 40, 100).unwrap()), 0.0);
}

#[test]
fn grey_keeps_its_shape_when_stretched_and_jpeg_starts_and_ends_as_one() {
    let ramp: Vec<u8> = (0..64 * 32).map(|i| ((i % 64) * 4) as u8).collect();
    let mut out = vec![0; 128 * 20];
    resize_gray(&mut GrayScratch::default(), &Gray::new(&ramp, 64, 32, 64).unwrap(), 128, 20, &mut out);
    for y in 0..20 {
        for x in 2..126 {
            let wanted = ((x as f64 + 0.5) / 2.0 - 0.5) * 4.0;
            assert!((f64::from(out[y * 128 + x]) - wanted).abs() <= 1.0);
        }
    }
    let rgb: Vec<u8> = (0..3 * 50 * 20).map(|i| (i % 251) as u8).collect();
    let jpeg = encode_jpeg(&Rgb::new(&rgb, 50, 20, 150).unwrap(), 85).unwrap();
    assert_eq!((&jpeg[..2], &jpeg[jpeg.len() - 2..]), (&[0xff, 0xd8][..], &[0xff, 0xd9][..]));
    assert_eq!(jpeg, encode_jpeg(&Rgb::new(&rgb, 50, 20, 150).unwrap(), 85).unwrap());
}

#[test]
fn a_payload_that_is_too_short_is_refused() {
    let layout = Layout::i420(64, 48).unwrap();
    let bytes = vec![0; layout.byte_len() as usize - 200];
    assert!(matches!(Yuv::of(layout.as_image().unwrap(), &bytes), Err(PixelsError::TooShort { what: "V plane", .. })));
    let rgb = Layout::rgb8(64, 48).unwrap();
    assert!(matches!(Yuv::of(rgb.as_image().unwrap(), &bytes), Err(PixelsError::Format { .. })));
}
