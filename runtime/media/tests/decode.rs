//! Every kind of input, compared with what the `ffmpeg` command makes of it.

mod common;

use common::{Folder, ffmpeg, reference, source};
use gantry_media::{DecodeStats, DecoderOptions, FrameReader, MediaError, OwnedFrame};
use std::path::Path;

struct Read {
    bytes: Vec<u8>,
    sizes: Vec<(u32, u32)>,
    times: Vec<i64>,
    stats: DecodeStats,
    corrupt: u64,
}

fn append(frame: &OwnedFrame, bytes: &mut Vec<u8>) {
    for plane in 0..3 {
        for row in frame.rows(plane) {
            bytes.extend_from_slice(row);
        }
    }
}

fn read(file: &Path) -> Read {
    read_with(file, DecoderOptions::default())
}

fn read_with(file: &Path, options: DecoderOptions) -> Read {
    let mut reader = FrameReader::open_with(file.to_str().unwrap(), options).unwrap();
    let (mut bytes, mut sizes, mut times) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(frame) = reader.next_frame().unwrap() {
        assert_eq!(frame.frame as usize, sizes.len());
        append(&frame, &mut bytes);
        sizes.push(frame.size());
        times.push(frame.pts_ns);
    }
    Read { bytes, sizes, times, stats: reader.decoder().stats(), corrupt: reader.demuxer().stats().corrupt }
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| f64::from(x.abs_diff(*y))).sum::<f64>() / a.len() as f64
}

