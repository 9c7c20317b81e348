//! The fabric agent on a real kernel: packet filters between namespaces, and VMs.
//!
//! These tests make network namespaces, so they need root; without it they say so and check nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it, also outside of #[test]")]

mod agent;
mod filter;
mod namespace;
mod vm;
