//! Repository chores and house rules.

fn main() {}
