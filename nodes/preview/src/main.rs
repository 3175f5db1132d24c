//! The `preview` node, see the library.

fn main() -> std::process::ExitCode {
    gantry_node::run::<gantry_node_preview::Preview>()
}
