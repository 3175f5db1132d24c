//! The graph of a recorded run, made ready to run once more on the recording.

use crate::edit::{MODULE_PARAMETER, kind_of, set_env};
use crate::file::{origin_of, text_of};
use crate::{Graph, Origin, contract_of, goes_downstream};
use gantry_contract::ParamKind;
use serde_yaml::{Mapping, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where programs and files lie now.
pub struct Here<'a> {
    /// The program of a kind of node, in this build.
    pub program: &'a dyn Fn(&str) -> Option<PathBuf>,
    /// The file that the graph named so: it, or its like where this runs.
    pub file: &'a dyn Fn(&Path) -> Option<PathBuf>,
}

/// What a node keeps: rules for restarts are for sites.
const KEYS: [&str; 6] = ["id", "path", "args", "inputs", "outputs", "env"];
/// Of the whole graph: where the run that was recorded put its statistics and sockets.
const PLACES: [&str; 2] = ["GANTRY_RUN_DIR", "GANTRY_RUNTIME_DIR"];
/// As in graphs/read.yml.
const QUEUE: u64 = 256;

/// The graph with `cameras` coming out of `recording`, in lossless mode.
///
/// Cameras that are not wanted go, and with them the nodes that only they fed. Nodes without outputs down the stream go too, other than `store`: they told
/// somebody of the readings, and a replay must not tell them again. `store` writes nothing but the readings that this run asks for.
///
/// # Errors
/// Why the graph cannot run here, in words: a camera or a program or a file is missing.
pub fn for_replay(recorded: &Graph, recording: &Path, cameras: &[String], here: &Here<'_>) -> Result<Mapping, String> {
    let mut nodes: Vec<Mapping> = Vec::new();
    let mut missing: BTreeSet<&str> = cameras.iter().map(String::as_str).collect();
    let all = recorded.yaml.get("nodes").and_then(Value::as_sequence);
    for node in all.into_iter().flatten().filter_map(Value::as_mapping) {
        let mut node = node.clone();
        let kind = kind_of(&node);
        match kind.as_str() {
            "camera" => {
                let name = camera_name(&node);
                if !missing.remove(name.as_str()) {
                    continue;
                }
                node.insert(Value::from("env"), Value::Mapping(Mapping::new()));
                set_env(&mut node, "SOURCE", &recording.display().to_string());
                set_env(&mut node, "NAME", &name);
            }
            "store" => {
                node.remove("env");
            }
            _ if !sends_downstream(&node, &kind) => continue,
            _ => {}
        }
        drop_feedback(&mut node, &kind);
        node.retain(|key, value| KEYS.contains(&text_of(key).as_str()) && !value.is_null());
        nodes.push(node);
    }
    if let Some(name) = missing.first() {
        return Err(format!("it has no camera `{name}`"));
    }
    if !nodes.iter().any(|n| kind_of(n) == "store") {
        return Err("it has no `store` node, so that there would be no readings".to_owned());
    }
    drop_starved(&mut nodes);
    for node in &mut nodes {
        settle(node, here)?;
    }
    let mut env = recorded.yaml.get("env").and_then(Value::as_mapping).cloned().unwrap_or_default();
    env.retain(|key, _| !PLACES.contains(&text_of(key).as_str()));
    env.insert(Value::from("GANTRY_MODE"), Value::from("lossless"));
    let nodes = nodes.into_iter().map(Value::Mapping).collect();
    Ok(Mapping::from_iter([(Value::from("env"), Value::Mapping(env)), (Value::from("nodes"), Value::Sequence(nodes))]))
}

/// `NAME`, in a module or not, else the node's id.
fn camera_name(node: &Mapping) -> String {
    let env = |name: String| node.get("env")?.get(name).map(text_of);
    env("NAME".to_owned())
        .or_else(|| env(format!("{MODULE_PARAMETER}NAME")))
        .unwrap_or_else(|| node.get("id").map(text_of).unwrap_or_default())
}

/// Whether a node has outputs that go down the stream.
fn sends_downstream(node: &Mapping, kind: &str) -> bool {
    node.get("outputs")
        .and_then(Value::as_sequence)
        .is_some_and(|outputs| outputs.iter().any(|output| goes_downstream(kind, &text_of(output))))
}

