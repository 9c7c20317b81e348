//! What the agent writes down of an instance, so that it finds it again.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use welkin_base::InstanceId;
use welkin_node::{Drives, Restarts, Shape};

use crate::folder::replace;

const FILE: &str = "instance.json";

/// The record of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Whose folder it is.
    pub id: InstanceId,
    /// The incarnation of its drives.
    pub incarnation: u64,
    /// The bases of its drives, once they are made.
    pub drives: Option<Drives>,
    /// What its VM was last started with.
    pub shape: Option<Shape>,
    /// Its VM's deaths.
    pub restarts: Restarts,
}

impl Record {
    /// The record in an instance's folder; `None` when there is none, as after a crash while it was made.
    pub fn load(folder: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(folder.join(FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the record into the instance's folder.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        replace(&folder.join(FILE), &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }
}
