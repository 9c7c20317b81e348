//! HTTP over mutual TLS: a server and a client, each of which knows the thumbprint of its peer; and over a Unix socket, for
//! an operator on the machine ([`control`]).
//!
//! What is said over it is not this crate's business. Every read is bounded in size and time, since the
//! peer may be hostile.

pub mod body;
pub mod bucket;
pub mod client;
pub mod control;
pub mod descriptors;
mod handshakes;
mod seat;
pub mod server;

pub use body::{Body, BodyError, BoxError, empty, full, json, read_body, read_json, stream, text};
pub use client::{CallError, Client};
pub use server::{Peer, Room, serve, serve_many};

/// How long a TCP connection and its TLS handshake may take.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 5_000;
/// How long a whole call with a bounded answer may take.
pub const CALL_TIMEOUT_MS: u64 = 30_000;
/// How long a call that streams a body may take: an image of some hundred MiB over a slow link.
pub const STREAM_TIMEOUT_MS: u64 = 600_000;
/// Connections that a server inside the cloud holds at once.
pub const CONNECTIONS_MAX: usize = 512;
