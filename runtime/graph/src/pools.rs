//! Whether the pools of buffers are large enough for the mode and for the queues behind them.

use crate::contracts::contract_of;
use crate::faults::GraphFault;
use crate::file::{Graph, NodeSpec, Origin};
use gantry_contract::{Contract, PASSED_ON, ParamKind, Port};
use gantry_frames::{ConsumerSpec, Mode, NODE_MAX_HELD, PoolConfig};

/// Message types whose rows name buffers.
const WITH_BUFFERS: [&str; 2] = ["frames/v1", "crops/v1"];
/// Parameter with the slots of a node's pool; 0 lets the node compute them.
const SLOTS: &str = "pool_slots";
/// dora's own queue size.
const DORA_QUEUE: u64 = 10;

/// Whether messages of this type name buffers.
pub(crate) fn has_buffers(message: &str) -> bool {
    WITH_BUFFERS.contains(&message)
}

/// Whether messages of this type are pictures, by handle or in full: in a live graph an old one in a queue is a late one.
pub(crate) fn has_pictures(message: &str) -> bool {
    has_buffers(message) || message == "pixels/v1"
}

/// The mode that `node` runs in, as the graph names it.
pub(crate) fn mode<'a>(graph: &'a Graph, node: &'a NodeSpec) -> &'a str {
    node.env.iter().chain(&graph.env).find(|(name, _)| name == "GANTRY_MODE").map_or("lossless", |(_, mode)| mode)
}

/// Whether `node` runs in live mode.
pub(crate) fn is_live(graph: &Graph, node: &NodeSpec) -> bool {
    mode(graph, node) == "live"
}

/// A pool of buffers that the graph makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Node that makes it.
    pub node: String,
    /// Output that it is for.
    pub output: String,
    /// Slots that the graph asks for, or the node's own number; `None` where the node computes it.
    pub slots: Option<u32>,
    /// Fewest slots that its mode and readers need, without what the producer itself holds.
    pub fewest: u32,
}

/// The pools of all nodes that this project knows, in the order of the graph.
#[must_use]
pub fn pool_sizes(graph: &Graph) -> Vec<PoolSize> {
    let mut found = Vec::new();
    for node in &graph.nodes {
        let Some(contract) = contract_of(node.kind()) else { continue };
        let mode = if is_live(graph, node) { Mode::Live } else { Mode::Lossless };
        for output in pools_of(contract).filter(|o| node.outputs.iter().any(|own| *own == o.name)) {
            let fewest = PoolConfig::min_slots(mode, &consumers(graph, node, &output.name), 0);
            let slots = slots(node, contract).filter(|slots| *slots > 0);
            found.push(PoolSize { node: node.id.clone(), output: output.name.to_string(), slots, fewest });
        }
    }
    found
}

/// Compares each pool whose size is known before the start with what its mode needs.
pub(crate) fn check(graph: &Graph, file: &str, node: &NodeSpec, faults: &mut Vec<GraphFault>) {
    let Some(contract) = contract_of(node.kind()) else { return };
    let Some(slots) = slots(node, contract).filter(|slots| *slots > 0) else { return };
    let is_live = is_live(graph, node);
    let mode = if is_live { Mode::Live } else { Mode::Lossless };
    for output in pools_of(contract) {
        let consumers = consumers(graph, node, &output.name);
        let needed = PoolConfig::min_slots(mode, &consumers, 0);
        if slots >= needed {
            continue;
        }
        let (name, queue) = (&output.name, consumers.iter().map(|c| c.queue_size).max().unwrap_or(0));
        let what = format!(
            "{slots} slots are too few, {needed} are needed for {} reader{} with queues of {queue}",
            consumers.len(),
            if consumers.len() == 1 { "" } else { "s" }
        );
        let fault = GraphFault::new(file, &node.id, format!("output `{name}`"), what);
        let shorter = queue.saturating_sub(needed - slots);
        faults.push(fault.hint(if is_live && shorter >= 4 {
            format!("set `queue_size: {shorter}` or less at its readers, or `POOL_SLOTS: {needed}`; an old frame in a queue is a late one")
        } else {
            format!("set `POOL_SLOTS: {needed}`")
        }));
    }
}

