//! Finished runs on disk: a folder with readings, evidence, statistics and `run.json`, or readings alone.

use crate::failure::Failure;
use crate::read::{Reading, load};
use crate::score::Truth;
use gantry_node::{NodeStats, STATS_DIR};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the file that says what a run was.
pub const ABOUT: &str = "run.json";
/// Name of the readings in a folder of a run.
pub const READINGS: &str = "readings.jsonl";

/// What a run was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The graph, and what was changed in it.
    pub name: String,
    /// What was read, as it was named.
    pub sources: Vec<String>,
    /// The cameras and the part of each that was read.
    pub cameras: Vec<Part>,
    /// The readings, from the folder of the run.
    pub readings: PathBuf,
    /// Wall clock in s, with starting and ending.
    pub seconds: f64,
    /// Whether it came to its end.
    pub complete: bool,
}

/// The part of a camera's media time that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Camera.
    pub name: String,
    /// From and to in s of media time, where that is known.
    pub media_s: Option<(f64, f64)>,
}

/// A run as it lies on disk.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// The readings.
    pub readings: Vec<Reading>,
    /// Folder in which paths of evidence start.
    pub evidence_root: PathBuf,
    /// Statistics by node; empty where there are none.
    pub stats: BTreeMap<String, NodeStats>,
    /// What it was, where somebody wrote that down.
    pub about: Option<About>,
}

impl Run {
    /// Opens a folder of a run, or a file of readings.
    ///
    /// # Errors
    /// Neither is there; a file that cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let refused = |what: String| Failure::refused(format!("{}: {what}", path.display()));
        let (folder, file, about) = if path.is_dir() {
            let about = about_of(path)?;
            let named = about.as_ref().map(|a| path.join(&a.readings));
            (path.to_owned(), named.unwrap_or_else(|| path.join(READINGS)), about)
        } else {
            (parent(path), path.to_owned(), None)
        };
        if !file.is_file() {
            let what = if path.is_dir() {
                format!("has no `{}`", file.strip_prefix(path).unwrap_or(&file).display())
            } else {
                "does not exist".into()
            };
            return Err(refused(what)
                .hint("name a file of readings, the folder of a site or of a run (`gantry compare`, `gantry read --keep-run`)"));
        }
        Ok(Self { readings: load(&file)?, evidence_root: parent(&file), stats: NodeStats::read_all(&folder), about, folder })
    }

    /// What to call it: the graph with its changes, else the folder.
    pub fn name(&self) -> String {
        self.about.as_ref().map_or_else(|| self.folder.display().to_string(), |about| about.name.clone())
    }

    /// The picture of a reading (JPEG), if it is there.
    pub fn picture(&self, reading: &Reading) -> Option<Vec<u8>> {
        std::fs::read(self.evidence_root.join(reading.evidence.as_ref()?)).ok()
    }

    /// The part of `truth` that this run can have seen: its cameras, and of them the vehicles of the time that was read.
    pub fn seen_of(&self, truth: &[Truth]) -> Vec<Truth> {
        let Some(about) = &self.about else { return truth.to_vec() };
        let seen = |clip: &Truth| {
            let part = about.cameras.iter().find(|c| c.name == clip.camera)?;
            let mut clip = clip.clone();
            if let Some((from, to)) = part.media_s {
                clip.vehicles.retain(|v| v.last_frame as f64 / clip.fps >= from && v.first_frame as f64 / clip.fps <= to);
            }
            Some(clip)
        };
        truth.iter().filter_map(seen).collect()
    }
}

/// Writes `run.json` into `folder`.
pub fn write_about(folder: &Path, about: &About) -> Result<(), Failure> {
    let path = folder.join(ABOUT);
    let text = serde_json::to_string_pretty(about).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
    std::fs::write(&path, text + "\n").map_err(|e| Failure::failed(format!("{}: {e}", path.display())))
}

/// Copies graph, statistics and dora's log of a run into `to`, where they stay.
pub fn keep(run_dir: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, e: std::io::Error| Failure::failed(format!("{}: {e}", path.display()));
    let stats = to.join(STATS_DIR);
    // Those of an earlier run may name other nodes.
    let _ = std::fs::remove_dir_all(&stats);
    std::fs::create_dir_all(&stats).map_err(|e| failed(&stats, e))?;
    let in_stats = std::fs::read_dir(run_dir.join(STATS_DIR)).into_iter().flatten().flatten();
    for file in in_stats.filter(|f| f.path().extension().is_some_and(|x| x == "json")) {
        std::fs::copy(file.path(), stats.join(file.file_name())).map_err(|e| failed(&file.path(), e))?;
    }
    for name in ["graph.yml", "dora.log"] {
        std::fs::copy(run_dir.join(name), to.join(name)).map_err(|e| failed(&run_dir.join(name), e))?;
    }
    Ok(())
}

fn about_of(folder: &Path) -> Result<Option<About>, Failure> {
    let path = folder.join(ABOUT);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| Failure::refused(format!("{}: {e}", path.display()))),
        Err(_) => Ok(None),
    }
}

fn parent(file: &Path) -> PathBuf {
    file.parent().filter(|p| *p != Path::new("")).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Vehicle;

    #[test]
    fn a_run_is_a_folder_or_a_file_and_sees_the_truth_of_its_part() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Run::open(dir.path()).unwrap_err();
        assert!(format!("{missing:?}").contains("has no `readings.jsonl`"), "{missing:?}");
        std::fs::write(dir.path().join(READINGS), "").unwrap();
        let run = Run::open(&dir.path().join(READINGS)).unwrap();
        assert_eq!((run.readings.len(), run.about.is_none()), (0, true));
        let part = Part { name: "gate".into(), media_s: Some((2.0, 4.0)) };
        let about = About { cameras: vec![part], readings: READINGS.into(), ..About::default() };
        write_about(dir.path(), &about).unwrap();
        let run = Run::open(dir.path()).unwrap();
        assert_eq!(run.about.as_ref(), Some(&about));
        let vehicle = |first_frame, last_frame| Vehicle { plate: "AB12".into(), first_frame, last_frame, best_plate_width_px: 0.0 };
        let clip = |camera: &str| Truth {
            camera: camera.into(),
            fps: 10.0,
            condition: String::new(),
            vehicles: vec![vehicle(0, 19), vehicle(0, 20), vehicle(40, 90), vehicle(41, 90)],
        };
        let seen = run.seen_of(&[clip("gate"), clip("road")]);
        assert_eq!(seen.iter().map(|t| t.vehicles.len()).collect::<Vec<_>>(), [2]);
    }
}
