//! What is written can be read again.

mod common;

use common::Folder;
use gantry_frames::Colour;
use gantry_media::{Encoder, FrameReader};

/// u8 `[H, W, 3]`: left half of one colour, right half of another; an odd size.
fn picture(left: [u8; 3], right: [u8; 3], w: usize, h: usize) -> Vec<u8> {
    (0..h).flat_map(|_| (0..w).flat_map(move |x| if x < w / 2 { left } else { right })).collect()
}

#[test]
fn rgb_pictures_come_back_with_their_colours_and_times() {
    let folder = Folder::new("encode_rgb");
    let (w, h) = (321, 241);
    let file = folder.file("out.mp4");
    let mut encoder = Encoder::create(&file, w as u32, h as u32, 25.0).unwrap();
    for i in 0..20i64 {
        encoder.add_rgb(&picture([200, 40, 40], [20, 60, 220], w, h), w * 3, i * 40_000_000).unwrap();
    }
    encoder.finish().unwrap();
    let mut reader = FrameReader::open(file.to_str().unwrap()).unwrap();
    let mut rgb = Vec::new();
    let mut times = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        assert_eq!(frame.size(), (320, 240));
        frame.to_rgb(&mut rgb).unwrap();
        assert_eq!(rgb.len(), 320 * 240 * 3);
        let at = |x: usize, y: usize| [rgb[(y * 320 + x) * 3], rgb[(y * 320 + x) * 3 + 1], rgb[(y * 320 + x) * 3 + 2]];
        for (found, wanted) in [(at(60, 120), [200, 40, 40]), (at(260, 120), [20, 60, 220])] {
            assert!(found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 6), "{found:?} {wanted:?}");
        }
        times.push(frame.pts_ns);
    }
    assert_eq!(times, (0..20).map(|i| i * 40_000_000).collect::<Vec<_>>());
}

#[test]
fn i420_pictures_keep_their_values() {
    let folder = Folder::new("encode_i420");
    let file = folder.file("out.mp4");
    let mut encoder = Encoder::create(&file, 128, 64, 30.0).unwrap();
    let (y, u, v) = (vec![90u8; 160 * 64], vec![100u8; 64 * 32], vec![150u8; 64 * 32]);
    for i in 0..5 {
        encoder.add_i420([(&y, 160), (&u, 64), (&v, 64)], Colour::BT709_LIMITED, i * 33_333_333).unwrap();
    }
    encoder.finish().unwrap();
    let mut reader = FrameReader::open(file.to_str().unwrap()).unwrap();
    let frame = reader.next_frame().unwrap().unwrap();
    for (plane, wanted) in [(0, 90u8), (1, 100), (2, 150)] {
        assert!(frame.rows(plane).flatten().all(|b| b.abs_diff(wanted) <= 3), "plane {plane}");
    }
}

#[test]
fn a_folder_that_does_not_exist_is_said() {
    let error = Encoder::create(std::path::Path::new("/nonexistent-folder/out.mp4"), 64, 64, 25.0).err().unwrap();
    assert!(error.to_string().contains("no such file") && error.hint().is_some(), "{error}");
}
