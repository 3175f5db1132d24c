//! Videos as cameras send them: H.264 without B-frames, with a key frame each second.

use crate::{Sandbox, clip};
use std::path::{Path, PathBuf};
use std::process::Command;

/// 25 frames a second of what `source` (an input of FFmpeg's lavfi) shows, as an mp4.
///
/// # Panics
/// If FFmpeg fails.
#[must_use]
pub fn video(sandbox: &Sandbox, name: &str, source: &str) -> PathBuf {
    let out = sandbox.path(name);
    ffmpeg(&["-f", "lavfi"], Path::new(source), "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -crf 20 -g 25 -bf 0", &out);
    out
}

/// Four minutes of vehicles that pass: a shipped clip (1080p30) over and over.
///
/// # Panics
/// If FFmpeg fails.
#[must_use]
pub fn traffic(sandbox: &Sandbox, name: &str) -> PathBuf {
    as_a_camera_sends(sandbox, &[clip("gate_day.mp4")], 240, 0.0, name)
}

/// At least `seconds` of clips one after the other and over and over, each with so much darkness behind it.
///
/// # Panics
/// If FFmpeg fails.
#[must_use]
pub fn as_a_camera_sends(sandbox: &Sandbox, clips: &[PathBuf], seconds: u64, dark_s: f64, name: &str) -> PathBuf {
    let (list, long) = (sandbox.path(format!("list-{name}.txt")), sandbox.path(name));
    let once: Vec<PathBuf> = (0..clips.len()).map(|number| sandbox.path(format!("once-{number}-{name}"))).collect();
    for (clip, once) in clips.iter().zip(&once) {
        let dark = format!("-vf tpad=stop_duration={dark_s}:color=black");
        ffmpeg(&[], clip, &format!("{dark} -c:v libx264 -preset ultrafast -crf 20 -g 30 -bf 0"), once);
    }
    let again = (seconds as f64 / once.iter().map(|file| duration_s(file)).sum::<f64>()).ceil() as usize + 1;
    let lines: String = once.iter().map(|file| format!("file '{}'\n", file.display())).collect();
    std::fs::write(&list, lines.repeat(again)).expect("the sandbox is writable");
    ffmpeg(&["-f", "concat", "-safe", "0"], &list, "-c copy", &long);
    for file in once.iter().chain([&list]) {
        std::fs::remove_file(file).expect("what was made above");
    }
    long
}

fn duration_s(file: &Path) -> f64 {
    let out = Command::new("ffprobe").args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]).arg(file).output();
    let text = String::from_utf8_lossy(&out.expect("ffprobe starts").stdout).trim().to_owned();
    text.parse().unwrap_or_else(|e| panic!("duration `{text}` of {}: {e}", file.display()))
}

fn ffmpeg(before: &[&str], input: &Path, then: &str, out: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(before).arg("-i").arg(input).args(then.split(' ')).arg(out);
    assert!(command.status().expect("the tests make their clips with the `ffmpeg` command").success(), "{command:?}");
}
