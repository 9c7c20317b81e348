//! Subscriptions, hosted services, storage accounts, deployments and operations, and the API that customers
//! manage them with.
//!
//! A request is authenticated, routed and answered in [`api`]. What lasts is in the store ([`state`]): a change and
//! the operation that asked for it are one commit. What takes long goes on in [`deploy`] after the answer 202, and
//! after a restart too.

mod api;
mod config;
pub mod control;
mod deploy;
mod failure;
mod management;
mod reply;
mod request;
mod run;
mod state;
mod throttle;

mod affinity_group;
mod deployment;
mod event;
mod get_package;
mod hosted_service;
mod instance;
mod location;
mod management_certificate;
mod operation;
mod operator;
mod quota;
mod service_certificate;
mod storage_account;
mod subscription;
mod swap;
mod update;

mod cloud_status;

mod fabric;
mod leader;
mod package;
mod storage;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot go on")]
mod walk;

pub use config::{Config, FabricConfig, Limits, Quotas, StorageConfig, SubscriptionConfig};
pub use run::{RunError, run};
