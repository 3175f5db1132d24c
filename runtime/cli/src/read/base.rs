//! The graph that a run starts from: one that is repeated per source, one that runs as it is, or that of a recording.

use super::plan::{Source, faulty};
use super::{ReadArgs, provenance};
use crate::failure::Failure;
use crate::paths;
use gantry_graph::{Camera, Graph, Here, for_replay};
use gantry_recording::About;
use serde_yaml::Mapping;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A graph before the changes that a run makes to it; all its paths are absolute.
pub struct Base {
    /// The graph.
    pub yaml: Mapping,
    /// What it is called in messages.
    pub file: PathBuf,
}

/// Chooses the graph for `sources`.
pub fn base(args: &ReadArgs, sources: &[Source], dora: &Path) -> Result<Base, Failure> {
    if let Some(file) = &args.whole {
        let graph = expanded(file, dora)?;
        return Ok(Base { yaml: graph.standalone(), file: file.clone() });
    }
    if args.recorded_graph && args.graph.is_none() {
        match recorded(args, sources) {
            Ok(base) => return Ok(base),
            Err(why) if !args.quiet => eprintln!("note: the recorded graph does not run here: {why}; graphs/read.yml runs in its place"),
            Err(_) => {}
        }
    }
    let file = match &args.graph {
        Some(path) => path.clone(),
        None => paths::project().map(|p| p.join("graphs/read.yml")).ok_or_else(|| {
            Failure::refused("graphs/read.yml was not found").hint("run this inside the project, or name a graph with `--graph`")
        })?,
    };
    let graph = Graph::read(&file).map_err(|f| faulty(&f))?;
    let cameras: Vec<Camera> = sources.iter().map(|s| s.camera.clone()).collect();
    Ok(Base { yaml: graph.for_cameras(&cameras).map_err(|f| faulty(&[f]))?, file })
}

/// A graph file, its modules expanded by dora itself.
fn expanded(file: &Path, dora: &Path) -> Result<Graph, Failure> {
    let graph = Graph::read(file).map_err(|f| faulty(&f))?;
    let has_modules = graph.yaml.get("nodes").and_then(|n| n.as_sequence()).is_some_and(|n| n.iter().any(|n| n.get("module").is_some()));
    if !has_modules {
        return Ok(graph);
    }
    let failed = |why: String| Failure::failed(format!("`dora expand {}`: {why}", file.display())).hint("`dora validate` says more");
    let output = Command::new(dora).arg("expand").arg(file).output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned()));
    }
    Graph::parse(&String::from_utf8_lossy(&output.stdout), file, graph.folder).map_err(|f| faulty(&f))
}

/// The graph of the recording that is replayed, with the programs of this build.
fn recorded(args: &ReadArgs, sources: &[Source]) -> Result<Base, String> {
    let path = args.sources.first().map(PathBuf::from).unwrap_or_default();
    let path = std::path::absolute(&path).map_err(|e| e.to_string())?;
    let about = provenance::about(&path).ok_or("the recording does not hold one")?;
    let text = about.get(About::GRAPH).ok_or("the recording does not hold one")?;
    let folder = PathBuf::from(about.get(About::FOLDER).unwrap_or("."));
    let file = PathBuf::from(format!("graph of {}", path.display()));
    let graph = Graph::parse(text, &file, folder.clone()).map_err(|f| f.first().map(ToString::to_string).unwrap_or_default())?;
    let cameras: Vec<String> = sources.iter().map(|s| s.camera.name.clone()).collect();
    let here = Here { program: &program, file: &|file| file_like(&folder, file) };
    Ok(Base { yaml: for_replay(&graph, &path, &cameras, &here)?, file })
}

/// The node program of that kind beside this one, else where graphs/read.yml finds it.
pub fn program(kind: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|p| p.canonicalize().ok()).map(|p| p.with_file_name(kind));
    let in_project = paths::project().map(|p| p.join("graphs/bin").join(kind));
    [beside, in_project].into_iter().flatten().find(|p| p.is_file())
}

/// The file as the recorded graph named it, else the one below this project's folder whose path ends likewise.
fn file_like(folder: &Path, named: &Path) -> Option<PathBuf> {
    let as_named = folder.join(named);
    if as_named.is_file() {
        return as_named.canonicalize().ok();
    }
    let project = paths::project()?;
    let parts: Vec<_> = named.components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
    (0..parts.len()).map(|from| project.join(parts.iter().skip(from).collect::<PathBuf>())).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_the_end_of_its_path() {
        let found = file_like(Path::new("/elsewhere/graphs"), Path::new("/other/checkout/models/reader.onnx")).unwrap();
        assert!(found.ends_with("models/reader.onnx") && found.is_file());
        assert_eq!(file_like(Path::new("/elsewhere"), Path::new("models/none.onnx")), None);
    }
}
