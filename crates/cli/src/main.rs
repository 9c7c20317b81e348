//! `welkin`: every service is a subcommand; `welkin up` runs them all.

fn main() {}
