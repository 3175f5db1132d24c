//! The node's place in the graph, from the dataflow descriptor that dora hands to each node.

use crate::Fault;
use gantry_contract::PASSED_ON;
use gantry_frames::Mode;
use serde_json::Value;
use std::collections::BTreeMap;

/// An input of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Input id in the graph.
    pub input: String,
    /// Node that sends.
    pub from_node: String,
    /// Its output.
    pub from_output: String,
}

/// A node that reads an output of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Node that reads.
    pub node_id: String,
    /// `queue_size` of its input.
    pub queue_size: u32,
}

/// Inputs, consumers and parameters of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    pub inputs: Vec<Edge>,
    /// Output name to the nodes that read it; live, also those to which its readers pass its frames on ([`gantry_contract::PASSED_ON`]). In a lossless run
    /// each reader owes an acknowledgement, and what is passed on has none.
    pub consumers: BTreeMap<String, Vec<Consumer>>,
    /// `env` of this node in the graph, less the names that are not parameters.
    pub env: BTreeMap<String, String>,
    /// Parameters of the module that the node stands in, under the names of the nodes' parameters. They reach every node
    /// of the module, so that a node ignores those that it does not have.
    pub module_params: BTreeMap<String, String>,
}

/// Prefixes of `env` names that belong to libraries and to the harness, not to the node's parameters.
const NOT_PARAMETERS: &[&str] = &["GANTRY_", "DORA_", "RUST_", "PARAM_", "ORT_", "LD_", "OMP_", "CUDA_", "NVIDIA_", "ZENOH_"];

/// dora's prefix for the `params` of a module in the `env` of its nodes.
const MODULE_PARAMETER: &str = "PARAM_";

/// Whether an `env` name of a graph stands for a parameter of the node.
pub(crate) fn is_parameter(name: &str) -> bool {
    !NOT_PARAMETERS.iter().any(|p| name.starts_with(p))
}

impl Topology {
    /// The parameters of this node: its own `env`, and what the module says of parameters that `known` names.
    pub fn params(&self, known: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let mut all = self.env.clone();
        for (name, value) in &self.module_params {
            if known(&name.to_ascii_lowercase()) {
                all.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        all
    }

    /// Reads the descriptor (as JSON) for `node_id`.
    pub fn read(descriptor: &Value, node_id: &str, mode: Mode) -> Result<Self, Fault> {
        let nodes = descriptor["nodes"].as_array().ok_or_else(|| Fault::new("dataflow descriptor has no nodes"))?;
        let mut found = Self::default();
        let mut passed_on: BTreeMap<String, Vec<Consumer>> = BTreeMap::new();
        for node in nodes {
            let id = node["id"].as_str().unwrap_or_default();
            for (input, mapping) in node["inputs"].as_object().into_iter().flatten() {
                let Some((from_node, from_output, queue_size)) = source_of(mapping) else { continue };
                if id == node_id {
                    found.inputs.push(Edge { input: input.clone(), from_node: from_node.clone(), from_output: from_output.clone() });
                }
                let reader = Consumer { node_id: id.to_owned(), queue_size };
                if from_node == node_id {
                    add(found.consumers.entry(from_output).or_default(), reader);
                } else if from_output == PASSED_ON && mode == Mode::Live {
                    passed_on.entry(from_node).or_default().push(reader);
                }
            }
            if id == node_id {
                for (key, value) in node["env"].as_object().into_iter().flatten() {
                    // The daemon has expanded `$NAME` in the environment it started us with.
                    let text =
                        || std::env::var(key).ok().or_else(|| value.as_str().map(str::to_owned)).unwrap_or_else(|| value.to_string());
                    if let Some(name) = key.strip_prefix(MODULE_PARAMETER) {
                        found.module_params.insert(name.to_owned(), text());
                    } else if is_parameter(key) {
                        found.env.insert(key.clone(), text());
                    }
                }
            }
        }
        for readers in found.consumers.values_mut() {
            let further: Vec<Consumer> = readers.iter().filter_map(|reader| passed_on.get(&reader.node_id)).flatten().cloned().collect();
            further.into_iter().for_each(|reader| add(readers, reader));
        }
        Ok(found)
    }
}

/// Each node is one reader, however many edges it has.
fn add(readers: &mut Vec<Consumer>, reader: Consumer) {
    if !readers.iter().any(|known| known.node_id == reader.node_id) {
        readers.push(reader);
    }
}

/// Node, output and queue size of `src/out` or `{source: src/out, queue_size: n}`; none for dora's own inputs.
fn source_of(mapping: &Value) -> Option<(String, String, u32)> {
    let (text, queue_size) = match mapping {
        Value::String(s) => (s.as_str(), 10),
        other => (other["source"].as_str()?, other["queue_size"].as_u64().unwrap_or(10)),
    };
    let (node, output) = text.split_once('/')?;
    (node != "dora").then(|| (node.to_owned(), output.to_owned(), u32::try_from(queue_size).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_inputs_consumers_and_parameters() {
        let graph = json!({"nodes": [
            {"id": "cam0", "outputs": ["packets"], "inputs": {"tick": "dora/timer/secs/1", "credit": "dec/credit"}},
            {"id": "dec", "inputs": {"packets": {"source": "cam0/packets", "queue_size": 64, "queue_policy": "backpressure"}},
             "env": {"THREADS_FOR_TEST": 2, "GANTRY_LOG": "debug", "PARAM_NAME_FOR_TEST": "gate", "PARAM_OTHER": "x"}},
            {"id": "a", "inputs": {"frames": {"source": "dec/frames", "queue_size": 7}}},
            {"id": "b", "inputs": {"frames": "dec/frames", "more": "dec/frames"}},
            {"id": "looks", "inputs": {"views": {"source": "b/views", "queue_size": 8}, "more": "a/views", "crops": "b/crops", "far": "c/views"}},
            {"id": "more", "inputs": {"crops": "b/crops", "frames": "c/views"}},
        ]});
        let t = Topology::read(&graph, "dec", Mode::Live).unwrap();
        assert_eq!(t.inputs, [Edge { input: "packets".into(), from_node: "cam0".into(), from_output: "packets".into() }]);
        assert_eq!(t.env, BTreeMap::from([("THREADS_FOR_TEST".to_owned(), "2".to_owned())]));
        let params = t.params(|name| name == "name_for_test");
        assert_eq!(params["NAME_FOR_TEST"], "gate");
        assert_eq!(params.len(), 2);
        let reader = |node_id: &str, queue_size| Consumer { node_id: node_id.into(), queue_size };
        assert_eq!(t.consumers["frames"], [reader("a", 7), reader("b", 10), reader("looks", 10)]);
        let lossless = Topology::read(&graph, "dec", Mode::Lossless).unwrap();
        assert_eq!(lossless.consumers["frames"], [reader("a", 7), reader("b", 10)]);
        assert_eq!(Topology::read(&graph, "b", Mode::Live).unwrap().consumers["crops"], [reader("looks", 10), reader("more", 10)]);
        assert_eq!(t.consumers["credit"].len(), 1);
    }
}
