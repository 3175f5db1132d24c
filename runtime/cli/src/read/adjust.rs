//! The changes that a run makes to its graph.

use super::base::Base;
use super::plan::{absolute, faulty};
use super::{ReadArgs, recording};
use crate::failure::Failure;
use gantry_contract::ParamKind;
use gantry_graph::{Graph, contract_of};
use serde_yaml::{Mapping, Value};
use std::path::{Path, PathBuf};

/// Sets what this run decides: nodes that are replaced, the time window, the files, and `--set`.
pub fn adjust(base: &mut Base, args: &ReadArgs, out: &Path, evidence: &Path, tracks: Option<&Path>) -> Result<(), Failure> {
    let file = base.file.display().to_string();
    for text in &args.replace {
        let Some((node, new)) = text.split_once('=') else {
            return Err(Failure::refused(format!("`--replace {text}` is not NODE=NEW")).hint("e.g. `--replace vote=path/to/program`"));
        };
        gantry_graph::replace(&mut base.yaml, &file, node, new).map_err(|fault| faulty(&[fault]))?;
    }
    if let (Some(_), Some(Value::Mapping(env))) = (&args.whole, base.yaml.get_mut("env")) {
        // Progress and faults are read from the folder of this run.
        env.remove(gantry_node::RUN_DIR_ENV);
    }
    let live = lives(&base.yaml);
    let Some(Value::Sequence(nodes)) = base.yaml.get_mut("nodes") else { return Ok(()) };
    let mut tracker = None;
    for node in nodes.iter_mut().filter_map(Value::as_mapping_mut) {
        match kind_of(node).as_str() {
            "camera" => {
                // The node reads the password itself; files are opened without one.
                if source_of(node).contains("://") {
                    if let Some(file) = &args.access.credentials_file {
                        set(node, "CREDENTIALS_FILE", &absolute(file)?.display().to_string());
                    }
                    if let Some(name) = &args.access.credentials_env {
                        set(node, "CREDENTIALS_ENV", name);
                    }
                    if let Some(file) = &args.access.ca_file {
                        set(node, "CA_FILE", &absolute(file)?.display().to_string());
                    }
                }
                if args.start > 0.0 {
                    set(node, "START_S", &args.start.to_string());
                }
                if let Some(seconds) = args.seconds.filter(|_| !live) {
                    set(node, "SECONDS", &seconds.to_string());
                }
                if let Some(speed) = args.speed {
                    set(node, "PACE", "realtime");
                    set(node, "SPEED", &speed.to_string());
                }
            }
            "store" if !args.keeps_own_readings() => {
                set(node, "JSONL", &out.display().to_string());
                set(node, "EVIDENCE_DIR", &evidence.display().to_string());
            }
            "track" => tracker = node.get("id").and_then(Value::as_str).map(str::to_owned),
            _ => {}
        }
    }
    if let (Some(path), Some(tracker)) = (tracks, tracker) {
        for node in nodes.iter_mut().filter_map(Value::as_mapping_mut).filter(|n| kind_of(n) == "store") {
            set(node, "TRACKS", &path.display().to_string());
            let edge = Mapping::from_iter([
                (Value::from("source"), Value::from(format!("{tracker}/tracks"))),
                (Value::from("queue_size"), Value::from(256)),
                (Value::from("queue_policy"), Value::from("backpressure")),
            ]);
            if let Some(Value::Mapping(inputs)) = node.get_mut("inputs") {
                inputs.insert(Value::from("tracks"), Value::Mapping(edge));
            }
        }
    }
    if let Some(out) = &args.record {
        recording::add(nodes, &absolute(out)?, &args.results, live)?;
    }
    for text in &args.set {
        let parts = text.split_once('=').and_then(|(key, value)| key.rsplit_once('.').map(|(node, name)| (node, name, value)));
        let Some((id, name, value)) = parts else {
            return Err(Failure::refused(format!("`--set {text}` is not NODE.NAME=VALUE")).hint("e.g. `--set vote.MIN_CONFIDENCE=0.6`"));
        };
        let mut found = false;
        for node in nodes.iter_mut().filter_map(Value::as_mapping_mut) {
            let node_id = node.get("id").and_then(Value::as_str).unwrap_or_default();
            if node_id == id || kind_of(node) == id {
                let value = typed(&kind_of(node), name, value)?;
                set(node, &name.to_ascii_uppercase(), &value);
                found = true;
            }
        }
        if !found {
            return Err(Failure::refused(format!("`--set {text}`: the graph has no node `{id}`")));
        }
    }
    Ok(())
}

/// A path that is given on the command line starts where that was typed, not in the folder of the run.
fn typed(kind: &str, name: &str, value: &str) -> Result<String, Failure> {
    let param = contract_of(kind).and_then(|contract| contract.param(&name.to_ascii_lowercase()));
    let is_path = param.is_some_and(|p| matches!(p.kind, ParamKind::Path { .. }));
    if is_path && !value.is_empty() && !value.starts_with('$') {
        Ok(absolute(Path::new(value))?.display().to_string())
    } else {
        Ok(value.to_owned())
    }
}

pub fn kind_of(node: &Mapping) -> String {
    let path = node.get("path").and_then(Value::as_str).unwrap_or_default();
    Path::new(path).file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned()
}

fn source_of(node: &Mapping) -> &str {
    node.get("env").and_then(|env| env.get("SOURCE")).and_then(Value::as_str).unwrap_or_default()
}

pub fn set(node: &mut Mapping, name: &str, value: &str) {
    let env = node.entry(Value::from("env")).or_insert_with(|| Value::Mapping(Mapping::new()));
    if let Value::Mapping(env) = env {
        env.insert(Value::from(name), Value::from(value));
    }
}

/// Whether the whole graph runs in live mode.
pub fn is_live(graph: &Graph) -> bool {
    graph.env.iter().any(|(name, mode)| name == gantry_node::MODE_ENV && mode == "live")
}

fn lives(yaml: &Mapping) -> bool {
    yaml.get("env").and_then(|env| env.get(gantry_node::MODE_ENV)).and_then(Value::as_str) == Some("live")
}

/// Where the graph itself says that its readings go.
pub fn own_readings(yaml: &Mapping) -> Option<PathBuf> {
    let nodes = yaml.get("nodes").and_then(Value::as_sequence)?;
    let store = nodes.iter().filter_map(Value::as_mapping).find(|n| kind_of(n) == "store")?;
    let env = store.get("env")?;
    let writes = env.get("FORMAT").and_then(Value::as_str).is_none_or(|format| format.contains("jsonl"));
    env.get("JSONL").and_then(Value::as_str).filter(|_| writes).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_set_starts_where_the_command_was_typed() {
        let here = std::env::current_dir().unwrap().join("new.onnx").display().to_string();
        assert_eq!(typed("recognize", "model", "new.onnx").unwrap(), here);
        assert_eq!(typed("recognize", "MODEL", "/models/new.onnx").unwrap(), "/models/new.onnx");
        assert_eq!(typed("vote", "RULE", "best_frame").unwrap(), "best_frame");
        assert_eq!(typed("enhance", "OPERATORS", "").unwrap(), "");
    }
}
