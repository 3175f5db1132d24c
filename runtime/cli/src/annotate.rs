//! The annotated video of `gantry read`: each source once more, with the boxes of its tracks and the plates that were read.

use crate::draw::Canvas;
use crate::failure::Failure;
use crate::read::{Plan, Reading};
use gantry_media::{Encoder, FrameReader};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const VEHICLE: [u8; 3] = [80, 160, 255];
const PLATE: [u8; 3] = [255, 190, 0];
const READ: [u8; 3] = [40, 200, 90];

/// One line of `tracks.jsonl`, as `store` writes it.
#[derive(Deserialize)]
struct FrameTracks {
    camera: String,
    pts_ns: i64,
    tracks: Vec<TrackBoxes>,
}

#[derive(Clone, Deserialize)]
struct TrackBoxes {
    track_id: u64,
    vehicle_xyxy: Option<[f64; 4]>,
    plate_xyxy: Option<[f64; 4]>,
}

/// Writes one video per source; says where.
pub fn write(plan: &Plan, readings: &[Reading], path: &Path, quiet: bool) -> Result<(), Failure> {
    let tracks = load_tracks(plan)?;
    for source in &plan.sources {
        let name = &source.camera.name;
        let out = if plan.sources.len() == 1 { path.to_owned() } else { beside(path, name) };
        let frames = tracks.get(name).cloned().unwrap_or_default();
        let plates: BTreeMap<u64, &Reading> = readings.iter().filter(|r| r.camera == *name).map(|r| (r.track_id, r)).collect();
        one(&source.camera.source, &out, &frames, &plates, plan, quiet)
            .map_err(|e| Failure::failed(format!("annotated video {}: {e}", out.display())).hint("the readings themselves are complete"))?;
        if !quiet {
            outln!("annotated video: {}", out.display());
        }
    }
    Ok(())
}

fn beside(path: &Path, name: &str) -> PathBuf {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("annotated");
    let extension = path.extension().and_then(|s| s.to_str()).unwrap_or("mp4");
    path.with_file_name(format!("{stem}-{name}.{extension}"))
}

type ByTime = BTreeMap<i64, Vec<TrackBoxes>>;

fn load_tracks(plan: &Plan) -> Result<BTreeMap<String, ByTime>, Failure> {
    let Some(path) = &plan.tracks else { return Ok(BTreeMap::new()) };
    let text = std::fs::read_to_string(path).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
    let mut all: BTreeMap<String, ByTime> = BTreeMap::new();
    for line in text.lines() {
        let frame: FrameTracks = serde_json::from_str(line).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
        all.entry(frame.camera).or_default().insert(frame.pts_ns, frame.tracks);
    }
    Ok(all)
}

fn one(
    source: &str,
    out: &Path,
    tracks: &ByTime,
    plates: &BTreeMap<u64, &Reading>,
    plan: &Plan,
    quiet: bool,
) -> Result<(), gantry_media::MediaError> {
    let mut reader = FrameReader::open(source)?;
    let fps = if reader.info().fps > 0.0 { reader.info().fps } else { 25.0 };
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(tracks.len() as u64) };
    bar.set_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} frames drawn  {per_sec}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let first_ns = (plan.start_s * 1e9) as i64;
    let last_ns = plan.seconds.map_or(i64::MAX, |s| first_ns + (s * 1e9) as i64);
    let mut encoder = None;
    let mut rgb = Vec::new();
    while let Some(frame) = reader.next_frame()? {
        if frame.pts_ns < first_ns {
            continue;
        }
        if frame.pts_ns >= last_ns {
            break;
        }
        let (width, height) = frame.size();
        frame.to_rgb(&mut rgb)?;
        let mut canvas = Canvas::new(&mut rgb, width, height);
        // Text of 1/45 of the height: 24 px in 1080p.
        let scale = (i64::from(height) / 360).max(1);
        for track in tracks.get(&frame.pts_ns).into_iter().flatten() {
            let reading = plates.get(&track.track_id);
            if let Some(vehicle) = track.vehicle_xyxy {
                canvas.outline(vehicle, scale, VEHICLE);
            }
            if let Some(plate) = track.plate_xyxy {
                canvas.outline(plate, scale, if reading.is_some() { READ } else { PLATE });
            }
            if let (Some(reading), Some(place)) = (reading, track.plate_xyxy.or(track.vehicle_xyxy)) {
                let text = format!("{} {:.0}%", reading.plate, reading.confidence * 100.0);
                canvas.label(place[0], place[1] - scale as f64, &text, scale, [0, 0, 0], READ);
            }
        }
        if encoder.is_none() {
            encoder = Some(Encoder::create(out, width, height, fps)?);
        }
        if let Some(encoder) = &mut encoder {
            encoder.add_rgb(&rgb, width as usize * 3, frame.pts_ns - first_ns)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    encoder.map_or(Ok(()), Encoder::finish)
}
