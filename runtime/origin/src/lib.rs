//! What made a result: the graph without passwords, and the digests of the models and tables that its parameters name.
//!
//! Two runs with the same [`Origin::digest`] did the same with what they saw. The files are read when the node starts, as the nodes that use them do.

mod digest;

pub use digest::{digest, digest_of};

use gantry_credentials::redact;
use gantry_frames::Mode;
use gantry_graph::{Graph, files};
use gantry_node::{Context, Fault};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What made the results of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// SHA-256 in hex of all that follows.
    pub digest: String,
    /// Version of Gantry.
    pub gantry: String,
    /// `live` or `lossless`.
    pub mode: String,
    /// The graph as YAML, passwords taken out; empty where a node runs without one.
    pub graph: String,
    /// SHA-256 of the files that parameters name (`recognize.MODEL`), in hex.
    pub files: BTreeMap<String, String>,
    /// Files that could not be read here, and why: of nodes on another machine, or of one that will not start either.
    #[serde(skip)]
    pub unreadable: Vec<String>,
}

impl Origin {
    /// Of the run that `context` belongs to. Relative paths start at the folder that dora starts nodes in, that of the graph.
    ///
    /// # Errors
    /// If what dora gives as the graph is none.
    pub fn of(context: &Context) -> Result<Self, Fault> {
        let mode = if context.mode == Mode::Live { "live" } else { "lossless" };
        let mut origin = Self { gantry: env!("CARGO_PKG_VERSION").to_owned(), mode: mode.to_owned(), ..Self::default() };
        if !context.graph.is_null() {
            let mut graph = context.graph.as_ref().clone();
            redact_all(&mut graph);
            origin.graph = serde_yaml::to_string(&graph)?;
            let graph = Graph::parse(&origin.graph, Path::new("graph"), PathBuf::from("."))
                .map_err(|faults| Fault::new(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
            // A path with a variable is that of a module, which stands in the graph with its value, too.
            for (node, name, path) in files(&graph).into_iter().filter(|(_, _, path)| !path.starts_with('$')) {
                match digest(Path::new(&path)) {
                    Ok(sum) => drop(origin.files.insert(format!("{node}.{name}"), sum)),
                    Err(e) => origin.unreadable.push(format!("`{node}.{name}`: {path}: {e}")),
                }
            }
        }
        origin.digest = digest_of(&serde_json::to_string(&origin)?);
        Ok(origin)
    }
}

/// Takes passwords out of every address.
fn redact_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = redact(text),
        Value::Array(items) => items.iter_mut().for_each(redact_all),
        Value::Object(map) => map.values_mut().for_each(redact_all),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn context(model: &Path, frames: u32) -> Context {
        let graph = json!({"nodes": [
            {"id": "camera", "path": "bin/camera", "outputs": ["packets"], "env": {"SOURCE": "rtsp://admin:hunter2@10.0.0.7/s"}},
            {"id": "recognize", "path": "bin/recognize", "outputs": ["reads"], "env": {"MODEL": model, "MAX_BATCH": frames}},
        ]});
        Context::for_test("recognize", Mode::Live, Path::new("/")).in_graph(graph).unwrap()
    }

    #[test]
    fn graph_and_models_make_the_digest_and_no_password_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("m.onnx");
        std::fs::write(&model, "abc").unwrap();
        let origin = Origin::of(&context(&model, 4)).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(origin.files, BTreeMap::from([("recognize.MODEL".to_owned(), abc.to_owned())]));
        assert!(origin.graph.contains("rtsp://***@10.0.0.7/s") && !origin.graph.contains("hunter2"), "{}", origin.graph);
        assert_eq!((origin.mode.as_str(), origin.digest.len(), origin.unreadable.len()), ("live", 64, 0));

        assert_eq!(Origin::of(&context(&model, 4)).unwrap(), origin, "the same again");
        assert_ne!(Origin::of(&context(&model, 5)).unwrap().digest, origin.digest, "another parameter");
        std::fs::write(&model, "abcd").unwrap();
        assert_ne!(Origin::of(&context(&model, 4)).unwrap().digest, origin.digest, "another model");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let origin = Origin::of(&context(Path::new("/nowhere/m.onnx"), 4)).unwrap();
        assert!(origin.files.is_empty());
        assert!(origin.unreadable[0].starts_with("`recognize.MODEL`: /nowhere/m.onnx: "), "{:?}", origin.unreadable);
    }

    #[test]
    fn without_a_graph_there_is_the_version() {
        let origin = Origin::of(&Context::for_test("store", Mode::Lossless, Path::new("/"))).unwrap();
        assert_eq!((origin.graph.as_str(), origin.mode.as_str(), origin.gantry.as_str()), ("", "lossless", env!("CARGO_PKG_VERSION")));
    }
}
