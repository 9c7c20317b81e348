//! The fabric agent on a real kernel: packet filters between namespaces, and VMs.
//!
//! These tests make network namespaces, so they need root; without it they say so and check nothing.

mod agent;
mod filter;
mod namespace;
mod vm;
