//! The fabric controller as a whole, over real mTLS, with agents that are driven by the tests.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "test code")]

mod agent;
mod cloud;
mod deployment;
mod hostile;
mod inventory;
mod restart;
mod update;
