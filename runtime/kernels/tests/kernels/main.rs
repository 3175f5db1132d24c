//! Each kernel against the CPU's implementation: the same bytes. `tests/gpu/pack.sh` takes this program to a machine with a card.

#[path = "../common/mod.rs"]
mod common;
mod cut;
mod measure;
mod operators;
mod scale;
