//! Minutes of two cameras, every packet and frame counted.

use gantry_recording::Recording;
use gantry_system_tests::{Sandbox, clip};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Records, counts, replays, counts.
pub fn long(minutes: u64) -> Result<(), String> {
    let sandbox = Sandbox::new();
    let sources = [looped(&sandbox, "gate_day", minutes)?, looped(&sandbox, "road_day", minutes)?];
    let wanted = sources.iter().map(|s| packets(s)).collect::<Result<Vec<u64>, _>>()?;
    println!("{minutes} minutes of two 1920x1080 cameras: {wanted:?} packets");
    let recording = sandbox.path("long.mcap");
    let mut record = sandbox.gantry(["record"]);
    record.args(&sources).arg("--out").arg(&recording).arg("--keep-run");
    let done = sandbox.run(record, 7200);
    done.assert_code(0);
    let survey = Recording::open(&recording).and_then(|r| r.survey()).map_err(|e| e.to_string())?;
    let found: Vec<u64> = survey.cameras.iter().map(|c| c.packets.delivered()).collect();
    let stats = sandbox.stats();
    let cpu = stats["record"]["cpu_s"].as_f64().unwrap_or_default();
    let bytes = std::fs::metadata(&recording).map(|m| m.len()).unwrap_or_default() as f64 / 1e6;
    let seconds = 60.0 * minutes as f64;
    println!(
        "recorded in {:.0} s: {found:?} packets, {bytes:.0} MB; recorder {cpu:.1} s of CPU = {:.2} % of a core per camera at camera speed",
        done.seconds,
        100.0 * cpu / seconds / 2.0
    );
    if found != wanted || !survey.is_complete() {
        return Err(format!("recorded {found:?} packets of {wanted:?}: {:?}", survey.faults()));
    }
    let recorded = std::fs::read(sandbox.path("long.jsonl")).map_err(|e| e.to_string())?;
    for run in std::fs::read_dir(sandbox.path("tmp")).into_iter().flatten().flatten() {
        let _ = std::fs::remove_dir_all(run.path());
    }
    let mut replay = sandbox.gantry(["replay"]);
    replay.arg(&recording).arg("--keep-run").arg("--out").arg(sandbox.path("long.jsonl"));
    let done = sandbox.run(replay, 7200);
    done.assert_code(0);
    let stats = sandbox.stats();
    let decoded = |node: &str| stats[node]["rows_out"]["frames"].as_u64().unwrap_or(0).saturating_sub(1);
    let frames = [decoded("decode_cam0"), decoded("decode_cam1")];
    let same = std::fs::read(sandbox.path("long.jsonl")).map_err(|e| e.to_string())? == recorded;
    println!(
        "replayed in {:.0} s, {:.0} frames/s: {frames:?} frames, {} readings, {}",
        done.seconds,
        frames.iter().sum::<u64>() as f64 / done.seconds,
        recorded.split(|b| *b == b'\n').count() - 1,
        if same { "the same bytes" } else { "OTHER BYTES" }
    );
    if frames.as_slice() == wanted.as_slice() && same {
        Ok(())
    } else {
        Err(format!("{frames:?} frames of {wanted:?} packets, same: {same}"))
    }
}

/// A shipped clip again and again.
fn looped(sandbox: &Sandbox, name: &str, minutes: u64) -> Result<PathBuf, String> {
    let path = sandbox.path(format!("{name}.mp4"));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-stream_loop", "-1", "-i"]).arg(clip(&format!("{name}.mp4")));
    ffmpeg.args(["-t", &(60 * minutes).to_string(), "-c", "copy"]).arg(&path);
    let status = ffmpeg.status().map_err(|e| format!("ffmpeg: {e}"))?;
    if status.success() { Ok(path) } else { Err(format!("ffmpeg ended with {status}")) }
}

fn packets(path: &Path) -> Result<u64, String> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe
        .args(["-v", "error", "-count_packets", "-select_streams", "v", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(path);
    let output = ffprobe.output().map_err(|e| format!("ffprobe: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("ffprobe says `{}`", text.trim()))
}
