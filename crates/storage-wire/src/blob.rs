//! Bodies of containers and blobs.

pub mod access;
pub mod block_list;
pub mod list;
