//! Which cameras the graph has, and through which nodes their frames come.

use gantry_node::Edge;
use serde_json::Value;

/// One camera of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraNodes {
    /// Name in all messages.
    pub name: String,
    /// Node that opens it.
    pub camera: String,
    /// Node that decodes it.
    pub decode: String,
}

/// The cameras whose frames come over `inputs`, in their order: from each edge one node up to what decodes, and from there to what sends
/// packets. Of their parameters only the name is looked at: others hold addresses.
#[must_use]
pub fn cameras(graph: &Value, inputs: &[Edge]) -> Vec<CameraNodes> {
    let mut found: Vec<CameraNodes> = Vec::new();
    for edge in inputs.iter().filter(|edge| edge.input.starts_with("frames")) {
        let Some(decode) = node(graph, &edge.from_node) else { continue };
        for (input, mapping) in decode["inputs"].as_object().into_iter().flatten() {
            if !input.starts_with("packets") {
                continue;
            }
            let Some(camera) = source_node(mapping).and_then(|id| node(graph, id)) else { continue };
            let Some(id) = camera["id"].as_str() else { continue };
            let name = ["NAME", "PARAM_NAME"].iter().find_map(|key| camera["env"][key].as_str()).unwrap_or(id);
            // `$NAME` is known to the node alone.
            let name = if name.starts_with('$') { id } else { name };
            let nodes = CameraNodes { name: name.to_owned(), camera: id.to_owned(), decode: edge.from_node.clone() };
            if !found.contains(&nodes) {
                found.push(nodes);
            }
        }
    }
    found
}

fn node<'a>(graph: &'a Value, id: &str) -> Option<&'a Value> {
    graph["nodes"].as_array()?.iter().find(|node| node["id"] == id)
}

fn source_node(mapping: &Value) -> Option<&str> {
    mapping.as_str().or_else(|| mapping["source"].as_str())?.split_once('/').map(|(node, _)| node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cameras_are_found_behind_their_decoders() {
        let graph = json!({"nodes": [
            {"id": "gate.camera", "env": {"PARAM_NAME": "north gate", "SOURCE": "rtsp://u:p@h/"}},
            {"id": "gate.decode", "inputs": {"tick": "dora/timer/millis/500", "packets": {"source": "gate.camera/packets", "queue_size": 64}}},
            {"id": "cam0"}, {"id": "cam1", "env": {"NAME": "$LATER"}},
            {"id": "both", "inputs": {"packets_0": "cam0/packets", "packets_1": "cam1/packets"}},
        ]});
        let edge = |input: &str, node: &str| Edge { input: input.into(), from_node: node.into(), from_output: "frames".into() };
        let inputs = [edge("frames_gate", "gate.decode"), edge("frames_both", "both"), edge("tracks", "track"), edge("frames_x", "gone")];
        let of = |name: &str, camera: &str, decode: &str| CameraNodes { name: name.into(), camera: camera.into(), decode: decode.into() };
        let wanted = [of("north gate", "gate.camera", "gate.decode"), of("cam0", "cam0", "both"), of("cam1", "cam1", "both")];
        assert_eq!(cameras(&graph, &inputs), wanted);
    }
}
