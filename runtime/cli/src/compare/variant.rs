//! One of the two things that are compared: a graph with its changes, or a run that is there already.

use crate::failure::Failure;
use crate::runs::ABOUT;
use std::path::{Path, PathBuf};

/// A or B.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// `A` or `B`.
    pub label: &'static str,
    /// What it starts from.
    pub base: Base,
    /// `NODE.NAME=VALUE`.
    pub set: Vec<String>,
    /// `NODE=NEW`.
    pub replace: Vec<String>,
}

/// What a variant starts from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// A graph that is to run.
    Graph(PathBuf),
    /// The folder of a run that is over.
    Finished(PathBuf),
}

impl Variant {
    /// A graph file, or the folder of a finished run, which cannot be changed any more.
    ///
    /// # Errors
    /// It is neither; changes are asked of a finished run.
    pub fn of(label: &'static str, path: &Path, set: Vec<String>, replace: Vec<String>) -> Result<Self, Failure> {
        let base = if path.is_dir() {
            if !path.join(ABOUT).is_file() {
                return Err(Failure::refused(format!("{label}, {}: is a folder without `{ABOUT}`", path.display()))
                    .hint("name a graph file, or the folder of a run that `gantry compare` or `gantry read --keep-run` has left"));
            }
            if let Some(change) = set.first().or(replace.first()) {
                return Err(Failure::refused(format!(
                    "{label}, {}: is a run that is over; `{change}` cannot be applied to it",
                    path.display()
                ))
                .hint("name its graph instead"));
            }
            Base::Finished(path.to_owned())
        } else {
            Base::Graph(path.to_owned())
        };
        Ok(Self { label, base, set, replace })
    }

    /// The graph with what is changed in it, in the words of the command line.
    pub fn name(&self) -> String {
        let (Base::Graph(path) | Base::Finished(path)) = &self.base;
        let changes: Vec<&str> = self.set.iter().chain(&self.replace).map(String::as_str).collect();
        if changes.is_empty() { path.display().to_string() } else { format!("{} with {}", path.display(), changes.join(", ")) }
    }
}

/// Refuses two variants that cannot differ, unless the user named both.
pub fn differ(a: &Variant, b: &Variant, both_named: bool) -> Result<(), Failure> {
    let same = a.base == b.base && a.set == b.set && a.replace == b.replace;
    if !same || both_named {
        return Ok(());
    }
    Err(Failure::refused(format!("A and B are both {}: nothing differs", a.name()))
        .hint("name a second graph, or what B changes: `--set recognize.MODEL=new.onnx`, `--replace vote=path/to/program`; name the graph twice to compare it with itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_called_by_what_is_changed_in_it() {
        let set = vec!["vote.RULE=best_frame".to_owned()];
        let b = Variant::of("B", Path::new("graphs/read.yml"), set, vec!["track=mine".to_owned()]).unwrap();
        assert_eq!(b.name(), "graphs/read.yml with vote.RULE=best_frame, track=mine");
        let a = Variant::of("A", Path::new("graphs/read.yml"), vec![], vec![]).unwrap();
        assert!(differ(&a, &b, false).is_ok());
        assert!(differ(&a, &Variant { label: "B", ..a.clone() }, true).is_ok());
        assert!(format!("{:?}", differ(&a, &Variant { label: "B", ..a.clone() }, false)).contains("nothing differs"));
    }

    #[test]
    fn a_finished_run_takes_no_changes() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Variant::of("A", dir.path(), vec![], vec![]).is_err());
        std::fs::write(dir.path().join(ABOUT), "{}").unwrap();
        assert!(matches!(Variant::of("A", dir.path(), vec![], vec![]).unwrap().base, Base::Finished(_)));
        assert!(format!("{:?}", Variant::of("A", dir.path(), vec!["a.B=1".into()], vec![])).contains("cannot be applied"));
    }
}
