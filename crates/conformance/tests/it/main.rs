//! Real clients, written by others, against the real services.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

mod python;
mod storage;

mod authentication;
mod blob;
mod compatibility;
mod management;
mod queue;
mod table;
