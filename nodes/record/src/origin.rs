//! What a recording says about the run that it comes from.

use gantry_frames::Mode;
use gantry_graph::{Graph, files};
use gantry_media::redact;
use gantry_node::{Context, Fault};
use gantry_recording::{About, digest};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Graph without passwords, digests of the files that its parameters name.
///
/// # Errors
/// If a model cannot be read: its node will not start either.
pub fn about(context: &Context) -> Result<About, Fault> {
    let mut graph = context.graph.as_ref().clone();
    redact_all(&mut graph);
    let mode = if context.mode == Mode::Live { "live" } else { "lossless" };
    // dora starts nodes in the folder of the graph.
    let folder = std::env::current_dir().unwrap_or_default();
    let text = serde_yaml::to_string(&graph)?;
    let mut about = About::default()
        .with(About::RUN, &context.run_id)
        .with(About::MODE, mode)
        .with(About::VERSION, env!("CARGO_PKG_VERSION"))
        .with(About::FOLDER, folder.display().to_string())
        .with(About::GRAPH, &text);
    let graph = Graph::parse(&text, Path::new("graph"), PathBuf::from("."));
    for (node, name, path) in graph.map(|g| files(&g)).unwrap_or_default().iter().filter(|(_, _, path)| !path.starts_with('$')) {
        let sum = digest(Path::new(path)).map_err(|e| Fault::from(e).context(format!("`{node}.{name}`: {path}")))?;
        about = about.with_digest(node, name, &sum);
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