#[test]
fn eight_bit_420_is_decoded_in_place_and_equals_ffmpeg_bit_for_bit() {
    let folder = Folder::new("direct");
    let cases = [
        ("h264_bframes.mp4", "320x180", "-c:v libx264 -preset medium -bf 3 -pix_fmt yuv420p"),
        ("hevc.mp4", "320x180", "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p"),
        ("vp9_odd.webm", "853x479", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p"),
        ("mpeg4_odd.mp4", "853x479", "-c:v mpeg4 -q:v 4 -bf 2"),
        ("mpeg2.ts", "320x180", "-c:v mpeg2video -q:v 4 -bf 2"),
        ("mjpeg.avi", "322x182", "-c:v mjpeg -pix_fmt yuvj420p -q:v 4"),
    ];
    for (name, size, codec) in cases {
        let file = ffmpeg(&format!("{} {codec}", source(size, 30)), &folder.file(name));
        let got = read(&file);
        let (w, h) = size.split_once('x').map(|(w, h)| (w.parse().unwrap(), h.parse().unwrap())).unwrap();
        assert_eq!(got.sizes, vec![(w, h); 30], "{name}");
        assert_eq!((got.stats.direct, got.stats.frames, got.stats.errors), (30, 30, 0), "{name}: {:?}", got.stats);
        // MJPEG is full range: `ffmpeg -pix_fmt yuv420p` would change the values, so its frames are compared by number only.
        if name != "mjpeg.avi" {
            assert!(got.bytes == reference(&file, ""), "{name} differs from ffmpeg's pictures");
        }
        assert!(got.times.windows(2).all(|t| t[0] < t[1]), "{name}: {:?}", got.times);
        assert_eq!(got.times[0], 0, "{name}");
        assert!((got.times[29] - 29 * 40_000_000).abs() < 2_000_000, "{name}: {}", got.times[29]);
    }
}

#[test]
fn several_threads_give_the_same_pictures_in_the_same_order() {
    let folder = Folder::new("threads");
    let file = ffmpeg(&format!("{} -c:v libx264 -bf 3 -pix_fmt yuv420p", source("320x180", 60)), &folder.file("threads.mp4"));
    let (one, four) = (read(&file), read_with(&file, DecoderOptions { threads: 4, ..DecoderOptions::default() }));
    assert_eq!((four.stats.direct, &four.times), (60, &one.times));
    assert!(one.bytes == four.bytes);
}

#[test]
fn other_formats_are_converted_and_counted() {
    let folder = Folder::new("converted");
    let cases = [
        ("ten_bit.mp4", "320x180", "-c:v libx264 -pix_fmt yuv420p10le"),
        ("odd_444.mp4", "853x479", "-c:v libx264 -preset ultrafast -pix_fmt yuv444p"),
        ("hevc_422.mp4", "320x180", "-c:v libx265 -x265-params log-level=none -pix_fmt yuv422p"),
        ("grey.mkv", "320x180", "-c:v ffv1 -pix_fmt gray"),
        ("rgb.mkv", "853x479", "-c:v ffv1 -pix_fmt bgr0"),
    ];
    for (name, size, codec) in cases {
        let file = ffmpeg(&format!("{} {codec}", source(size, 12)), &folder.file(name));
        let got = read(&file);
        assert_eq!((got.stats.converted, got.stats.direct, got.stats.frames), (12, 0, 12), "{name}: {:?}", got.stats);
        if name != "grey.mkv" {
            let difference = mean_difference(&got.bytes, &reference(&file, ""));
            assert!(difference < 1.0, "{name}: {difference}");
        }
    }
    let av1 = ffmpeg(&format!("{} -c:v libsvtav1 -preset 12", source("320x180", 12)), &folder.file("av1.mp4"));
    let got = read(&av1);
    assert_eq!((got.stats.copied + got.stats.direct, got.stats.frames), (12, 12), "{:?}", got.stats);
    assert!(got.bytes == reference(&av1, ""));
}

#[test]
fn rotated_files_come_upright() {
    let folder = Folder::new("rotated");
    let plain = ffmpeg(&format!("{} -c:v libx264 -pix_fmt yuv420p", source("320x180", 5)), &folder.file("plain.mp4"));
    for degrees in [90, 180, 270] {
        let name = format!("rotated_{degrees}.mp4");
        let file = ffmpeg(&format!("-i {} -c copy -metadata:s:v rotate={degrees}", plain.display()), &folder.file(&name));
        let got = read(&file);
        let size = if degrees == 180 { (320, 180) } else { (180, 320) };
        assert_eq!(got.sizes, vec![size; 5], "{name}");
        assert_eq!(got.stats.transformed, 5);
        assert!(got.bytes == reference(&file, ""), "{name} differs from ffmpeg's autorotated pictures");
    }
}

#[test]
fn interlaced_pictures_lose_their_comb() {
    let folder = Folder::new("interlaced");
    // Fields 20 ms apart: the moving parts comb.
    let file = ffmpeg(
        "-f lavfi -i testsrc2=size=320x240:rate=50 -frames:v 12 -vf interlace=scan=tff -c:v mpeg2video -q:v 2 -flags +ilme+ildct -top 1",
        &folder.file("interlaced.ts"),
    );
    let got = read(&file);
    assert!(got.stats.frames >= 10);
    assert_eq!(got.stats.transformed, got.stats.frames, "{:?}", got.stats);
    let raw = reference(&file, "");
    assert_eq!(raw.len(), got.bytes.len());
    // Comb: rows differ from both neighbours in the same direction, beyond what still detail does.
    let comb = |bytes: &[u8]| -> u64 {
        let luma = &bytes[..320 * 240];
        (1..239)
            .flat_map(|y| (0..320).map(move |x| (x, y)))
            .map(|(x, y)| {
                let at = |row: usize| i64::from(luma[row * 320 + x]);
                ((at(y - 1) - at(y)) * (at(y + 1) - at(y))).max(0) as u64
            })
            .sum()
    };
    let last = raw.len() - 320 * 240 * 3 / 2;
    assert!(comb(&got.bytes[last..]) * 4 < comb(&raw[last..]), "{} {}", comb(&got.bytes[last..]), comb(&raw[last..]));
}

#[test]
fn damaged_files_give_what_can_be_decoded_and_say_what_not() {
    let folder = Folder::new("damaged");
    let good =
        ffmpeg(&format!("{} -c:v libx264 -g 10 -pix_fmt yuv420p -movflags +faststart", source("320x180", 100)), &folder.file("good.mp4"));
    let bytes = std::fs::read(&good).unwrap();

    let truncated = folder.file("truncated.mp4");
    std::fs::write(&truncated, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let got = read(&truncated);
    assert!((40..100).contains(&got.stats.frames), "{:?}", got.stats);

    let corrupt = folder.file("corrupt.mp4");
    let mut broken = bytes.clone();
    let middle = bytes.len() / 2;
    for (i, byte) in broken[middle..middle + bytes.len() / 8].iter_mut().enumerate() {
        *byte = (i * 31 % 256) as u8;
    }
    std::fs::write(&corrupt, &broken).unwrap();
    let got = read(&corrupt);
    assert!((70..=100).contains(&got.stats.frames), "{:?}", got.stats);
    assert!(got.stats.errors + got.stats.corrupt + got.corrupt > 0, "{:?}", got.stats);

    let garbage = folder.file("garbage.mp4");
    std::fs::write(&garbage, (0..50_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>()).unwrap();
    let index_lost = folder.file("no_index.mp4");
    std::fs::write(&index_lost, &bytes[..200]).unwrap();
    for file in [garbage, index_lost] {
        let error = FrameReader::open(file.to_str().unwrap()).err();
        assert!(error.as_ref().is_some_and(|e| e.hint().is_some()), "{}: {error:?}", file.display());
    }
}

#[test]
fn missing_empty_and_silent_files_are_refused_with_a_hint() {
    let folder = Folder::new("refused");
    std::fs::write(folder.file("empty.mp4"), b"").unwrap();
    let sound = ffmpeg("-f lavfi -i sine=duration=1", &folder.file("sound.wav"));
    let open = |name: &Path| FrameReader::open(name.to_str().unwrap()).err().unwrap();
    let missing = open(&folder.file("missing.mp4"));
    assert!(missing.to_string().contains("no such file") && missing.hint().is_some(), "{missing}");
    let empty = open(&folder.file("empty.mp4"));
    assert!(empty.to_string().contains("empty"), "{empty}");
    assert!(matches!(open(&sound), MediaError::NoVideo { ref found, .. } if found == "audio"));
    let stream = FrameReader::open("rtsp://admin:hunter2@127.0.0.1:1/x").err().unwrap();
    assert!(!format!("{stream} {stream:?}").contains("hunter2"), "{stream}");
}

#[test]
fn a_variable_frame_rate_keeps_its_times() {
    let folder = Folder::new("vfr");
    let file = ffmpeg(
        "-f lavfi -i testsrc2=size=320x180:rate=30 -frames:v 20 -vf select='not(eq(mod(n\\,3)\\,1))' -vsync vfr -c:v libx264",
        &folder.file("vfr.mp4"),
    );
    let got = read(&file);
    let steps: Vec<i64> = got.times.windows(2).map(|t| (t[1] - t[0]) / 1_000_000).collect();
    assert!(steps.contains(&33) && steps.contains(&66), "{steps:?}");
}

#[test]
fn a_larger_picture_in_the_middle_of_a_stream_comes_out_whole() {
    let folder = Folder::new("size_change");
    let small = ffmpeg(&format!("{} -c:v libx264 -bf 0 -f h264", source("320x180", 10)), &folder.file("small.h264"));
    let large = ffmpeg(&format!("{} -c:v libx264 -bf 0 -f h264", source("640x360", 10)), &folder.file("large.h264"));
    let both = folder.file("both.h264");
    std::fs::write(&both, [std::fs::read(small).unwrap(), std::fs::read(large).unwrap()].concat()).unwrap();
    let got = read(&both);
    assert_eq!(got.sizes, [vec![(320, 180); 10], vec![(640, 360); 10]].concat());
}