/// Frames are passed on while somebody asks for them: who reads them must have a way to ask.
pub(crate) fn check_passed_on(graph: &Graph, file: &str, node: &NodeSpec, faults: &mut Vec<GraphFault>) {
    let Some(asked) = contract_of(node.kind()).and_then(|c| c.inputs.iter().find(|port| port.message == "wanted/v1")) else { return };
    let mut readers = Vec::new();
    add_readers(graph, &node.id, PASSED_ON, &mut readers);
    let is_asked = node.inputs.iter().any(|input| contract_of(node.kind()).and_then(|c| c.input_port(&input.id)) == Some(asked));
    if let Some(reader) = readers.first().filter(|_| !is_asked) {
        let what = format!("`{}` reads it, and nothing is sent there before it is asked for", reader.name);
        let fault = GraphFault::new(file, &node.id, format!("output `{PASSED_ON}`"), what);
        faults.push(fault.hint(format!(
            "add `{0}: {{ source: {1}/{0}, queue_size: 256, queue_policy: backpressure }}` to the inputs of `{2}`, and `outputs: [{0}]` to `{1}`; a lossless graph reads `frames` of `decode`",
            asked.name, reader.name, node.id
        )));
    }
}

fn slots(node: &NodeSpec, contract: &Contract) -> Option<u32> {
    let param = contract.param(SLOTS)?;
    match (node.given(SLOTS), &param.kind) {
        (Some(given), _) => given.parse().ok(),
        (None, ParamKind::Int { default, .. }) => u32::try_from(*default).ok(),
        (None, _) => None,
    }
}

/// Outputs that a pool is made for: all with buffers, but for that which passes on those of others.
fn pools_of(contract: &Contract) -> impl Iterator<Item = &Port> {
    contract.outputs.iter().filter(|output| has_buffers(&output.message) && !output.passed_on)
}

/// The nodes that make the buffers which `output` of `node` names.
pub(crate) fn makers<'a>(graph: &'a Graph, node: &'a NodeSpec, output: &str) -> Vec<&'a NodeSpec> {
    if output != PASSED_ON {
        return vec![node];
    }
    let Some(contract) = contract_of(node.kind()) else { return Vec::new() };
    let frames = node.inputs.iter().filter(|input| contract.input_port(&input.id).is_some_and(|port| port.name == "frames"));
    let made = frames.filter_map(|input| match &input.origin {
        Origin::Output { node, .. } => graph.node(node),
        _ => None,
    });
    made.collect()
}

/// The nodes that read an output, each once; live, also those to which its readers pass it on.
fn consumers(graph: &Graph, node: &NodeSpec, output: &str) -> Vec<ConsumerSpec> {
    let mut found = Vec::new();
    add_readers(graph, &node.id, output, &mut found);
    if is_live(graph, node) {
        for reader in found.clone() {
            add_readers(graph, &reader.name, PASSED_ON, &mut found);
        }
    }
    found
}

fn add_readers(graph: &Graph, id: &str, output: &str, found: &mut Vec<ConsumerSpec>) {
    for reader in &graph.nodes {
        let reads = |origin: &Origin| matches!(origin, Origin::Output { node, output: port } if node == id && port == output);
        if let Some(input) = reader.inputs.iter().find(|i| reads(&i.origin))
            && found.iter().all(|known| known.name != reader.id)
        {
            let queue_size = u32::try_from(input.queue_size.unwrap_or(DORA_QUEUE)).unwrap_or(u32::MAX);
            found.push(ConsumerSpec { name: reader.id.clone(), max_held: NODE_MAX_HELD, queue_size });
        }
    }
}
