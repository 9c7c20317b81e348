//! What is said of a hosted service or a storage account that is to be made.

use welkin_management_wire::Element;

use crate::client::{Client, ClientError};

/// Label, description and place.
#[derive(Debug, Clone, clap::Args)]
pub struct Made {
    /// A name for people [default: the name]
    #[arg(long)]
    pub label: Option<String>,
    /// What it is for
    #[arg(long)]
    pub description: Option<String>,
    /// Where it is [default: the cloud's location]
    #[arg(long, conflicts_with = "affinity_group")]
    pub location: Option<String>,
    /// The affinity group that it is in
    #[arg(long)]
    pub affinity_group: Option<String>,
}

impl Made {
    /// Adds the place to a request's body.
    ///
    /// # Errors
    /// When it is not given, and the cloud does not say where it is.
    pub fn place(&self, client: &Client, body: Element) -> Result<Element, ClientError> {
        Ok(match (&self.affinity_group, &self.location) {
            (Some(group), _) => body.with("AffinityGroup", group),
            (None, Some(location)) => body.with("Location", location),
            (None, None) => body.with("Location", client.location()?),
        })
    }
}
