//! The classic Service Management API as bytes and values.
//!
//! A request becomes a [`Call`] of one [`Operation`], and its body one of the `Create…` values; an answer is
//! built from values as an [`Element`]. Nothing here does I/O.

pub mod error;
pub mod operation;
pub mod route;
pub mod version;
pub mod xml;

pub mod affinity_group;
pub mod answer;
pub mod cloud_status;
pub mod deployment;
pub mod extended_property;
pub mod hosted_service;
pub mod location;
pub mod management_certificate;
pub mod operation_status;
pub mod service_certificate;
pub mod storage_account;
pub mod subscription;
pub mod subscription_operation;

pub use error::{ApiError, ErrorCode};
pub use operation::{Operation, Row, TABLE};
pub use route::{Call, DeploymentKey, Parameters, route, subscription_of};
pub use version::{VERSION, VERSION_HEADER, Version, check_since, check_version};
pub use xml::{Element, REQUEST_BYTES_MAX};
