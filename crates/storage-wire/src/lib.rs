//! The Azure Storage protocol as bytes and values: operations, headers, XML, OData, SharedKey, SAS.
//!
//! In the order in which a request meets them:
//!
//! * [`request`]: the head of a request: account, path, query, version.
//! * [`operation`]: every operation of the protocol, and the way from a head to one.
//! * [`shared_key`], [`sas`]: who asks. `shared_key::authorize` and `sas::blob_read_query` are for clients.
//! * [`delegation`], [`bearer`]: users of an OpenID Connect issuer.
//! * [`query`], [`condition`], [`range`], [`metadata`]: parts of a head as values; [`xml`]: bodies.
//! * [`multipart`] reads and writes batches.
//! * [`error`]: every error with its status, code and message.
//! * [`access`]: stored access policies. [`service`]: properties of a service, CORS.
//! * [`blob`]: bodies of containers and blobs.
//! * [`table`]: entities in OData JSON, `$filter`, keys and ETags. [`queue`]: lists and messages in XML.
//! * [`admin`]: what management says to the storage service, apart from the protocol.

pub mod access;
pub mod admin;
pub mod bearer;
pub mod blob;
pub mod condition;
pub mod delegation;
pub mod error;
pub mod metadata;
pub mod multipart;
pub mod operation;
pub mod query;
pub mod queue;
pub mod range;
pub mod request;
pub mod sas;
pub mod service;
pub mod shared_key;
pub mod table;
pub mod xml;

pub use error::{ErrorCode, ProtocolError};
pub use operation::{BlobOperation, Operation, QueueOperation, Service, TableOperation};
pub use request::{ApiVersion, RequestHead};
