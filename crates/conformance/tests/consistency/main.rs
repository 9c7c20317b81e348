//! Histories of concurrent clients against a storage service that is killed in between.
//!
//! Blobs and entities are checked for linearizability by the checker of the `stateright` crate; messages for loss,
//! for double delivery, and for return after deletion. What was in flight at a kill may have happened or not.
//! `WELKIN_CONSISTENCY_ROUNDS` makes it run longer, `WELKIN_CONSISTENCY_SEED` another workload.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../wire/mod.rs"]
mod wire;

mod history;
mod message;
mod object;
mod workload;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("it is a number"))
}
