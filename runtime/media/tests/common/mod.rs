//! Clips made by the `ffmpeg` command, and its own decoding of them to compare with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder that goes away with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("gantry-media-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[allow(dead_code)]
/// Runs `ffmpeg` with words of `arguments`, then `out`.
pub fn ffmpeg(arguments: &str, out: &Path) -> PathBuf {
    let done = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(out).output();
    let done = done.expect("the tests make their clips with the `ffmpeg` command: apt-get install ffmpeg");
    assert!(done.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    out.to_owned()
}

/// `frames` of a moving test picture, odd sizes included, which `testsrc2` alone would round down.
#[allow(dead_code)]
pub fn source(size: &str, frames: u32) -> String {
    let (w, h): (u32, u32) = size.split_once('x').map(|(w, h)| (w.parse().unwrap(), h.parse().unwrap())).unwrap();
    let (even_w, even_h) = (w.next_multiple_of(2), h.next_multiple_of(2));
    let filter = format!("testsrc2=size={even_w}x{even_h}:rate=25,format=yuv444p,crop={w}:{h}:0:0:exact=1");
    format!("-f lavfi -i {filter} -frames:v {frames}")
}

/// All frames of `file` as FFmpeg's own command decodes them: I420 without gaps, one after the other.
#[allow(dead_code)]
pub fn reference(file: &Path, filter: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "quiet", "-nostdin", "-threads", "1", "-i"]).arg(file);
    if !filter.is_empty() {
        command.args(["-vf", filter]);
    }
    command.args(["-vsync", "passthrough", "-pix_fmt", "yuv420p", "-sws_flags", "bilinear+accurate_rnd+bitexact", "-f", "rawvideo", "-"]);
    command.output().unwrap().stdout
}
