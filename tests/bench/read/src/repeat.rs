//! A clip several times in a row, as one file.

use gantry_node::Fault;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The clips, each `times` in a row under its own name, and the folder that they lie in until it is dropped. Packets are copied
/// by the `ffmpeg` command, not encoded again.
///
/// # Errors
/// `ffmpeg` is not there or does not take the file.
pub fn repeated(clips: &[PathBuf], times: usize) -> Result<(Vec<PathBuf>, TempDir), Fault> {
    let folder = tempfile::tempdir()?;
    let mut made = Vec::new();
    for clip in clips {
        let name = clip.file_name().ok_or_else(|| Fault::new(format!("{}: is no file", clip.display())))?;
        let to = folder.path().join(name);
        concatenate(&std::path::absolute(clip)?, times, &to, folder.path())?;
        made.push(to);
    }
    Ok((made, folder))
}

fn concatenate(clip: &Path, times: usize, to: &Path, folder: &Path) -> Result<(), Fault> {
    // FFmpeg's concat demuxer: a quote in a name is closed, escaped and opened again.
    let line = format!("file '{}'\n", clip.display().to_string().replace('\'', r"'\''"));
    let list = folder.join("list.txt");
    std::fs::write(&list, line.repeat(times))?;
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "concat", "-safe", "0", "-i"]).arg(&list).args(["-c", "copy"]).arg(to);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Fault::new(format!("ffmpeg: {e}")).hint("`cargo xtask setup` installs the `ffmpeg` command"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Fault::new(format!("{}: cannot be repeated: {said}", clip.display())))
}
