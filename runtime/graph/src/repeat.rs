//! Repeats the per-camera part of a graph for each source.

use crate::Graph;
use crate::edit::{absolute_paths, kind_of, name_default_paths, set_env};
use crate::faults::GraphFault;
use crate::file::text_of;
use serde_yaml::{Mapping, Value};

/// One source for [`Graph::for_cameras`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// Name in messages and readings.
    pub name: String,
    /// File or address.
    pub source: String,
}

/// What stands for the first camera in node ids, input ids and sources.
const FIRST: &str = "_cam0";

impl Graph {
    /// The graph with one per-camera part for each of `cameras`: every node whose id ends in `_cam0`, and every input whose
    /// id or source names it, is repeated with `_cam1`, ...; nodes of kind `camera` get `SOURCE` and `NAME`.
    /// Paths become absolute, so that the result can stand in any folder.
    ///
    /// # Errors
    /// If the graph has no node that ends in `_cam0`.
    pub fn for_cameras(&self, cameras: &[Camera]) -> Result<Mapping, GraphFault> {
        if !self.nodes.iter().any(|n| n.id.ends_with(FIRST)) {
            let fault =
                GraphFault::new(&self.file.display().to_string(), "", "", "has no per-camera part to repeat: no node id ends in `_cam0`");
            return Err(fault.hint("name the nodes of the first camera `camera_cam0`, `decode_cam0`, ... as graphs/read.yml does"));
        }
        let folder = std::fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let mut nodes = Vec::new();
        for node in self.yaml.get("nodes").and_then(Value::as_sequence).into_iter().flatten() {
            let Value::Mapping(node) = node else { continue };
            let id = node.get("id").map(text_of).unwrap_or_default();
            if id.ends_with(FIRST) {
                for (index, camera) in cameras.iter().enumerate() {
                    let mut copy = renamed(&Value::Mapping(node.clone()), index);
                    if let Value::Mapping(copy) = &mut copy {
                        absolute_paths(copy, &folder);
                        if kind_of(copy) == "camera" {
                            set_env(copy, "SOURCE", &camera.source);
                            set_env(copy, "NAME", &camera.name);
                        }
                    }
                    nodes.push(copy);
                }
            } else {
                let mut node = node.clone();
                if let Some(Value::Mapping(inputs)) = node.get_mut("inputs") {
                    *inputs = repeated_inputs(inputs, cameras.len());
                }
                absolute_paths(&mut node, &folder);
                nodes.push(Value::Mapping(node));
            }
        }
        let mut yaml = self.yaml.clone();
        yaml.insert(Value::from("nodes"), Value::Sequence(nodes));
        Ok(yaml)
    }

    /// The graph as it is, with absolute paths, also those that are defaults, so that it can stand in any folder. Modules must be expanded (`dora expand`).
    pub fn standalone(&self) -> Mapping {
        let folder = std::fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let mut yaml = self.yaml.clone();
        for node in yaml.get_mut("nodes").and_then(Value::as_sequence_mut).into_iter().flatten().filter_map(Value::as_mapping_mut) {
            name_default_paths(node);
            absolute_paths(node, &folder);
        }
        yaml
    }
}

/// A copy in which every text `..._cam0` or `..._cam0/...` says `_cam<index>`.
fn renamed(value: &Value, index: usize) -> Value {
    match value {
        Value::String(s) => Value::String(renamed_text(s, index)),
        Value::Sequence(items) => Value::Sequence(items.iter().map(|v| renamed(v, index)).collect()),
        Value::Mapping(m) => Value::Mapping(m.iter().map(|(k, v)| (renamed(k, index), renamed(v, index))).collect()),
        other => other.clone(),
    }
}

fn renamed_text(text: &str, index: usize) -> String {
    let new = format!("_cam{index}");
    match text.split_once('/') {
        Some((node, output)) if node.ends_with(FIRST) => format!("{}{new}/{output}", node.trim_end_matches(FIRST)),
        _ if text.ends_with(FIRST) => format!("{}{new}", text.trim_end_matches(FIRST)),
        _ => text.to_owned(),
    }
}

fn repeated_inputs(inputs: &Mapping, cameras: usize) -> Mapping {
    let mut all = Mapping::new();
    for (key, value) in inputs {
        if text_of(key).ends_with(FIRST) {
            for index in 0..cameras {
                all.insert(renamed(key, index), renamed(value, index));
            }
        } else {
            all.insert(key.clone(), value.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    const GRAPH: &str = "
nodes:
  - id: camera_cam0
    path: bin/camera
    inputs: { tick: dora/timer/secs/1, credit: decode_cam0/credit }
    outputs: [packets]
    env: { SOURCE: a.mp4 }
  - id: decode_cam0
    path: bin/decode
    inputs: { packets: { source: camera_cam0/packets, queue_size: 9 } }
    outputs: [frames, credit]
  - id: detect
    path: bin/detect
    inputs: { frames_cam0: { source: decode_cam0/frames }, tick: dora/timer/secs/1 }
";

    #[test]
    fn repeats_what_is_named_cam0_and_leaves_the_rest() {
        let graph = Graph::parse(GRAPH, Path::new("g.yml"), PathBuf::from("/graphs")).unwrap();
        let cameras = [Camera { name: "in".into(), source: "/in.mp4".into() }, Camera { name: "out".into(), source: "/out.mp4".into() }];
        let yaml = serde_yaml::to_string(&graph.for_cameras(&cameras).unwrap()).unwrap();
        let both = Graph::parse(&yaml, Path::new("h.yml"), PathBuf::from("/")).unwrap();
        let ids: Vec<&str> = both.nodes.iter().map(|n| n.id.as_str()).collect();
        assert_eq!(ids, ["camera_cam0", "camera_cam1", "decode_cam0", "decode_cam1", "detect"]);
        let camera = both.node("camera_cam1").unwrap();
        assert_eq!(camera.env, [("SOURCE".into(), "/out.mp4".into()), ("NAME".into(), "out".into())]);
        assert_eq!(camera.path.as_deref(), Some("/graphs/bin/camera"));
        let inputs: Vec<String> = both.node("detect").unwrap().inputs.iter().map(|i| format!("{} {:?}", i.id, i.origin)).collect();
        assert_eq!(inputs.len(), 3);
        assert!(inputs[1].starts_with("frames_cam1") && inputs[1].contains("decode_cam1"), "{inputs:?}");
    }

    #[test]
    fn a_graph_without_a_per_camera_part_is_refused() {
        let graph = Graph::parse("nodes: [{id: a, path: b}]", Path::new("g.yml"), PathBuf::from("/")).unwrap();
        assert!(graph.for_cameras(&[]).unwrap_err().to_string().contains("_cam0"));
    }
}
