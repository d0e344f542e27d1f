//! `terway-cli`: what an operator types.

fn main() {}
