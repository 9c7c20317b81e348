//! The storage front-ends: HTTP, authentication, streaming.
//!
//! In the order in which a request meets them:
//!
//! * [`run`](run()), [`Config`]: the service from its start to its end.
//! * `server`: connections.
//! * `dispatch`: from a request to its answer. `admission`: who may take how much.
//! * [`auth`]: who asks, and whether they may.
//! * `copies`: what copies need of the server, and sources on other servers.
//! * [`context`]: what a handler knows; [`answer`]: what it answers with; [`error`]: what went wrong.
//! * [`blob`], [`queue`], [`table`]: the handlers, one `handle` each; [`service`]: what all three have.
//! * `metrics`: what is counted, for Prometheus.
//! * [`control`]: figures, backups and checks, for whoever has the data folder.
//! * `admin`: accounts and keys, apart from the protocol.

pub mod answer;
pub mod auth;
pub mod blob;
pub mod context;
pub mod control;
pub mod error;
pub mod queue;
pub mod service;
pub mod table;

mod admin;
mod admission;
mod config;
mod copies;
mod delegation;
mod dispatch;
mod metrics;
mod pace;
mod run;
mod server;
mod throttle;
mod tls;

pub use config::{
    ACCOUNT_REQUESTS_MAX, AdminConfig, CONNECTIONS_MAX, Config, CopyConfig, OpenIdConfig, Timeouts, TlsFiles,
};
pub use run::{DEV_ACCOUNT, DEV_KEY, RunError, run};
