//! The classic Service Management API as bytes and values.
