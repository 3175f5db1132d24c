//! dora's modules, expanded as `dora expand` does it: nodes of module `gate` become `gate.camera`, ...

use crate::faults::GraphFault;
use crate::file::{NodeSpec, Origin, machine, node_spec, pairs, text_of};
use serde_yaml::{Mapping, Value};
use std::path::{Component, Path, PathBuf};

/// Adds the nodes of the module that `entry` names.
pub(crate) fn expand(file: &str, folder: &Path, entry: &Mapping, nodes: &mut Vec<NodeSpec>, faults: &mut Vec<GraphFault>) {
    let id = entry.get("id").map(text_of).unwrap_or_default();
    let module = entry.get("module").map(text_of).unwrap_or_default();
    let path = folder.join(&module);
    let fault = |what: String| GraphFault::new(file, &id, format!("module `{module}`"), what);
    let yaml: Value = match std::fs::read_to_string(&path)
        .map_err(|e| e.to_string())
        .and_then(|t| serde_yaml::from_str(&t).map_err(|e| e.to_string()))
    {
        Ok(yaml) => yaml,
        Err(e) => return faults.push(fault(format!("cannot be read: {e}")).hint("paths of modules start at the folder of the graph file")),
    };
    let Some(Value::Sequence(items)) = yaml.get("nodes") else { return faults.push(fault("has no list `nodes`".to_owned())) };
    let outer = match entry.get("inputs") {
        Some(Value::Mapping(m)) => m.clone(),
        _ => Mapping::new(),
    };
    let module_folder = Path::new(&module).parent().unwrap_or(Path::new("")).to_owned();
    for (index, item) in items.iter().enumerate() {
        let Value::Mapping(m) = item else { continue };
        let mut node = node_spec(m, index);
        node.id = format!("{id}.{}", node.id);
        node.path = node.path.map(|p| normal(&module_folder.join(p)).display().to_string());
        node.module_params = pairs(entry.get("params"));
        node.machine = node.machine.or_else(|| machine(entry));
        for input in &mut node.inputs {
            if let Origin::Output { node: from, output } = &mut input.origin {
                if from == "_mod" {
                    let source = outer.get(output.as_str()).map(|v| text_of(v.get("source").unwrap_or(v))).unwrap_or_default();
                    input.origin = crate::file::origin_of(&source);
                } else {
                    *from = format!("{id}.{from}");
                }
            }
        }
        nodes.push(node);
    }
}

/// Turns `gate/frames` into `gate.decode/frames`, where `gate` is a module and `decode` its node with that output.
pub(crate) fn resolve_outputs(items: &[Value], nodes: &mut [NodeSpec]) {
    let modules: Vec<String> = items.iter().filter(|i| i.get("module").is_some()).filter_map(|i| i.get("id").map(text_of)).collect();
    let owners: Vec<(String, Vec<String>)> = nodes.iter().map(|n| (n.id.clone(), n.outputs.clone())).collect();
    for input in nodes.iter_mut().flat_map(|n| n.inputs.iter_mut()) {
        if let Origin::Output { node, output } = &mut input.origin
            && modules.contains(node)
        {
            let prefix = format!("{node}.");
            if let Some((owner, _)) = owners.iter().find(|(id, outputs)| id.starts_with(&prefix) && outputs.contains(output)) {
                node.clone_from(owner);
            }
        }
    }
}

/// `modules/../bin/x` as `bin/x`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
