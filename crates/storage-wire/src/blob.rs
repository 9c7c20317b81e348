//! Bodies of containers and blobs.

pub mod block_list;
pub mod copy;
pub mod find;
pub mod lease;
pub mod list;
pub mod page_list;
pub mod query;
pub mod tag_filter;
pub mod tags;
