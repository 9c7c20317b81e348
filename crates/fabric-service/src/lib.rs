//! The fabric controller (FC): its reconcile loop, its own API, packages and images.
//!
//! Every decision is `welkin_fabric`'s; here is the I/O around it.

pub mod config;
pub mod error;
pub mod run;

mod clock;
mod controller;
mod row;

mod agreed;
mod front;
mod leadership;
mod mirror;
mod peer;
mod replica;

mod api;
mod certificate;
mod deployment;

mod application;
mod content;
mod guest_os;
mod image;
mod inventory;
mod key;

mod agent;
mod node;
mod reconcile;

pub use config::{Config, EtcdConfig, EtcdMemberConfig, HealingConfig, NodeConfig, PeerConfig, StoreConfig};
pub use error::RunError;
pub use key::{KEY_FILES, make_keys};
pub use run::run;
