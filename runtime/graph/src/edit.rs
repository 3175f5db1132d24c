//! Small changes to a node in YAML.

use crate::file::text_of;
use gantry_contract::ParamKind;
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// dora's prefix for the `params` of a module in the `env` of its nodes, once modules are expanded.
pub(crate) const MODULE_PARAMETER: &str = "PARAM_";

/// Node kind: the file name of the program.
pub(crate) fn kind_of(node: &Mapping) -> String {
    let path = node.get("path").map(text_of).unwrap_or_default();
    Path::new(&path).file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned()
}

/// Sets a parameter of a node in YAML.
pub(crate) fn set_env(node: &mut Mapping, key: &str, value: &str) {
    let env = node.entry(Value::from("env")).or_insert_with(|| Value::Mapping(Mapping::new()));
    if let Value::Mapping(env) = env {
        env.insert(Value::from(key), Value::from(value));
    }
}

/// Makes the node's program and its parameters that name files absolute, from the folder of the graph.
pub(crate) fn absolute_paths(node: &mut Mapping, folder: &Path) {
    let kind = kind_of(node);
    let absolute = |value: &mut Value| {
        let text = text_of(value);
        if !text.is_empty() && !text.starts_with('$') && !text.contains("://") {
            *value = Value::from(folder.join(text).display().to_string());
        }
    };
    if let Some(path) = node.get_mut("path") {
        absolute(path);
    }
    let Some(contract) = crate::contract_of(&kind) else { return absolute_files(node, folder) };
    if let Some(Value::Mapping(env)) = node.get_mut("env") {
        for (key, value) in env.iter_mut() {
            let name = text_of(key);
            let name = name.strip_prefix(MODULE_PARAMETER).unwrap_or(&name).to_ascii_lowercase();
            let is_path = contract.param(&name).is_some_and(|p| matches!(p.kind, ParamKind::Path { .. }));
            // A camera's source is a file or an address.
            if is_path || (kind == "camera" && name == "source") {
                absolute(value);
            }
        }
    }
}

/// Writes parameters that name files by default into `env`: defaults too are relative to the graph's folder.
pub(crate) fn name_default_paths(node: &mut Mapping) {
    for param in crate::contract_of(&kind_of(node)).iter().flat_map(|c| c.params.iter()) {
        let ParamKind::Path { default: Some(default), .. } = &param.kind else { continue };
        let given = |name: String| node.get("env").is_some_and(|env| env.get(name).is_some());
        if !given(param.env_name()) && !given(format!("{MODULE_PARAMETER}{}", param.env_name())) {
            set_env(node, &param.env_name(), default);
        }
    }
}

/// A program that is not ours: what its arguments and its `env` say is a path if it begins with a dot or there is a file or folder of that name.
fn absolute_files(node: &mut Mapping, folder: &Path) {
    let is_path = |text: &str| text.starts_with("./") || text.starts_with("../") || (!text.is_empty() && folder.join(text).exists());
    let absolute = |text: &str| is_path(text).then(|| folder.join(text).display().to_string());
    if let Some(Value::String(args)) = node.get_mut("args") {
        let words: Vec<String> = args.split(' ').map(|word| absolute(word).unwrap_or_else(|| word.to_owned())).collect();
        *args = words.join(" ");
    }
    if let Some(Value::Mapping(env)) = node.get_mut("env") {
        for (_, value) in env.iter_mut() {
            if let Some(path) = absolute(&text_of(value)) {
                *value = Value::from(path);
            }
        }
    }
}
