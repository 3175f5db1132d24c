//! The graph: the shipped car park with as many cameras as asked for.

use crate::{Sandbox, shipped};
use serde_yaml::{Mapping, Value};
use std::path::PathBuf;

/// Nodes of the car park that listen on a port, or have rules for cameras by name.
const WITHOUT: [&str; 3] = ["metrics", "preview", "visits"];

/// Name of the camera of that number.
#[must_use]
pub fn camera(number: usize) -> String {
    format!("cam{number}")
}

/// A parameter of a node: `detect.LOOK_EVERY_MS=0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    node: String,
    param: String,
    value: String,
}

impl std::str::FromStr for Setting {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
        let ((node, param), value) = parts.ok_or_else(|| format!("`{text}`: `NODE.PARAM=VALUE` is wanted"))?;
        Ok(Self { node: node.to_owned(), param: param.to_owned(), value: value.to_owned() })
    }
}

/// `graphs/sites/car_park.yml` with one camera per clip, which plays in real time and again and again.
///
/// # Panics
/// If the shipped graph has another form than a list of nodes, or no node of a setting.
#[must_use]
pub fn car_park(sandbox: &Sandbox, clips: &[PathBuf], settings: &[Setting]) -> String {
    let mut graph: Value = serde_yaml::from_str(&shipped(sandbox, "car_park")).expect("the shipped graph is YAML");
    let nodes = graph["nodes"].as_sequence_mut().expect("a graph has nodes");
    let is_camera = |node: &Value| node.get("module").is_some();
    let module = nodes.iter().find(|node| is_camera(node)).cloned().expect("the car park has cameras");
    let shipped_cameras: Vec<String> =
        nodes.iter().filter(|node| is_camera(node)).filter_map(|node| Some(node["id"].as_str()?.to_owned())).collect();
    nodes.retain(|node| !is_camera(node) && !WITHOUT.iter().any(|id| node["id"] == **id));
    for node in nodes.iter_mut() {
        if let Some(inputs) = node["inputs"].as_mapping_mut() {
            inputs.retain(|_, edge| !WITHOUT.iter().any(|id| edge["source"].as_str().is_some_and(|source| source.starts_with(id))));
            per_camera(inputs, &shipped_cameras, clips.len());
        }
    }
    for Setting { node, param, value } in settings {
        let of = nodes.iter_mut().find(|of| of["id"] == **node).unwrap_or_else(|| panic!("the car park has no node `{node}`"));
        of["env"][param.as_str()] = value.as_str().into();
    }
    let cameras = clips.iter().enumerate().map(|(number, clip)| {
        let mut node = module.clone();
        node["id"] = camera(number).into();
        let params = node["params"].as_mapping_mut().expect("a camera has parameters");
        params.insert("source".into(), clip.display().to_string().into());
        params.insert("name".into(), camera(number).into());
        node
    });
    nodes.splice(0..0, cameras.collect::<Vec<_>>());
    serde_yaml::to_string(&graph).expect("what was YAML is YAML")
}

/// An edge per camera in the place of those of the shipped cameras: `frames_NAME: { source: NAME/frames, ... }`.
fn per_camera(inputs: &mut Mapping, shipped: &[String], cameras: usize) {
    let of_first = inputs.iter().find(|(input, _)| input.as_str().is_some_and(|input| input.ends_with(&shipped[0])));
    let Some((Value::String(input), edge)) = of_first.map(|(input, edge)| (input.clone(), edge.clone())) else { return };
    inputs.retain(|input, _| !shipped.iter().any(|camera| input.as_str().is_some_and(|input| input.ends_with(camera))));
    let port = input.trim_end_matches(&shipped[0]);
    for number in 0..cameras {
        let mut edge = edge.clone();
        let source = edge["source"].as_str().unwrap_or_default().replacen(&shipped[0], &camera(number), 1);
        edge["source"] = source.into();
        inputs.insert(format!("{port}{}", camera(number)).into(), edge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_camera_has_its_module_and_its_edges() {
        let sandbox = Sandbox::new();
        let clips: Vec<PathBuf> = ["/a.mp4", "/b.mp4", "/a.mp4", "/b.mp4", "/a.mp4"].map(PathBuf::from).to_vec();
        let graph: Value = serde_yaml::from_str(&car_park(&sandbox, &clips, &["detect.MAX_BATCH=2".parse().unwrap()])).unwrap();
        let nodes = graph["nodes"].as_sequence().unwrap();
        let by_id = |id: &str| nodes.iter().find(|node| node["id"] == *id).unwrap_or_else(|| panic!("{id}"));
        assert_eq!(by_id("cam4")["params"]["source"], "/a.mp4");
        assert_eq!(by_id("cam4")["params"]["repeat"], true);
        for node in ["detect", "crop"] {
            let inputs = by_id(node)["inputs"].as_mapping().unwrap();
            let edges = inputs.iter().filter(|(input, _)| input.as_str().unwrap().starts_with("frames_"));
            let sources: Vec<&str> = edges.map(|(_, edge)| edge["source"].as_str().unwrap()).collect();
            assert_eq!(sources, (0..5).map(|n| format!("cam{n}/frames")).collect::<Vec<_>>(), "{node}");
        }
        assert_eq!(by_id("detect")["env"]["MAX_BATCH"], "2");
        assert!("detect.MAX_BATCH".parse::<Setting>().is_err() && "MAX_BATCH=2".parse::<Setting>().is_err());
        assert!(!nodes.iter().any(|node| node["id"] == "visits" || node["id"] == "entry_north"));
    }
}
