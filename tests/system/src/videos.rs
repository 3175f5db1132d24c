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
    as_a_camera_sends(sandbox, &clip("gate_day.mp4"), 240, 0.0, name)
}

/// At least `seconds` of a clip over and over, each time with so much darkness behind it.
///
/// # Panics
/// If FFmpeg fails.
#[must_use]
pub fn as_a_camera_sends(sandbox: &Sandbox, clip: &Path, seconds: u64, dark_s: f64, name: &str) -> PathBuf {
    let (once, long) = (sandbox.path(format!("once-{name}")), sandbox.path(name));
    let dark = format!("-vf tpad=stop_duration={dark_s}:color=black");
    ffmpeg(&[], clip, &format!("{dark} -c:v libx264 -preset ultrafast -crf 20 -g 30 -bf 0"), &once);
    let out = Command::new("ffprobe").args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]).arg(&once).output();
    let text = String::from_utf8_lossy(&out.expect("ffprobe starts").stdout).trim().to_owned();
    let once_s: f64 = text.parse().unwrap_or_else(|e| panic!("duration `{text}` of {}: {e}", once.display()));
    let again = (seconds as f64 / once_s).ceil() as u64;
    ffmpeg(&["-stream_loop", &again.to_string()], &once, "-c copy", &long);
    std::fs::remove_file(once).expect("what ffmpeg made");
    long
}

fn ffmpeg(before: &[&str], input: &Path, then: &str, out: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]).args(before).arg("-i").arg(input).args(then.split(' ')).arg(out);
    assert!(command.status().expect("the tests make their clips with the `ffmpeg` command").success(), "{command:?}");
}
