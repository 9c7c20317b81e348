//! How values lie in rows: a version byte, then the fields in the `postcard` encoding.
//!
//! The version byte belongs to the shape. A shape that changes gets a new number, and its old shape stays
//! readable beside it.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::EngineError;

/// A value that lies in rows.
pub trait Record: Serialize + DeserializeOwned {
    /// What it is, for errors.
    const NOUN: &'static str;
    /// The version of its shape.
    const VERSION: u8;

    /// Reads the fields of an older shape; `None` when the version is not known.
    fn upgrade(_version: u8, _fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        None
    }
}

/// Writes a value as it lies in a row.
///
/// # Errors
/// When the value cannot be encoded, which a plain structure always can.
pub fn encode<T: Record>(value: &T) -> Result<Bytes, EngineError> {
    let start = vec![T::VERSION];
    let bytes = postcard::to_extend(value, start).map_err(|error| damaged::<T>(&error.to_string()))?;
    Ok(Bytes::from(bytes))
}

/// Reads a value as it lies in a row.
///
/// # Errors
/// When the row holds something else.
pub fn decode<T: Record>(bytes: &[u8]) -> Result<T, EngineError> {
    let (version, fields) = bytes.split_first().ok_or_else(|| damaged::<T>("it is empty"))?;
    let read = match *version == T::VERSION {
        true => postcard::from_bytes(fields),
        false => T::upgrade(*version, fields)
            .ok_or_else(|| damaged::<T>(&format!("version {version} is not known")))?,
    };
    read.map_err(|error| damaged::<T>(&error.to_string()))
}

fn damaged<T: Record>(why: &str) -> EngineError {
    EngineError::Damaged { noun: T::NOUN, why: why.to_owned() }
}
