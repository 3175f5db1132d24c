//! What a recording says about the run that it comes from.

use gantry_contract::ParamKind;
use gantry_frames::Mode;
use gantry_graph::contract_of;
use gantry_media::redact;
use gantry_node::{Context, Fault};
use gantry_recording::About;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Graph without passwords, digests of the files that its parameters name.
///
/// # Errors
/// If a model cannot be read: its node will not start either.
pub fn about(context: &Context) -> Result<About, Fault> {
    let mut graph = context.graph.as_ref().clone();
    redact_all(&mut graph);
    let mode = if context.mode == Mode::Live { "live" } else { "lossless" };
    let mut about = About::default()
        .with(About::RUN, &context.run_id)
        .with(About::MODE, mode)
        .with(About::VERSION, env!("CARGO_PKG_VERSION"))
        .with(About::GRAPH, serde_yaml::to_string(&graph)?);
    for node in context.graph["nodes"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, program) = (text(&node["id"]), text(&node["path"]));
        let kind = Path::new(&program).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for param in contract_of(&kind).iter().flat_map(|c| c.params.iter()) {
            let ParamKind::Path { default, must_exist: true, .. } = &param.kind else { continue };
            let named = node["env"][param.env_name()].as_str().map(str::to_owned);
            let Some(file) = named.or_else(|| default.as_ref().map(ToString::to_string)) else { continue };
            let sum = digest(Path::new(&file)).map_err(|e| Fault::from(e).context(format!("`{id}.{}`: {file}", param.env_name())))?;
            about = about.with_digest(&id, &param.env_name(), &sum);
        }
    }
    Ok(about)
}

/// Takes passwords out of every address.
fn redact_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = redact(text),
        Value::Array(items) => items.iter_mut().for_each(redact_all),
        Value::Object(map) => map.values_mut().for_each(redact_all),
        _ => {}
    }
}

/// SHA-256 in hex, as `sha256sum` prints it.
fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()),
            n => hasher.update(&block[..n]),
        }
    }
}
