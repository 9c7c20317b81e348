//! Tables and entities on the wire: OData JSON, `$filter`, keys, ETags, continuation (STORAGE, section 7).
//!
//! * [`value`]: a property's value with its EDM type.
//! * [`entity`]: an entity, its limits, and its body in JSON.
//! * [`filter`]: `$filter`: grammar and meaning; [`range`]: the keys that a filter can match.
//! * [`query`]: what a query asks for; continuation tokens.
//! * [`key`]: `PartitionKey='p',RowKey='r'`, and the rules of keys and table names.
//! * [`etag`]: ETags and the conditions made of them.
//! * [`batch`]: entity group transactions.
//! * [`answer`]: bodies and headers of answers, in the three levels of metadata.

pub mod answer;
pub mod batch;
pub mod entity;
pub mod etag;
pub mod filter;
pub mod key;
pub mod query;
pub mod range;
pub mod value;

pub use answer::MetadataLevel;
pub use entity::{Entity, Properties};
pub use filter::Filter;
pub use key::EntityKey;
pub use query::{Continuation, Query};
pub use range::KeyRange;
pub use value::{Value, ValueRef};