/// Takes out edges from further down: in a lossless run they would make it differ from run to run.
fn drop_feedback(node: &mut Mapping, kind: &str) {
    let Some(contract) = contract_of(kind) else { return };
    if let Some(inputs) = node.get_mut("inputs").and_then(Value::as_mapping_mut) {
        inputs.retain(|input, _| !contract.input_port(&text_of(input)).is_some_and(|port| port.feedback));
    }
}

/// Takes out edges from nodes that are gone, and nodes that nothing feeds any more.
fn drop_starved(nodes: &mut Vec<Mapping>) {
    loop {
        let ids: BTreeSet<String> = nodes.iter().filter_map(|n| n.get("id").map(text_of)).collect();
        let is_there = |value: &Value| match origin(value) {
            Origin::Output { node, .. } => ids.contains(&node),
            _ => true,
        };
        let before = nodes.len();
        nodes.retain_mut(|node| {
            let Some(Value::Mapping(inputs)) = node.get_mut("inputs") else { return true };
            let fed = |inputs: &Mapping| inputs.values().any(|v| matches!(origin(v), Origin::Output { .. }));
            let was_fed = fed(inputs);
            inputs.retain(|_, value| is_there(value));
            !was_fed || fed(inputs)
        });
        if nodes.len() == before {
            return;
        }
    }
}

fn origin(input: &Value) -> Origin {
    origin_of(&text_of(input.get("source").unwrap_or(input)))
}

