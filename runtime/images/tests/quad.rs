//! Corners to a rectangle, and slopes of very wide pictures.

use gantry_frames::{Colour, Layout, Matrix, PixelFormat, Plane, Range};
use gantry_images::*;

const SIZE: (u32, u32) = (200, 120);

/// Grey whose level is a smooth function of the place, so that the exact level of any place is known.
fn smooth(x: f64, y: f64) -> f64 {
    128.0 + 70.0 * (x * 0.11).sin() + 40.0 * (y * 0.17).cos()
}

/// Colour that rises from left to right.
fn blue(x: f64) -> f64 {
    100.0 + x * 0.25
}

fn frame() -> (Layout, Vec<u8>) {
    let (w, h) = SIZE;
    let planes = [Plane { offset: 0, stride: w, rows: h }, Plane { offset: u64::from(w * h), stride: w, rows: h / 2 }];
    let layout = Layout::image(PixelFormat::Nv12, w, h, &planes, Colour { matrix: Matrix::Bt601, range: Range::Full }).unwrap();
    let mut bytes = vec![128; layout.byte_len() as usize];
    for y in 0..h as usize {
        for x in 0..w as usize {
            bytes[y * w as usize + x] = smooth(x as f64 + 0.5, y as f64 + 0.5).round() as u8;
            if y % 2 == 0 && x % 2 == 0 {
                bytes[(w * h) as usize + y / 2 * w as usize + x] = blue(x as f64 + 1.0).round() as u8;
            }
        }
    }
    (layout, bytes)
}

#[test]
fn each_pixel_is_the_level_of_the_place_that_perspective_puts_it_at() {
    let (layout, bytes) = frame();
    let quad = Quad([(31.0, 22.0), (152.0, 35.0), (140.0, 81.0), (40.0, 66.0)]);
    for (w, h) in [(300, 110), (120, 40), (50, 20)] {
        let perspective = Perspective::of(&quad, w, h).unwrap();
        let mut out = vec![7; (3 * w + 2) * h];
        rectify(&Yuv::of(layout.as_image().unwrap(), &bytes).unwrap(), &perspective, w, h, &mut out, 3 * w + 2);
        for (y, row) in out.chunks_exact(3 * w + 2).enumerate() {
            for (x, rgb) in row[..3 * w].chunks_exact(3).enumerate() {
                let (sx, sy) = perspective.apply(x as f64 + 0.5, y as f64 + 0.5);
                let pb = blue(sx) - 128.0;
                let wanted = [smooth(sx, sy), smooth(sx, sy) - 0.344_136 * pb, smooth(sx, sy) + 1.772 * pb];
                for (found, wanted) in rgb.iter().zip(wanted) {
                    // Rounding of the frame's own samples, and the mean over a pixel's area where the crop is smaller.
                    assert!((f64::from(*found) - wanted.clamp(0.0, 255.0)).abs() <= 4.0, "{w}x{h} ({x}, {y}): {rgb:?} for {wanted:?}");
                }
            }
            assert_eq!(row[3 * w..], [7, 7], "bytes between rows were written");
        }
    }
}

#[test]
fn corners_go_to_corners_and_a_smaller_crop_looks_at_more_places() {
    let quad = Quad([(31.0, 22.0), (152.0, 35.0), (140.0, 81.0), (40.0, 66.0)]);
    let p = Perspective::of(&quad, 300, 110).unwrap();
    for ((x, y), corner) in [(0.0, 0.0), (300.0, 0.0), (300.0, 110.0), (0.0, 110.0)].into_iter().zip(quad.0) {
        let found = p.apply(x, y);
        assert!((found.0 - corner.0).abs() < 1e-9 && (found.1 - corner.1).abs() < 1e-9, "{found:?} for {corner:?}");
    }
    assert_eq!(p.samples, 1);
    assert_eq!(Perspective::of(&quad, 50, 40).unwrap().samples, 3);
}

#[test]
fn a_level_rectangle_is_cut_as_the_cutter_cuts_it() {
    let (layout, bytes) = frame();
    let yuv = Yuv::of(layout.as_image().unwrap(), &bytes).unwrap();
    let window = Window { x: 20.5, y: 11.25, width: 90.0, height: 30.0 };
    let (right, bottom) = (window.x + window.width, window.y + window.height);
    let quad = Quad([(window.x, window.y), (right, window.y), (right, bottom), (window.x, bottom)]);
    let (mut level, mut rectified) = (vec![0; 3 * 240 * 80], vec![0; 3 * 240 * 80]);
    Cutter::default().rgb(&yuv, &window, Shear(0.0), 240, 80, &mut level, 720);
    rectify(&yuv, &Perspective::of(&quad, 240, 80).unwrap(), 240, 80, &mut rectified, 720);
    let most = level.iter().zip(&rectified).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(1), "largest difference {most:?}");
}

#[test]
fn corners_that_are_no_convex_quadrilateral_in_reading_order_have_no_perspective() {
    let ok = [(0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (0.0, 5.0)];
    assert!(Perspective::of(&Quad(ok), 20, 10).is_some());
    let mirrored = [ok[1], ok[0], ok[3], ok[2]];
    let crossed = [ok[0], ok[1], ok[3], ok[2]];
    let flat = [ok[0], (5.0, 0.0), ok[1], ok[3]];
    let dented = [ok[0], ok[1], (2.0, 1.0), ok[3]];
    let unknown = [ok[0], ok[1], (f64::NAN, 5.0), ok[3]];
    for corners in [mirrored, crossed, flat, dented, unknown] {
        assert_eq!(Perspective::of(&Quad(corners), 20, 10), None, "{corners:?}");
    }
    assert_eq!(Perspective::of(&Quad(ok), 0, 10), None);
}

/// A wide picture whose lines are as steep as is looked for: the search around the best slope went beyond the bins.
#[test]
fn a_very_wide_picture_with_steep_lines_has_no_slope_to_trust() {
    let (w, h) = (384usize, 48usize);
    for direction in [1.0, -1.0] {
        let line = |x: usize, y: usize| y as f64 - direction * 0.26 * (x as f64 - 192.0);
        let grey: Vec<u8> = (0..w * h).map(|i| if (line(i % w, i / w) / 6.0).floor() as i64 % 2 == 0 { 30 } else { 220 }).collect();
        let found = estimate_slant(&mut SlantScratch::default(), &Gray::new(&grey, w, h, w).unwrap());
        assert_eq!(found, None);
    }
}
