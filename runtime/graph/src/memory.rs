//! Whether buffers lie where their readers read: in host memory, or on a card.

use crate::contracts::contract_of;
use crate::faults::GraphFault;
use crate::file::{Graph, NodeSpec, Origin};
use crate::pools::{has_buffers, makers};
use gantry_contract::ParamKind;

/// Parameter that says where a node's buffers lie.
const MEMORY: &str = "memory";
/// What it is for a card.
const CUDA: &str = "cuda";
/// What it is for a node without it.
const HOST: &str = "host";

/// A parameter and its value.
type Setting = (&'static str, &'static str);

/// Parameters that do not go together: kind of the node, one value, another, and what to do.
const APART: [(&str, Setting, Setting, &str); 3] = [
    ("decode", (MEMORY, CUDA), ("decoder", "software"), "set `DECODER: nvdec` or `auto`, or `MEMORY: host`"),
    ("decode", (MEMORY, HOST), ("decoder", "nvdec"), "set `MEMORY: cuda`: the pictures of NVDEC lie on the card"),
    ("detect", (MEMORY, CUDA), ("device", "cpu"), "set `DEVICE: cuda` or `tensorrt`, or `MEMORY: host`"),
];

/// Compares where `node` reads buffers with where their makers put them, and its own parameters with each other.
pub(crate) fn check(graph: &Graph, file: &str, node: &NodeSpec, faults: &mut Vec<GraphFault>) {
    let fault = |place: String, what: String| GraphFault::new(file, &node.id, place, what);
    for (kind, one, other, hint) in APART {
        let has = |(name, value): (&str, &str)| value_of(node, name).as_deref() == Some(value);
        if node.kind() == kind && has(one) && has(other) {
            let what = format!("`{}: {}` does not go with `{}: {}`", one.0.to_uppercase(), one.1, other.0.to_uppercase(), other.1);
            faults.push(fault("env".to_owned(), what).hint(hint));
        }
    }
    let (Some(contract), Some(here)) = (contract_of(node.kind()), place_of(node)) else { return };
    for input in &node.inputs {
        let Some(port) = contract.input_port(&input.id).filter(|port| has_buffers(&port.message)) else { continue };
        let Origin::Output { node: from, output } = &input.origin else { continue };
        let makers = graph.node(from).map_or_else(Vec::new, |from| makers(graph, from, output));
        for (from, there) in makers.into_iter().filter_map(|maker| Some((&maker.id, place_of(maker)?))) {
            let place = format!("input `{}`", input.id);
            if there == CUDA && here != CUDA {
                let what = format!("`{from}` puts its buffers on the card, `{}` reads host memory", node.id);
                faults.push(fault(place, what).hint(if contract.param(MEMORY).is_some() {
                    format!("set `MEMORY: cuda` at `{}`, or `MEMORY: host` at `{from}`", node.id)
                } else {
                    format!("`{}` works on the CPU alone: set `MEMORY: host` at `{from}`", node.id)
                }));
            } else if there != CUDA && here == CUDA && !port.uploads {
                let what = format!("`{from}` keeps its buffers in host memory, `{}` reads the card's", node.id);
                faults.push(fault(place, what).hint(format!("set `MEMORY: cuda` at `{from}`, or `MEMORY: host` at `{}`", node.id)));
            }
        }
    }
}

/// Where a node's buffers lie; `None` where that is known only when the graph starts, or the program is no node of ours.
fn place_of(node: &NodeSpec) -> Option<String> {
    match contract_of(node.kind())?.param(MEMORY) {
        Some(_) => value_of(node, MEMORY),
        None => Some(HOST.to_owned()),
    }
}

/// What a parameter is, by the graph or by default; `None` where only the start will tell.
fn value_of(node: &NodeSpec, name: &str) -> Option<String> {
    let own = |pairs: &[(String, String)]| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone());
    match (own(&node.env).or_else(|| own(&node.module_params)), &contract_of(node.kind())?.param(name)?.kind) {
        (Some(given), _) => (!given.starts_with('$')).then_some(given),
        (None, ParamKind::Choice { default, .. }) => Some(default.to_string()),
        (None, _) => None,
    }
}
