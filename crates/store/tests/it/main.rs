//! The store's contract, as any backend keeps it, and what the embedded backend adds: recovery.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lints know test functions but not the functions that they share"
)]

mod backup;
mod cluster;
mod compaction;
mod contract;
mod crash;
mod damage;
mod etcd;
mod extents;
mod full;
mod model;
mod pattern;
mod rows;
mod small_disk;
mod snapshot;
mod store;
