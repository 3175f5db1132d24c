//! Another program, or a node of another graph, in the place of a node.

use crate::edit::kind_of;
use crate::faults::{GraphFault, nearest};
use crate::file::text_of;
use crate::{Graph, contract_of};
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// What stays of the node that is replaced: its place in the graph.
const PLACE: [&str; 3] = ["id", "inputs", "outputs"];

/// Puts `new` in the place of `node` of the graph `yaml`, whose paths are absolute; `file` is only named in errors.
///
/// `node` is an id, or a kind, which means all nodes of that kind. `new` is the path of a program, the name of one beside the old one
/// (`recognize_rgb`), or a graph file: its node of the same id or kind, or its only one, with that node's parameters. Id and edges
/// stay. A program of a known kind keeps the parameters that it has too, any other keeps all.
///
/// # Errors
/// If there is no such node, or nothing to put there.
pub fn replace(yaml: &mut Mapping, file: &str, node: &str, new: &str) -> Result<(), GraphFault> {
    let fault = |what: String| GraphFault::new(file, node, "", what);
    let Some(Value::Sequence(nodes)) = yaml.get_mut("nodes") else { return Err(fault("the graph has no nodes".to_owned())) };
    let names: Vec<String> = nodes.iter().filter_map(|n| n.get("id").map(text_of)).collect();
    let mut found = false;
    for old in nodes.iter_mut().filter_map(Value::as_mapping_mut) {
        if old.get("id").map(text_of).as_deref() != Some(node) && kind_of(old) != node {
            continue;
        }
        found = true;
        if [".yml", ".yaml"].iter().any(|end| new.ends_with(end)) {
            take_node(old, &node_of(new, node, &kind_of(old))?);
        } else {
            take_program(old, &program(old, new).ok_or_else(|| {
                fault(format!("there is no program `{new}` to put in its place"))
                    .hint("name a program by its path, one that lies beside the old one by its name, or a graph file (`.yml`) that has such a node")
            })?);
        }
    }
    if found {
        return Ok(());
    }
    let mut missing = fault("the graph has no such node".to_owned());
    missing.hint = nearest(node, names.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
    Err(missing)
}

fn program(old: &Mapping, new: &str) -> Option<String> {
    let old = old.get("path").map(text_of).unwrap_or_default();
    let beside = (!new.contains('/')).then(|| Path::new(&old).with_file_name(new));
    let given = std::path::absolute(new).ok();
    [beside, given].into_iter().flatten().find(|p| p.is_file()).map(|p| p.display().to_string())
}

fn take_program(node: &mut Mapping, program: &str) {
    node.insert(Value::from("path"), Value::from(program));
    node.remove("args");
    let Some(contract) = contract_of(&kind_of(node)) else { return };
    if let Some(Value::Mapping(env)) = node.get_mut("env") {
        env.retain(|key, _| is_of_a_library(&text_of(key)) || contract.param(&text_of(key).to_ascii_lowercase()).is_some());
    }
}

fn is_of_a_library(key: &str) -> bool {
    ["GANTRY_", "DORA_", "RUST_", "ORT_", "LD_", "OMP_", "CUDA_", "NVIDIA_", "ZENOH_", "PARAM_"].iter().any(|p| key.starts_with(p))
}

fn node_of(file: &str, id: &str, kind: &str) -> Result<Mapping, GraphFault> {
    let graph = Graph::read(Path::new(file)).map_err(|faults| match faults.into_iter().next() {
        Some(first) => first,
        None => GraphFault::new(file, "", "", "cannot be read"),
    })?;
    let yaml = graph.standalone();
    let nodes: Vec<&Mapping> = yaml.get("nodes").and_then(Value::as_sequence).into_iter().flatten().filter_map(Value::as_mapping).collect();
    let by_id = nodes.iter().find(|n| n.get("id").map(text_of).as_deref() == Some(id));
    let by_kind = || nodes.iter().find(|n| kind_of(n) == kind);
    let only = || nodes.first().filter(|_| nodes.len() == 1);
    let found = by_id.or_else(by_kind).or_else(only).map(|n| (*n).clone());
    found.ok_or_else(|| GraphFault::new(file, "", "", format!("has no node `{id}`, none of kind `{kind}`, and more than one node")))
}

fn take_node(old: &mut Mapping, new: &Mapping) {
    old.retain(|key, _| PLACE.contains(&text_of(key).as_str()));
    for (key, value) in new {
        if !PLACE.contains(&text_of(key).as_str()) {
            old.insert(key.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Mapping {
        serde_yaml::from_str(
            "
nodes:
  - { id: vote, path: /bin/vote, inputs: { texts: recognize/texts }, outputs: [readings], env: { MIN_CONFIDENCE: 0.5, BOARDS: true, GANTRY_LOG: debug } }
  - { id: store, path: /bin/store }
",
        )
        .unwrap()
    }

    fn node(yaml: &Mapping, index: usize) -> String {
        serde_yaml::to_string(&yaml["nodes"][index]).unwrap()
    }

    #[test]
    fn a_program_takes_the_place_and_what_it_has_of_the_parameters() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("vote_by_last");
        std::fs::write(&program, "").unwrap();
        let mut yaml = graph();
        replace(&mut yaml, "g.yml", "vote", program.to_str().unwrap()).unwrap();
        let vote = node(&yaml, 0);
        assert!(vote.contains("vote_by_last") && vote.contains("recognize/texts") && vote.contains("MIN_CONFIDENCE"), "{vote}");
        let track = dir.path().join("track");
        std::fs::write(&track, "").unwrap();
        replace(&mut yaml, "g.yml", "vote", track.to_str().unwrap()).unwrap();
        let vote = node(&yaml, 0);
        assert!(vote.contains("GANTRY_LOG") && !vote.contains("BOARDS"), "`track` has no such parameter: {vote}");
    }

    #[test]
    fn a_node_of_another_graph_brings_its_parameters_and_keeps_the_edges() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other.yml");
        std::fs::write(&other, "nodes: [{ id: x, path: bin/other, args: a.py, inputs: { t: y/z }, env: { N: 3 } }]").unwrap();
        let mut yaml = graph();
        replace(&mut yaml, "g.yml", "vote", other.to_str().unwrap()).unwrap();
        let vote = node(&yaml, 0);
        assert!(vote.contains("/bin/other") && vote.contains("args: a.py") && vote.contains("N: 3"), "{vote}");
        assert!(vote.contains("id: vote") && vote.contains("recognize/texts") && !vote.contains("BOARDS"), "{vote}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let fault = replace(&mut graph(), "g.yml", "vot", "/bin/sh").unwrap_err();
        assert!(fault.to_string().contains("no such node") && fault.hint.unwrap().contains("`vote`"));
        let fault = replace(&mut graph(), "g.yml", "vote", "nowhere").unwrap_err();
        assert!(fault.to_string().contains("`nowhere`") && fault.hint.is_some());
    }
}
