//! Stored rows: JSON with the version of its shape in front.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The shape that is written and read. Shape 1 knew neither versions of a deployment nor its service. What a field
/// has when it is missing is told beside it.
const SHAPE: u32 = 2;

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Written by a later Welkin.
    #[error(
        "a row has shape {0} and this version knows {SHAPE}: start a version at least as new as the one before"
    )]
    LaterShape(u32),
    /// Written by an earlier Welkin.
    #[error(
        "a row has shape {0}, which this version no longer reads: start the version that wrote it and delete its \
         deployments, then remove the fabric controller's data folder but for package.key"
    )]
    EarlierShape(u32),
    /// Not what was written.
    #[error("a row cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Row<T> {
    shape: u32,
    value: T,
}

#[derive(Deserialize)]
struct Shape {
    shape: u32,
}

/// The bytes of a row.
///
/// # Errors
/// When the value has no JSON form.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, RowError> {
    Ok(serde_json::to_vec(&Row { shape: SHAPE, value })?)
}

/// The value of a row.
///
/// # Errors
/// When the bytes are not a row of this shape.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RowError> {
    let Shape { shape } = serde_json::from_slice(bytes)?;
    if shape > SHAPE {
        return Err(RowError::LaterShape(shape));
    }
    if shape < SHAPE {
        return Err(RowError::EarlierShape(shape));
    }
    Ok(serde_json::from_slice::<Row<T>>(bytes)?.value)
}
