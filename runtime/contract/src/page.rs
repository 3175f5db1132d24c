//! The page and the JSON that are generated from a contract.

use crate::{Arity, Contract, Param, ParamKind};
use std::fmt::Write;

/// The contract as JSON, pretty-printed, with a final newline: `nodes/<name>/contract.json`.
pub fn json(contract: &Contract) -> String {
    let mut text = serde_json::to_string_pretty(contract).unwrap_or_default();
    text.push('\n');
    text
}

/// The page `docs/nodes/<name>.md`; `about` is the module documentation of the node (Markdown).
pub fn page(contract: &Contract, about: &str) -> String {
    let mut s = String::new();
    let _ = writeln!(s, "# {}\n\n{}\n", contract.name, contract.summary);
    let _ = writeln!(s, "<!-- generated from nodes/{}/src/contract.rs by `cargo xtask generate`; edit there -->\n", contract.name);
    if !about.trim().is_empty() {
        let _ = writeln!(s, "{}\n", about.trim());
    }
    let _ = writeln!(s, "## Ports\n\n| port | direction | message | edges | what |\n|---|---|---|---|---|");
    for p in contract.inputs.iter() {
        let edges = match p.arity {
            Arity::One => "1",
            Arity::Optional => "0 or 1",
            Arity::Many => "1 or more",
            Arity::Any => "0 or more",
        };
        let held = if p.max_held > 0 { format!("; holds at most {} buffers", p.max_held) } else { String::new() };
        let uploads = if p.uploads { "; with `memory` `cuda` also of host memory" } else { "" };
        let feedback = if p.feedback { "; from a node further down: its end is not waited for" } else { "" };
        let _ = writeln!(s, "| `{}` | in | `{}` | {edges} | {}{held}{uploads}{feedback} |", p.name, p.message, p.about);
    }
    for p in contract.outputs.iter() {
        let feedback = if p.feedback { "; to a node further up, in live graphs" } else { "" };
        let _ = writeln!(s, "| `{}` | out | `{}` | any | {}{feedback} |", p.name, p.message, p.about);
    }
    let _ = writeln!(s, "| `tick` | in | timer | 1 | `dora/timer/millis/500`; keeps the node restartable and its statistics fresh |\n");
    if contract.params.is_empty() {
        let _ = writeln!(s, "## Parameters\n\nNone.");
        return s;
    }
    let _ = writeln!(s, "## Parameters\n\nIn a graph: the node's `env`. Live ones follow `dora param set` while the node runs.\n");
    let _ = writeln!(s, "| name | value | default | live | what |\n|---|---|---|---|---|");
    for p in contract.params.iter() {
        let (value, default) = describe(p);
        let live = if p.live { "yes" } else { "" };
        let _ = writeln!(s, "| `{}` | {value} | {default} | {live} | {} |", p.env_name(), p.about);
    }
    s
}

fn describe(param: &Param) -> (String, String) {
    let optional = |default: &Option<crate::Text>, required: bool| match default {
        Some(d) => format!("`{d}`"),
        None if required => "required".to_owned(),
        None => "absent".to_owned(),
    };
    let ranged = |kind: &str, unit: &str, min: String, max: String| {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        format!("{kind}, {min} to {max}{unit}")
    };
    match &param.kind {
        ParamKind::Float { unit, min, max, default } => (ranged("number", unit, min.to_string(), max.to_string()), format!("`{default}`")),
        ParamKind::Int { unit, min, max, default } => (ranged("integer", unit, min.to_string(), max.to_string()), format!("`{default}`")),
        ParamKind::Bool { default } => ("`true` or `false`".to_owned(), format!("`{default}`")),
        ParamKind::Choice { options, default } => {
            (options.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(", "), format!("`{default}`"))
        }
        ParamKind::Text { default, required } => ("text".to_owned(), optional(default, *required)),
        ParamKind::List { default } => {
            ("texts, comma-separated".to_owned(), if default.is_empty() { "none".to_owned() } else { format!("`{}`", default.join(",")) })
        }
        ParamKind::Path { default, required, must_exist } => {
            (if *must_exist { "file".to_owned() } else { "path".to_owned() }, optional(default, *required))
        }
    }
}
