//! Checks that every node's tests call.

use crate::Stage;
use gantry_contract::{ParamKind, ParamSet, json, page};
use std::path::Path;

/// Asserts that `S::Params` fits its contract and that the generated files are up to date: `contract.json` beside the
/// crate and `docs/nodes/<name>.md`. With `GANTRY_REGENERATE=1` it writes them instead.
///
/// `crate_dir`: `env!("CARGO_MANIFEST_DIR")` of the node.
///
/// # Panics
/// If something does not fit; the message names the command that updates the files.
pub fn check_contract<S: Stage>(crate_dir: &str) {
    let contract = S::CONTRACT;
    let crate_dir = Path::new(crate_dir);
    let mut env = Vec::new();
    for p in contract.params.iter() {
        if matches!(&p.kind, ParamKind::Text { required: true, .. } | ParamKind::Path { required: true, .. }) {
            env.push((p.env_name(), "x".to_owned()));
        }
    }
    let set = ParamSet::from_env(&contract, env.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        .unwrap_or_else(|e| panic!("defaults are refused: {e:?}"));
    if let Err(e) = set.to::<S::Params>() {
        panic!("`Params` of node `{}` does not fit its contract: {e}", contract.name);
    }
    let source = std::fs::read_to_string(crate_dir.join("src/lib.rs")).unwrap_or_default();
    // One space after `//!` belongs to the comment, further ones to its text: YAML lives by them.
    let line = |l: &str| l.strip_prefix("//! ").or_else(|| l.strip_prefix("//!")).map(|text| format!("{text}\n"));
    let about: String = source.lines().map_while(line).collect();
    let root = crate_dir.ancestors().find(|d| d.join("Cargo.lock").is_file()).unwrap_or(crate_dir);
    generated(&crate_dir.join("contract.json"), &json(&contract));
    generated(&root.join("docs/nodes").join(format!("{}.md", contract.name)), &page(&contract, &about));
}

/// Asserts that a generated file holds `wanted`, or writes it with `GANTRY_REGENERATE=1`.
///
/// # Panics
/// If the file differs.
pub fn generated(path: &Path, wanted: &str) {
    if std::env::var_os("GANTRY_REGENERATE").is_some() {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        }
        std::fs::write(path, wanted).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        return;
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == wanted, "{} is not what the contract says; run `cargo xtask generate` and commit the result", path.display());
}
