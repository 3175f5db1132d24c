//! Allow and deny lists: files that people edit while the site runs.

use crate::rules::ListFiles;
use crate::similarity::{distance, plain};
use gantry_node::Fault;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tracing::{info, warn};

/// Both lists.
#[derive(Debug, Default)]
pub struct Lists {
    /// In the order in which they win when a plate is as near to one as to the other.
    lists: Vec<List>,
}

/// Where a plate stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// `allow` or `deny`.
    pub list: &'static str,
    /// The plate on it.
    pub plate: String,
    /// How much they differ.
    pub distance: f32,
}

#[derive(Debug)]
struct List {
    name: &'static str,
    path: PathBuf,
    plates: HashSet<String>,
    /// Size and time of what was read.
    version: Option<(u64, SystemTime)>,
}

impl Lists {
    /// Reads both files.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn open(files: &ListFiles) -> Result<Self, Fault> {
        let named = [("deny", &files.deny), ("allow", &files.allow)];
        let mut lists = Vec::new();
        for (name, path) in named.into_iter().filter_map(|(name, path)| Some((name, path.clone()?))) {
            let plates = read(&path).map_err(|e| {
                Fault::new(format!("{name} list `{}`: {}", path.display(), e.to_string().to_lowercase()))
                    .hint("write a file with one plate on each line; it may be empty")
            })?;
            info!(list = name, plates = plates.len(), "list read");
            lists.push(List { name, version: version(&path), path, plates });
        }
        Ok(Self { lists })
    }

    /// Reads files again that have changed. One that is gone or half written leaves the list as it is.
    pub fn refresh(&mut self) {
        for list in &mut self.lists {
            let found = version(&list.path);
            if found == list.version {
                continue;
            }
            list.version = found;
            match read(&list.path) {
                Ok(plates) => {
                    info!(list = list.name, plates = plates.len(), "list read again");
                    list.plates = plates;
                }
                Err(error) => warn!(list = list.name, %error, "list cannot be read; the one of before counts on"),
            }
        }
    }

    /// Where `plate` stands, if it differs by `most` at most: the nearest plate, on the deny list if both are as near.
    #[must_use]
    pub fn find(&self, plate: &str, most: f32) -> Option<Listed> {
        let exact = self.lists.iter().find(|list| list.plates.contains(plate));
        if let Some(list) = exact {
            return Some(Listed { list: list.name, plate: plate.to_owned(), distance: 0.0 });
        }
        let mut best: Option<Listed> = None;
        for list in &self.lists {
            // A plate differs in length by what the distance allows; the rest need not be compared.
            for other in list.plates.iter().filter(|other| other.len().abs_diff(plate.len()) as f32 <= most) {
                let distance = distance(plate, other);
                let is_better = |b: &Listed| distance < b.distance || (distance == b.distance && list.name == b.list && *other < b.plate);
                if distance <= most && best.as_ref().is_none_or(is_better) {
                    best = Some(Listed { list: list.name, plate: other.clone(), distance });
                }
            }
        }
        best
    }
}

fn version(path: &Path) -> Option<(u64, SystemTime)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

/// One plate on a line, spaces and dashes as one likes; what follows `#` or `,` is a remark.
fn read(path: &Path) -> std::io::Result<HashSet<String>> {
    let text = std::fs::read_to_string(path)?;
    let plates = text.lines().filter_map(|line| line.split(['#', ',', ';']).next()).map(plain);
    Ok(plates.filter(|plate| !plate.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_plate_counts_and_deny_wins_a_tie() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("allow"), "# residents\nAB 123-CD, Miller\nOO11AA\n\nKXW5\n").unwrap();
        std::fs::write(path("deny"), "AB129CD\nKXW5\nO011AA # stolen\n").unwrap();
        let files = ListFiles { allow: Some(path("allow")), deny: Some(path("deny")) };
        let lists = Lists::open(&files).unwrap();
        let found = |plate: &str, most| lists.find(plate, most).map(|l| (l.list, l.plate, l.distance));
        assert_eq!(found("AB123CD", 0.5), Some(("allow", "AB123CD".into(), 0.0)));
        assert_eq!(found("A8I23CD", 0.5), Some(("allow", "AB123CD".into(), 0.5)));
        assert_eq!(found("A8I23CD", 0.25), None);
        assert_eq!(found("KXW5", 0.5), Some(("deny", "KXW5".into(), 0.0)));
        // A quarter from each of OO11AA (allow) and O011AA (deny).
        assert_eq!(found("0O11AA", 0.25), Some(("allow", "OO11AA".into(), 0.25)));
        assert_eq!(found("0011AA", 0.5), Some(("deny", "O011AA".into(), 0.25)));
        assert_eq!(found("OOI1AA", 0.5), Some(("allow", "OO11AA".into(), 0.25)));
        assert_eq!(found("XX99XX", 3.0), None);
    }

    #[test]
    fn a_list_follows_its_file_and_survives_its_absence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allow");
        let files = ListFiles { allow: Some(path.clone()), deny: None };
        let fault = Lists::open(&files).unwrap_err();
        assert!(fault.message().contains("allow list") && fault.hint_text().is_some(), "{fault}");
        std::fs::write(&path, "AAA1\n").unwrap();
        let mut lists = Lists::open(&files).unwrap();
        std::fs::remove_file(&path).unwrap();
        lists.refresh();
        assert!(lists.find("AAA1", 0.0).is_some());
        std::fs::write(&path, "BBB22\n").unwrap();
        lists.refresh();
        assert!(lists.find("AAA1", 0.0).is_none() && lists.find("BBB22", 0.0).is_some());
    }
}
