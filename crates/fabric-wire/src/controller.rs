//! A replica of the fabric controller.

use serde::{Deserialize, Serialize};

/// What a replica says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerStatus {
    /// Its name.
    pub name: String,
    /// Whether it leads, so that it answers everything else.
    pub leads: bool,
    /// The replica that leads, as far as this one knows.
    pub leader: Option<String>,
    /// Why it does not know.
    pub trouble: Option<String>,
}
