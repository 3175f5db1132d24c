//! `gantry check`.

use crate::failure::Failure;
use clap::Args;
use gantry_graph::{Graph, check, render};
use std::path::PathBuf;

/// Arguments of `gantry check`.
#[derive(Args)]
pub struct CheckArgs {
    /// Graph files.
    #[arg(required = true)]
    graphs: Vec<PathBuf>,
}

/// Checks each graph; all faults of all files are printed.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let mut text = String::new();
    let mut count = 0;
    for file in &args.graphs {
        let faults = match Graph::read(file) {
            Ok(graph) => {
                let faults = check(&graph);
                if faults.is_empty() {
                    outln!("{}: ok, {} nodes", file.display(), graph.nodes.len());
                }
                faults
            }
            Err(faults) => faults,
        };
        count += faults.len();
        text.push_str(&render(&faults));
    }
    if count == 0 {
        return Ok(());
    }
    text.push_str(&format!("{count} fault{}\n", if count == 1 { "" } else { "s" }));
    Err(Failure::refused(text))
}
