//! Files that are missing, damaged, or not what one expects.

use gantry_system_tests::{Finished, Sandbox, lines, odd_inputs};
use std::path::Path;
use std::process::Command;

fn read(sandbox: &Sandbox, file: &Path) -> Finished {
    let done = sandbox.run(sandbox.read([file]), 60);
    sandbox.assert_nothing_left();
    done
}

/// Frames that FFmpeg's own decoder finds.
fn frames_of(file: &Path) -> u64 {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "quiet", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]);
    let out = probe.arg(file).output().expect("ffprobe runs");
    let text = String::from_utf8_lossy(&out.stdout);
    text.trim().trim_end_matches(',').parse().unwrap_or_else(|_| panic!("ffprobe says `{text}` of {}", file.display()))
}

#[test]
fn a_file_without_pictures_is_refused_with_its_name_the_reason_and_a_hint() {
    let folder = odd_inputs();
    let cases = [
        ("no_such_file.mp4", "does not exist"),
        ("empty.mp4", "empty"),
        ("not_a_video.mp4", "video"),
        ("audio_only.mp4", "no video"),
        ("truncated_no_index.mp4", "index"),
    ];
    for (name, why) in cases {
        let sandbox = Sandbox::new();
        let done = read(&sandbox, &folder.join(name));
        assert!((1..=2).contains(&done.code()), "{name}: exit code {}\n{}", done.code(), done.stderr);
        done.assert_says(&["error: ", name, why, "hint: "]);
        assert!(done.seconds < 15.0, "{name}: took {:.1} s", done.seconds);
        assert!(!sandbox.out().exists() || lines(&sandbox.out()).is_empty());
        sandbox.assert_temporary_folder_is_empty();
    }
    let sandbox = Sandbox::new();
    let done = read(&sandbox, &folder);
    done.assert_code(2);
    done.assert_says(&["is a folder"]);
}

#[test]
fn one_bad_file_among_good_ones_is_named_before_anything_is_read() {
    let folder = odd_inputs();
    let sandbox = Sandbox::new();
    let done = sandbox.run(sandbox.read([folder.join("plain.mp4"), folder.join("empty.mp4")]), 30);
    done.assert_code(2);
    done.assert_says(&["empty.mp4", "hint: "]);
    sandbox.assert_nothing_left();
}

#[test]
fn of_a_damaged_file_is_read_what_can_be_decoded_and_the_rest_is_counted_and_said() {
    let folder = odd_inputs();
    let whole = frames_of(&folder.join("plain.mp4"));
    for name in ["truncated.mp4", "half_corrupt.mp4"] {
        let sandbox = Sandbox::new();
        let done = read(&sandbox, &folder.join(name));
        done.assert_code(0);
        let frames = done.frames();
        assert!(frames >= whole / 4 && frames <= whole, "{name}: {frames} of {whole} frames\n{}", done.stdout);
        let warning =
            done.stderr.lines().find(|l| l.starts_with("warning: ")).unwrap_or_else(|| panic!("{name}: no warning\n{}", done.stderr));
        assert!(warning.chars().any(|c| c.is_ascii_digit()), "{name}: no count in `{warning}`");
        let _ = lines(&sandbox.out());
    }
}

#[test]
fn odd_sizes_codecs_depths_and_frame_rates_are_read_frame_by_frame() {
    let folder = odd_inputs();
    let needed =
        ["plain.mp4", "odd_853x479.mp4", "odd_853x479_444.mp4", "rotated.mp4", "interlaced.mp4", "vfr.mp4", "raw.h264", "mpeg4.avi"];
    // The script leaves these out where the local ffmpeg lacks the encoder.
    let optional = ["hevc.mp4", "ten_bit.mp4", "vp9.webm", "av1.mp4"];
    let mut wrong = Vec::new();
    for name in needed.iter().chain(&optional) {
        let file = folder.join(name);
        if optional.contains(name) && !file.exists() {
            continue;
        }
        let sandbox = Sandbox::new();
        let done = read(&sandbox, &file);
        if done.code() != 0 {
            wrong.push(format!("{name}: exit code {}\n{}", done.code(), done.stderr));
            continue;
        }
        let (found, wanted) = (done.frames(), frames_of(&file));
        if found != wanted {
            wrong.push(format!("{name}: {found} frames, ffprobe counts {wanted}\n{}", done.stderr));
        }
        let _ = lines(&sandbox.out());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
