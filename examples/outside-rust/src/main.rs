//! See the library of this crate.

fn main() -> std::process::ExitCode {
    gantry_node::run::<vote_best::VoteBest>()
}
