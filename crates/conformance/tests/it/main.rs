//! Real clients, written by others, against the real services.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

mod answered;
mod javascript;
mod python;
mod storage;
mod tested;
mod tree;

mod account;
mod authentication;
mod blob;
mod compatibility;
mod management;
mod object_store;
mod opendal;
mod queue;
mod rclone;
mod restic;
mod service;
mod table;

use welkin_storage_wire::operation::Operation;

/// Whether the server does an operation; there is nothing to test of one that it does not do yet.
fn built(name: &str) -> bool {
    let spec = Operation::all().map(Operation::spec).find(|spec| spec.name == name);
    spec.unwrap_or_else(|| panic!("there is no operation {name}")).built
}
