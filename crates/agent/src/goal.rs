//! The goal that the node holds, on disk: it survives every restart.

use std::io;

use welkin_agent_wire::NodeGoal;

use crate::folder::{Folder, replace};

/// The held goal, if one was ever given.
pub fn load(folder: &Folder) -> io::Result<Option<NodeGoal>> {
    let bytes = match std::fs::read(folder.goal()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other)
}

/// Keeps a goal. It is on disk when this returns.
pub fn save(folder: &Folder, goal: &NodeGoal) -> io::Result<()> {
    replace(&folder.goal(), &serde_json::to_vec(goal).map_err(io::Error::other)?)
}
