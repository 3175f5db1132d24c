//! A node that was added to a running graph (`dora node add`). dora gives it the graph as it was when it started, without this node: its edges stand in its own
//! configuration, its parameters in its environment alone, and who reads its buffers in [`READERS_ENV`].
//!
//! Such a node stays until it is told to stop, also when its inputs have closed: dora 1.1 cannot remove a node that has ended by itself, and never frees its name.

use crate::Fault;
use gantry_contract::Contract;
use serde_json::{Map, Value, json};

/// Who reads the outputs of an added node, and with which `queue_size`: `frames=road.resize:8,crop:8 images=detect:8`.
pub const READERS_ENV: &str = "GANTRY_READERS";

/// Puts node `node_id` into `graph` where it is missing, which says that it was added; `configuration` is dora's of this node, `variable` looks into its
/// environment.
///
/// # Errors
/// `GANTRY_READERS` cannot be understood.
pub(crate) fn complete(
    graph: &mut Value,
    node_id: &str,
    configuration: &Value,
    contract: &Contract,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<bool, Fault> {
    let Some(nodes) = graph["nodes"].as_array_mut().filter(|nodes| nodes.iter().all(|node| node["id"] != node_id)) else {
        return Ok(false);
    };
    let params = contract.params.iter().map(gantry_contract::Param::env_name);
    let env: Map<String, Value> = params.filter_map(|name| variable(&name).map(|value| (name, value.into()))).collect();
    nodes.push(json!({ "id": node_id, "inputs": configuration["inputs"], "outputs": configuration["outputs"], "env": env }));
    for (output, reader, queue_size) in variable(READERS_ENV).map_or(Ok(Vec::new()), |text| readers(&text))? {
        // As a node of its own: one that stands there already keeps its other inputs.
        let source = format!("{node_id}/{output}");
        nodes.push(json!({ "id": reader, "inputs": { output: { "source": source, "queue_size": queue_size } } }));
    }
    Ok(true)
}

/// Output, reader and `queue_size` of each edge.
fn readers(text: &str) -> Result<Vec<(String, String, u32)>, Fault> {
    let fault = |part: &str| {
        Fault::new(format!("`{READERS_ENV}`: `{part}` is no reader"))
            .hint("write `OUTPUT=NODE:QUEUE_SIZE,NODE:QUEUE_SIZE`, e.g. `frames=road.resize:8,crop:8`")
    };
    let mut all = Vec::new();
    for part in text.split_whitespace() {
        let (output, readers) = part.split_once('=').ok_or_else(|| fault(part))?;
        for reader in readers.split(',') {
            let (node, queue_size) = reader.split_once(':').ok_or_else(|| fault(reader))?;
            all.push((output.to_owned(), node.to_owned(), queue_size.parse().map_err(|_| fault(reader))?));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;
    use gantry_contract::{Arity, input, list, output, required_text_param, text};

    const CONTRACT: Contract = Contract {
        name: text("decode"),
        summary: text(""),
        inputs: list(const { &[input("packets", "packets/v1", Arity::Many, "")] }),
        outputs: list(const { &[output("frames", "frames/v1", "")] }),
        params: list(const { &[required_text_param("source_for_test", "")] }),
    };

    fn graph() -> Value {
        json!({ "nodes": [
            { "id": "crop", "inputs": { "frames_gate": "gate.decode/frames" } },
            { "id": "page", "inputs": { "views": { "source": "crop/views", "queue_size": 6 } } },
        ] })
    }

    fn completed(readers: &str) -> Result<Topology, Fault> {
        let mut graph = graph();
        let configuration =
            json!({ "inputs": { "packets": { "source": "road.camera/packets", "queue_size": 256 }, "tick": "dora/timer/millis/500" } });
        let variable = |name: &str| match name {
            "SOURCE_FOR_TEST" => Some("a.mp4".to_owned()),
            READERS_ENV => Some(readers.to_owned()),
            _ => None,
        };
        assert!(complete(&mut graph, "road.decode", &configuration, &CONTRACT, variable)?);
        Topology::read(&graph, "road.decode", gantry_frames::Mode::Live)
    }

    #[test]
    fn an_added_node_finds_its_edges_parameters_and_readers() {
        let found = completed("frames=road.resize:8,crop:4").unwrap();
        assert_eq!((found.inputs.len(), found.inputs[0].from_node.as_str()), (1, "road.camera"));
        assert_eq!(found.env["SOURCE_FOR_TEST"], "a.mp4");
        let readers: Vec<(&str, u32)> = found.consumers["frames"].iter().map(|c| (c.node_id.as_str(), c.queue_size)).collect();
        assert_eq!(readers, [("road.resize", 8), ("crop", 4), ("page", 6)], "also those to which a reader passes frames on");
        for wrong in ["frames", "frames=crop", "frames=crop:x"] {
            assert!(completed(wrong).unwrap_err().message().contains("is no reader"), "{wrong}");
        }
    }

    #[test]
    fn a_node_of_the_graph_is_left_as_it_is() {
        let mut found = graph();
        assert!(!complete(&mut found, "crop", &Value::Null, &CONTRACT, |_| Some("x".to_owned())).unwrap());
        assert_eq!(found, graph());
    }
}
