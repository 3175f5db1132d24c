//! The files that a graph's results depend on.

use crate::{Graph, contract_of};
use gantry_contract::ParamKind;

/// Models, tables and other files that parameters of `graph` name, as `(node, parameter, path)`; a relative path starts at the
/// folder of the graph. Files of passwords are none of them, and defaults count where the graph names nothing.
pub fn files(graph: &Graph) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for node in &graph.nodes {
        for param in contract_of(node.kind()).iter().flat_map(|c| c.params.iter()) {
            let ParamKind::Path { default, must_exist: true, .. } = &param.kind else { continue };
            if param.name.starts_with("credentials") {
                continue;
            }
            let pairs = || node.env.iter().chain(&node.module_params);
            let named = pairs().find(|(name, _)| name.eq_ignore_ascii_case(&param.name)).map(|(_, path)| path.clone());
            if let Some(path) = named.or_else(|| default.as_ref().map(ToString::to_string)) {
                found.push((node.id.clone(), param.env_name(), path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    #[test]
    fn models_are_named_and_passwords_are_not() {
        let text = "
nodes:
  - { id: gate.camera, path: bin/camera, env: { PARAM_SOURCE: 'rtsp://host/a', PARAM_CREDENTIALS_FILE: secret } }
  - { id: recognize, path: bin/recognize, env: { MODEL: m.onnx } }
";
        let graph = Graph::parse(text, Path::new("g.yml"), PathBuf::from("/")).unwrap();
        assert_eq!(files(&graph), [("recognize".to_owned(), "MODEL".to_owned(), "m.onnx".to_owned())]);
    }
}
