//! Pictures of a reading: the plate, and the whole frame where there is one.

use gantry_messages::ReadingRow;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a picture could not be written.
#[derive(Debug, Error)]
#[error("`{}`: picture cannot be written: {source}", path.display())]
pub struct EvidenceError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// The folder of pictures.
#[derive(Debug)]
pub struct Evidence {
    folder: PathBuf,
    /// How lines of the JSON Lines file name the folder.
    named: PathBuf,
}

impl Evidence {
    /// Makes the folder. `beside`: folder of the file that will name the pictures; they are named relative to it where they
    /// lie below it.
    ///
    /// # Errors
    /// [`EvidenceError`] if the folder cannot be made.
    pub fn open(folder: &Path, beside: Option<&Path>) -> Result<Self, EvidenceError> {
        std::fs::create_dir_all(folder).map_err(|source| EvidenceError { path: folder.to_owned(), source })?;
        let named = beside.and_then(|b| folder.strip_prefix(b).ok()).unwrap_or(folder).to_owned();
        Ok(Self { folder: folder.to_owned(), named })
    }

    /// Writes the pictures of a reading, each whole or not at all, and returns the names of plate and whole frame; `None` for one that it has not.
    ///
    /// # Errors
    /// [`EvidenceError`], for example on a full disk.
    pub fn write(&self, row: &ReadingRow) -> Result<(Option<String>, Option<String>), EvidenceError> {
        let stem = file_stem(row);
        Ok((self.put(&format!("{stem}.jpg"), &row.evidence)?, self.put(&format!("{stem}.overview.jpg"), &row.overview)?))
    }

    fn put(&self, name: &str, picture: &[u8]) -> Result<Option<String>, EvidenceError> {
        if picture.is_empty() {
            return Ok(None);
        }
        let path = self.folder.join(name);
        let beside = self.folder.join(format!("{name}.part"));
        let written = std::fs::write(&beside, picture).and_then(|()| std::fs::rename(&beside, &path));
        if let Err(source) = written {
            let _ = std::fs::remove_file(&beside);
            return Err(EvidenceError { path, source });
        }
        Ok(Some(self.named.join(name).to_string_lossy().into_owned()))
    }
}

/// `<camera>_<track>_<first frame>`; characters of the camera's name that a file name should not have become `-`.
fn file_stem(row: &ReadingRow) -> String {
    let camera: String = row.source.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    // A name that starts with a dot would be hidden, and `..` would be another folder.
    format!("{}_{}_{}", camera.trim_start_matches('.'), row.track_id, row.first_frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(source: &str) -> ReadingRow {
        ReadingRow { source: source.into(), track_id: 7, first_frame: 120, evidence: vec![0xff, 0xd8, 0xff], ..ReadingRow::default() }
    }

    #[test]
    fn pictures_are_named_relative_to_the_lines_that_name_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out/evidence");
        let evidence = Evidence::open(&folder, Some(&dir.path().join("out"))).unwrap();
        assert_eq!(evidence.write(&row("gate")).unwrap(), (Some("evidence/gate_7_120.jpg".into()), None));
        assert_eq!(std::fs::read(folder.join("gate_7_120.jpg")).unwrap(), [0xff, 0xd8, 0xff]);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(evidence.write(&ReadingRow::default()).unwrap(), (None, None));
        let both = ReadingRow { overview: vec![0xff, 0xd8, 0xfe], ..row("road") };
        let names = (Some("evidence/road_7_120.jpg".into()), Some("evidence/road_7_120.overview.jpg".into()));
        assert_eq!(evidence.write(&both).unwrap(), names);
        assert_eq!(std::fs::read(folder.join("road_7_120.overview.jpg")).unwrap(), both.overview);
    }

    #[test]
    fn a_cameras_name_cannot_lead_out_of_the_folder() {
        assert_eq!(file_stem(&row("../../etc/x y")), "-..-etc-x-y_7_120");
    }
}
