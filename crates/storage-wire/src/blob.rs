//! Bodies of containers and blobs.

pub mod block_list;
pub mod list;
