//! `graphs/sites/camera.sh` adds the nodes of `live_camera.module.yml` to a running site: dora takes no module then, so that they stand there again.

use gantry_repository_tests::root;
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// Node `NAME.kind`, as the script writes it, in the words of the module.
fn in_the_script(script: &str, kind: &str) -> Value {
    let begin = format!("add \"$name.{kind}\" <<YAML\n");
    let (_, rest) = script.split_once(&begin).unwrap_or_else(|| panic!("camera.sh adds no {kind}"));
    let (yaml, _) = rest.split_once("\nYAML\n").expect("its definition ends");
    let yaml = yaml.replace("$common, ", "").replace("$common", "").replace("\"$source\"$credentials", "source").replace("$name.", "");
    let mut node: Value = serde_yaml::from_str(&yaml).unwrap_or_else(|e| panic!("{kind}: {e}\n{yaml}"));
    let env = node["env"].as_mapping_mut().expect("its variables");
    // What the module does not have: the camera's parameters, and the readers that dora tells of only before the start.
    for given in ["NAME", "SOURCE", "GANTRY_READERS"] {
        env.remove(given);
    }
    node
}

fn in_the_module(module: &Value, kind: &str) -> Value {
    let nodes = module["nodes"].as_sequence().expect("a module has nodes");
    let mut node = nodes.iter().find(|node| node["id"] == *kind).unwrap_or_else(|| panic!("the module has no {kind}")).clone();
    let program = node["path"].as_str().and_then(|path| path.strip_prefix("../")).expect("programs lie beside the modules").to_owned();
    node["path"] = program.into();
    if node.get("env").is_none() {
        node["env"] = Mapping::new().into();
    }
    node
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn a_camera_that_is_added_has_the_nodes_of_the_module() {
    let sites = root().join("graphs/sites");
    let script = read(&sites.join("camera.sh"));
    let module: Value = serde_yaml::from_str(&read(&sites.join("modules/live_camera.module.yml"))).expect("the module is YAML");
    let kinds: Vec<&str> = module["nodes"].as_sequence().expect("nodes").iter().filter_map(|node| node["id"].as_str()).collect();
    assert_eq!(kinds.len(), script.matches("<<YAML").count());
    for kind in kinds {
        assert_eq!(in_the_script(&script, kind), in_the_module(&module, kind), "{kind}");
    }
}
