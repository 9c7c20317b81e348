//! The guest agent: first process of the VM.

fn main() {}
