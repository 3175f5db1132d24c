//! See the library of this crate.

fn main() -> std::process::ExitCode {
    gantry_node::run::<gantry_node_unpack::Unpack>()
}
