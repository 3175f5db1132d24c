//! What a recording says about the run that it comes from, beside the run that replays it.

use super::ReadArgs;
use super::recording::is_recording;
use gantry_graph::{Graph, NodeSpec, files, goes_downstream};
use gantry_origin::digest;
use gantry_recording::{About, Recording};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Nodes whose parameters differ by design: where packets come from and where results go.
const ENDS: [&str; 3] = ["camera", "store", "record"];
/// More differences than these are counted and not listed.
const LISTED: usize = 12;

/// What the recording at `path` says of its run.
pub fn about(path: &Path) -> Option<About> {
    Recording::open(path).ok()?.about().cloned()
}

/// Says where `graph` differs from the runs of the recordings among the sources: models always, parameters and nodes unless `--quiet`.
pub fn tell(args: &ReadArgs, graph: &Graph) {
    for path in args.sources.iter().filter(|s| is_recording(s)) {
        let Some(about) = about(Path::new(path)) else { continue };
        for line in changed_files(&about, graph) {
            eprintln!("warning: {line}");
        }
        if args.quiet {
            continue;
        }
        let Some(recorded) = about.get(About::GRAPH).and_then(|g| Graph::parse(g, Path::new(path), PathBuf::new()).ok()) else { continue };
        let notes = changed_nodes(&recorded, graph);
        notes.iter().take(LISTED).for_each(|note| eprintln!("note: {note}"));
        if notes.len() > LISTED {
            eprintln!("note: and {} more differences from the recorded graph", notes.len() - LISTED);
        }
    }
}

/// Models and tables that are not those of the recorded run.
fn changed_files(about: &About, graph: &Graph) -> Vec<String> {
    let then: BTreeMap<&str, &str> = about.digests().collect();
    let mut lines = Vec::new();
    for (node, name, path) in files(graph) {
        let name = format!("{node}.{name}");
        let Some(was) = then.get(name.as_str()) else { continue };
        match digest(&graph.folder.join(&path)) {
            Ok(is) if is == *was => {}
            Ok(is) => lines.push(format!(
                "`{name}` is another file than when this was recorded: {path} has SHA-256 {}.., it was {}..",
                short(&is),
                short(was)
            )),
            Err(e) => lines.push(format!("`{name}` cannot be compared with what was recorded: {path}: {e}")),
        }
    }
    lines
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Nodes and parameters that are not those of the recorded run. Files count by their content, see [`changed_files`]. A node is compared
/// with the one of its id, or else of its kind: ids often carry the number of a camera.
fn changed_nodes(then: &Graph, now: &Graph) -> Vec<String> {
    let counts = |node: &&NodeSpec| !ENDS.contains(&node.kind());
    let like =
        |graph: &Graph, node: &NodeSpec| graph.node(&node.id).or_else(|| graph.nodes.iter().find(|n| n.kind() == node.kind())).cloned();
    let mut notes = Vec::new();
    for node in now.nodes.iter().filter(counts) {
        let Some(was) = like(then, node) else {
            notes.push(format!("node `{}` was not in the recorded graph", node.id));
            continue;
        };
        if was.kind() != node.kind() {
            notes.push(format!("node `{}` is `{}`, it was `{}`", node.id, node.kind(), was.kind()));
            continue;
        }
        let (was, is) = (params(then, &was), params(now, node));
        for name in was.keys().chain(is.keys().filter(|name| !was.contains_key(*name))) {
            let text = |params: &BTreeMap<String, String>| params.get(name).map_or_else(|| "not set".to_owned(), |v| format!("`{v}`"));
            if was.get(name) != is.get(name) {
                notes.push(format!("`{}.{name}` is {}, it was {}", node.id, text(&is), text(&was)));
            }
        }
    }
    let sends = |node: &&NodeSpec| node.outputs.iter().any(|output| goes_downstream(node.kind(), output));
    let gone = then.nodes.iter().filter(counts).filter(sends).filter(|n| like(now, n).is_none());
    notes.extend(gone.map(|n| format!("node `{}` of the recorded graph is not in this one", n.id)));
    notes
}

fn params(graph: &Graph, node: &NodeSpec) -> BTreeMap<String, String> {
    let files: Vec<String> = files(graph).into_iter().filter(|(id, ..)| *id == node.id).map(|(_, name, _)| name).collect();
    node.env.iter().filter(|(name, _)| !files.contains(name) && !name.starts_with("GANTRY_")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(text: &str, folder: &Path) -> Graph {
        Graph::parse(text, Path::new("g.yml"), folder.to_owned()).unwrap()
    }

    #[test]
    fn another_model_and_other_parameters_are_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.onnx"), "abc").unwrap();
        let then = graph(
            "nodes: [{id: recognize, path: bin/recognize, env: {MODEL: old/m.onnx, TOP_K: 3}}, {id: last, path: bin/last, outputs: [readings]}, {id: page, path: bin/preview, outputs: [wanted]}]",
            dir.path(),
        );
        let now =
            graph("nodes: [{id: recognize, path: x/recognize, env: {MODEL: m.onnx, TOP_K: 5}}, {id: other, path: bin/vote}]", dir.path());
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(changed_files(&About::default().with_digest("recognize.MODEL", abc), &now), Vec::<String>::new());
        let changed = changed_files(&About::default().with_digest("recognize.MODEL", "00"), &now);
        assert!(changed[0].starts_with("`recognize.MODEL` is another file") && changed[0].contains("ba7816bf8f01"), "{changed:?}");
        assert_eq!(
            changed_nodes(&then, &now),
            [
                "`recognize.TOP_K` is `5`, it was `3`",
                "node `other` was not in the recorded graph",
                "node `last` of the recorded graph is not in this one"
            ]
        );
    }
}
