//! The words that every crate shares: typed ids and names, generations, digests and times.
//!
//! Nothing here does I/O. A value that exists is valid: each type is built only through
//! its parser, and mixing two nouns does not compile.

pub mod digest;
pub mod generation;
pub mod id;
pub mod name;
pub mod thumbprint;
pub mod timestamp;

pub use digest::{Digest, DigestError};
pub use generation::Generation;
pub use id::{DeploymentId, IdError, InstanceId, SubscriptionId};
pub use name::{AccountName, DeploymentName, InstanceName, NameError, NodeName, RoleName, ServiceName};
pub use thumbprint::{Sha1Thumbprint, Thumbprint, ThumbprintError};
pub use timestamp::{Timestamp, TimestampError};
