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
    /// It decodes others, too.
    pub shares_decode: bool,
    /// Its frames come only while they are asked for.
    pub on_demand: bool,
}

impl CameraNodes {
    /// Of a camera that was added while the site runs: `camera.sh` and `live_camera.module.yml` name its nodes so.
    #[must_use]
    pub fn added(name: &str) -> Self {
        let (camera, decode) = (format!("{name}.camera"), format!("{name}.decode"));
        Self { name: name.to_owned(), camera, decode, shares_decode: false, on_demand: true }
    }

    /// The node whose rows are the camera's frames, or its packets where frames are those of several.
    #[must_use]
    pub fn counted(&self) -> &str {
        if self.shares_decode { &self.camera } else { &self.decode }
    }
}

/// Nodes that pass frames on, one behind the other, at most.
const DEEPEST: usize = 4;

/// The cameras whose frames come over `inputs`, in their order: from each edge up to what decodes, and from there to what sends
/// packets. Of their parameters only the name is looked at: others hold addresses.
#[must_use]
pub fn cameras(graph: &Value, inputs: &[Edge]) -> Vec<CameraNodes> {
    let mut found: Vec<CameraNodes> = Vec::new();
    for edge in inputs {
        let on_demand = edge.input.starts_with("views");
        if on_demand || edge.input.starts_with("frames") {
            add(graph, &edge.from_node, on_demand, DEEPEST, &mut found);
        }
    }
    found
}

/// The cameras behind a node that decodes, or reads frames of those that do.
fn add(graph: &Value, id: &str, on_demand: bool, deepest: usize, found: &mut Vec<CameraNodes>) {
    let packets = sources(graph, id, "packets");
    for camera in packets.iter().filter_map(|id| node(graph, id)) {
        let Some(camera_id) = camera["id"].as_str() else { continue };
        let name = ["NAME", "PARAM_NAME"].iter().find_map(|key| camera["env"][key].as_str()).unwrap_or(camera_id);
        // `$NAME` is known to the node alone.
        let name = if name.starts_with('$') { camera_id } else { name };
        if found.iter().all(|known| known.camera != camera_id) {
            let (name, camera, decode) = (name.to_owned(), camera_id.to_owned(), id.to_owned());
            found.push(CameraNodes { name, camera, decode, shares_decode: packets.len() > 1, on_demand });
        }
    }
    if packets.is_empty() && deepest > 0 {
        sources(graph, id, "frames").into_iter().for_each(|behind| add(graph, behind, on_demand, deepest - 1, found));
    }
}

fn node<'a>(graph: &'a Value, id: &str) -> Option<&'a Value> {
    graph["nodes"].as_array()?.iter().find(|node| node["id"] == id)
}

/// The nodes behind the inputs of `id` whose names begin so.
fn sources<'a>(graph: &'a Value, id: &str, input: &str) -> Vec<&'a str> {
    let inputs = node(graph, id).and_then(|node| node["inputs"].as_object());
    let edges = inputs.into_iter().flatten().filter(|(name, _)| name.starts_with(input));
    let source = |mapping: &'a Value| mapping.as_str().or_else(|| mapping["source"].as_str());
    edges.filter_map(|(_, mapping)| Some(source(mapping)?.split_once('/')?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cameras_are_found_behind_their_decoders_and_behind_what_passes_frames_on() {
        let graph = json!({"nodes": [
            {"id": "gate.camera", "env": {"PARAM_NAME": "north gate", "SOURCE": "rtsp://u:p@h/"}},
            {"id": "gate.decode", "inputs": {"tick": "dora/timer/millis/500", "packets": {"source": "gate.camera/packets", "queue_size": 64}}},
            {"id": "cam0"}, {"id": "cam1", "env": {"NAME": "$LATER"}},
            {"id": "both", "inputs": {"packets_0": "cam0/packets", "packets_1": "cam1/packets"}},
            {"id": "crop", "inputs": {"frames_gate": "gate.decode/frames", "frames_both": "both/frames", "tracks": "track/tracks"}},
            {"id": "round", "inputs": {"frames": "round/frames"}},
        ]});
        let edge = |input: &str, node: &str| Edge { input: input.into(), from_node: node.into(), from_output: "frames".into() };
        let of = |name: &str, camera: &str, decode: &str, on_demand| CameraNodes {
            name: name.into(),
            camera: camera.into(),
            decode: decode.into(),
            shares_decode: decode == "both",
            on_demand,
        };
        let all = |on_demand| {
            [("north gate", "gate.camera", "gate.decode"), ("cam0", "cam0", "both"), ("cam1", "cam1", "both")]
                .map(|(name, camera, decode)| of(name, camera, decode, on_demand))
        };
        let frames = [edge("frames_gate", "gate.decode"), edge("frames_both", "both"), edge("tracks", "track"), edge("frames_x", "gone")];
        assert_eq!(cameras(&graph, &frames), all(false));
        assert_eq!(cameras(&graph, &[edge("views", "crop"), edge("tracks", "crop"), edge("views_round", "round")]), all(true));
        assert_eq!((all(true)[0].counted(), all(true)[1].counted()), ("gate.decode", "cam0"));
        assert_eq!(CameraNodes::added("yard"), of("yard", "yard.camera", "yard.decode", true));
    }
}
