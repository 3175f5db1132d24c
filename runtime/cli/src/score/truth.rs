//! Truth files, as tests/render writes them beside each clip.

use crate::failure::Failure;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What a clip shows.
#[derive(Clone, Debug, Deserialize)]
pub struct Truth {
    /// Name of the camera: the file name without `.truth.json`.
    #[serde(skip)]
    pub camera: String,
    /// Frames per second.
    pub fps: f64,
    /// `day`, `dusk`, `night`, or empty.
    #[serde(default)]
    pub condition: String,
    /// The vehicles.
    pub vehicles: Vec<Vehicle>,
}

/// One pass of one vehicle.
#[derive(Clone, Debug, Deserialize)]
pub struct Vehicle {
    /// Its plate, `A-Z0-9`.
    pub plate: String,
    /// First frame that shows the plate.
    pub first_frame: u64,
    /// Last frame that shows it.
    pub last_frame: u64,
    /// Width of the plate in px where it is largest.
    #[serde(default)]
    pub best_plate_width_px: f64,
}

/// Reads files and folders; sorted by camera.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Truth>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|e| Failure::refused(format!("{}: {e}", path.display())))?;
            files.extend(entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.to_string_lossy().ends_with(SUFFIX)));
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::refused("no truth files were found").hint("truth files are named NAME.truth.json"));
    }
    files.iter().map(|f| read(f)).collect()
}

const SUFFIX: &str = ".truth.json";

fn read(path: &Path) -> Result<Truth, Failure> {
    let refuse = |e: &dyn std::fmt::Display| {
        Failure::refused(format!("{}: {e}", path.display())).hint("truth files are described in tests/render/README.md")
    };
    let text = std::fs::read_to_string(path).map_err(|e| refuse(&e))?;
    let mut truth: Truth = serde_json::from_str(&text).map_err(|e| refuse(&e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    truth.camera = name.strip_suffix(SUFFIX).unwrap_or(&name).to_owned();
    if truth.fps.is_nan() || truth.fps <= 0.0 {
        return Err(refuse(&"`fps` is not above 0"));
    }
    Ok(truth)
}
