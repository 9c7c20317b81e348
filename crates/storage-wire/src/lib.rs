//! The Azure Storage protocol as bytes and values: operations, headers, XML, OData, SharedKey, SAS.

pub mod admin;
