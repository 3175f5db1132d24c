//! The file of rules: what each camera is for, and which lists there are.

use crate::geometry::Point;
use gantry_node::Fault;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file as it stands. Everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Files of plates.
    pub lists: ListFiles,
    /// By name of the camera.
    pub cameras: BTreeMap<String, CameraRules>,
}

/// Files of plates, one on a line; relative ones start at the folder of the rules.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListFiles {
    /// Who may come in.
    pub allow: Option<PathBuf>,
    /// Who may not.
    pub deny: Option<PathBuf>,
}

/// What a camera is for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraRules {
    /// What a reading of it means.
    pub role: Role,
    /// Parts of its picture.
    pub zones: Vec<Zone>,
    /// Lines that decide what a reading means, instead of the role.
    pub lines: Vec<Line>,
}

/// What a reading means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The vehicle comes in.
    Entry,
    /// It goes out.
    Exit,
    /// It is there.
    #[default]
    Seen,
}

/// A part of a picture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Name in events.
    pub name: String,
    /// Corners in px of the camera's picture.
    pub polygon: Vec<Point>,
    /// Readings in it are left out: a public street behind the gate.
    #[serde(default)]
    pub ignore: bool,
}

/// A line from one point to another; `in` is from its left to its right.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Name in events.
    pub name: String,
    /// First point in px of the camera's picture.
    pub from: Point,
    /// Second point.
    pub to: Point,
}

impl Rules {
    /// Reads the file; paths of lists are made relative to where the node runs.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let fault = |what: String| Fault::new(format!("rules `{}`: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| fault(e.to_string().to_lowercase()))?;
        let mut rules: Self = match serde_yaml::from_str::<Option<Self>>(&text) {
            Ok(rules) => rules.unwrap_or_default(),
            Err(e) => return Err(fault(e.to_string()).hint("docs/nodes/visits.md shows a whole file")),
        };
        for list in [&mut rules.lists.allow, &mut rules.lists.deny].into_iter().flatten() {
            if let Some(folder) = path.parent().filter(|_| list.is_relative()) {
                *list = folder.join(&list);
            }
        }
        for (camera, of) in &rules.cameras {
            let place = |what: &str| fault(format!("camera `{camera}`: {what}"));
            if let Some(zone) = of.zones.iter().find(|zone| zone.polygon.len() < 3) {
                return Err(place(&format!("zone `{}` has {} corners", zone.name, zone.polygon.len())).hint("a zone has three or more"));
            }
            if let Some(line) = of.lines.iter().find(|line| line.from == line.to) {
                return Err(place(&format!("line `{}` begins where it ends", line.name)).hint("`from` and `to` are two points"));
            }
        }
        Ok(rules)
    }

    /// Whether some camera has a line.
    #[must_use]
    pub fn have_lines(&self) -> bool {
        self.cameras.values().any(|camera| !camera.lines.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_file_are_told_with_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rules.yml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Rules::read(&path)
        };
        let rules = read("lists: { allow: a.txt }\ncameras: { gate: { role: entry } }\n").unwrap();
        assert_eq!((rules.lists.allow, rules.cameras["gate"].role), (Some(dir.path().join("a.txt")), Role::Entry));
        assert_eq!(read("# nothing yet\n").unwrap(), Rules::default());
        for (text, wanted) in [
            ("cameras: { gate: { rolle: entry } }", "unknown field `rolle`"),
            ("cameras: { gate: { role: door } }", "unknown variant `door`"),
            ("cameras: { gate: { zones: [{ name: z, polygon: [[1, 2]] }] } }", "camera `gate`: zone `z` has 1 corners"),
            ("cameras: { gate: { lines: [{ name: l, from: [1, 2], to: [1, 2] }] } }", "line `l` begins where it ends"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.message().contains(wanted) && fault.message().contains("rules.yml`") && fault.hint_text().is_some(), "{fault}");
        }
    }
}