/// Programs, files and queues of one node.
fn settle(node: &mut Mapping, here: &Here<'_>) -> Result<(), String> {
    let (id, kind, path) =
        (node.get("id").map(text_of).unwrap_or_default(), kind_of(node), node.get("path").map(text_of).unwrap_or_default());
    let contract = contract_of(&kind);
    // All programs from one build: what they pass each other has no versions below that.
    let program = if contract.is_some() { (here.program)(&kind) } else { (here.file)(Path::new(&path)) };
    let program = program.ok_or_else(|| format!("the program `{path}` of node `{id}` is not here"))?;
    node.insert(Value::from("path"), Value::from(program.display().to_string()));
    if let (Some(contract), Some(Value::Mapping(env))) = (contract, node.get_mut("env")) {
        let param = |key: &Value| contract.param(&text_of(key).trim_start_matches(MODULE_PARAMETER).to_ascii_lowercase());
        // Files that the recorded run wrote (the state of a site) are not this run's to write.
        let is_written = |key: &Value| param(key).is_some_and(|p| matches!(p.kind, ParamKind::Path { must_exist: false, .. }));
        env.retain(|key, _| !text_of(key).starts_with("GANTRY_MODE") && !is_written(key));
        for (key, value) in env.iter_mut() {
            let name = text_of(key);
            if param(key).is_some_and(|p| matches!(p.kind, ParamKind::Path { must_exist: true, .. })) {
                let named = text_of(value);
                let file = (here.file)(Path::new(&named)).ok_or_else(|| format!("the file `{named}` of `{id}.{name}` is not here"))?;
                *value = Value::from(file.display().to_string());
            }
        }
    }
    for value in node.get_mut("inputs").and_then(Value::as_mapping_mut).into_iter().flat_map(|m| m.values_mut()) {
        if let Origin::Output { node, output } = origin(value) {
            let queue = value.get("queue_size").and_then(Value::as_u64).unwrap_or(0).max(QUEUE);
            *value = Value::Mapping(Mapping::from_iter([
                (Value::from("source"), Value::from(format!("{node}/{output}"))),
                (Value::from("queue_size"), Value::from(queue)),
                (Value::from("queue_policy"), Value::from("backpressure")),
            ]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "
env: { GANTRY_MODE: live, GANTRY_RUN_DIR: out }
nodes:
  - { id: a.camera, path: bin/camera, inputs: { tick: dora/timer/secs/1, credit: a.decode/credit }, outputs: [packets], env: { PARAM_SOURCE: 'rtsp://h/a', PARAM_NAME: a, WINDOW_PACKETS: 32 } }
  - { id: a.decode, path: bin/decode, inputs: { packets: a.camera/packets }, outputs: [frames, credit], env: { PARAM_NAME: a } }
  - { id: b, path: bin/camera, inputs: { credit: b_decode/credit }, outputs: [packets], env: { SOURCE: 'rtsp://h/b' } }
  - { id: b_decode, path: bin/decode, inputs: { packets: b/packets }, outputs: [frames, credit] }
  - { id: recognize, path: bin/recognize, restart_policy: on-failure, name: null, inputs: { x: { source: a.decode/frames, queue_size: 8 }, y: b_decode/frames }, outputs: [texts], env: { MODEL: m.onnx } }
  - { id: crop, path: bin/crop, inputs: { frames: a.decode/frames, decided: vote/decided, wanted: page/wanted }, outputs: [crops, views] }
  - { id: vote, path: bin/vote, inputs: { texts: crop/crops }, outputs: [readings, decided] }
  - { id: store, path: bin/store, inputs: { readings: recognize/texts }, env: { SQLITE: site.sqlite } }
  - { id: visits, path: bin/visits, inputs: { readings: recognize/texts }, outputs: [visits], env: { STATE: /site/state } }
  - { id: page, path: bin/preview, inputs: { views: crop/views }, outputs: [wanted] }
  - { id: mqtt, path: bin/mqtt_sink, inputs: { readings: recognize/texts } }
  - { id: record, path: bin/record, inputs: { packets_a: a.camera/packets } }
";

    fn replayed(cameras: &[&str], file: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Graph, String> {
        let recorded = Graph::parse(SITE, Path::new("site.yml"), PathBuf::from("/")).unwrap();
        let here = Here { program: &|kind| Some(Path::new("/new").join(kind)), file };
        let cameras: Vec<String> = cameras.iter().map(ToString::to_string).collect();
        let yaml = for_replay(&recorded, Path::new("/run.mcap"), &cameras, &here)?;
        Ok(Graph::parse(&serde_yaml::to_string(&yaml).unwrap(), Path::new("replay.yml"), PathBuf::from("/")).unwrap())
    }

    #[test]
    fn cameras_come_out_of_the_recording_and_nobody_outside_is_told() {
        let graph = replayed(&["a"], &|file| Some(Path::new("/models").join(file))).unwrap();
        let ids: Vec<&str> = graph.nodes.iter().map(|n| n.id.as_str()).collect();
        assert_eq!(ids, ["a.camera", "a.decode", "recognize", "crop", "vote", "store", "visits"]);
        assert_eq!(graph.node("crop").unwrap().inputs.len(), 1, "what `vote` and the page tell `crop` is for live sites");
        assert!(graph.node("visits").unwrap().env.is_empty(), "the state of the site stays as it is");
        assert_eq!(graph.env, [("GANTRY_MODE".to_owned(), "lossless".to_owned())]);
        assert_eq!(graph.node("a.camera").unwrap().env, [("SOURCE".into(), "/run.mcap".into()), ("NAME".into(), "a".into())]);
        let recognize = graph.node("recognize").unwrap();
        assert_eq!((recognize.path.as_deref(), recognize.inputs.len()), (Some("/new/recognize"), 1));
        assert_eq!((recognize.inputs[0].queue_size, recognize.inputs[0].queue_policy.as_deref()), (Some(256), Some("backpressure")));
        assert_eq!(recognize.env, [("MODEL".into(), "/models/m.onnx".into())]);
        assert!(!recognize.keys.contains(&"restart_policy".to_owned()) && graph.node("store").unwrap().env.is_empty());
        assert_eq!(replayed(&["b", "a"], &|f| Some(f.to_owned())).unwrap().nodes.len(), 9);
        let of_b = replayed(&["b"], &|f| Some(f.to_owned())).unwrap();
        assert!(of_b.node("crop").is_none() && of_b.node("vote").is_none(), "nothing feeds them but one another");
    }

    #[test]
    fn what_keeps_it_from_running_is_said() {
        assert!(replayed(&["c"], &|f| Some(f.to_owned())).unwrap_err().contains("no camera `c`"));
        assert!(replayed(&["a"], &|_| None).unwrap_err().contains("`m.onnx` of `recognize.MODEL`"));
    }
}
