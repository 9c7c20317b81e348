//! Properties of one service of an account, as they lie in the account's row (STORAGE, section 1).

pub use welkin_storage_wire::service::{
    CorsRule, DeleteRetention, Logging, Metrics, ServiceProperties, StaticWebsite,
};
