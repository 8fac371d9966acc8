//! wip
mod cli;
fn main() {}
