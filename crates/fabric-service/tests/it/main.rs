//! The fabric controller as a whole, over real mTLS, with agents that are driven by the tests.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod agent;
mod cloud;
#[path = "../../../store/tests/it/cluster.rs"]
#[allow(dead_code, reason = "shared with the tests of the store, which need more of it")]
mod cluster;
mod deployment;
mod failover;
mod hostile;
mod inventory;
mod replicas;
mod restart;
mod update;
