//! `welkin affinity-group`: what is to be near each other.

use welkin_management_wire::{Element, xml};

use super::listing::{Column, Form, form, text};
use super::{ManageError, Output, print_list, print_one};
use crate::client::Client;

/// Verbs of `welkin affinity-group`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin affinity-group create web --label \"The web shop\"
  welkin affinity-group list")]
pub enum AffinityGroup {
    /// List the affinity groups
    List(Output),
    /// Show an affinity group, and what is in it
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Make an affinity group
    Create {
        /// Its name
        name: String,
        /// A name for people [default: the name]
        #[arg(long)]
        label: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Where it is [default: the cloud's location]
        #[arg(long)]
        location: Option<String>,
    },
    /// Change an affinity group's label and description
    Update {
        /// Its name
        name: String,
        /// A name for people
        #[arg(long)]
        label: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// Delete an affinity group that nothing is in
    Delete {
        /// Its name
        name: String,
    },
}

const COLUMNS: &[Column] = &[
    text("name", "name", "Name"),
    form("label", "label", "Label", Form::Base64),
    text("description", "description", "Description"),
    text("location", "location", "Location"),
    form("services", "services", "HostedServices/HostedService/ServiceName", Form::List),
    form("storage accounts", "storageAccounts", "StorageServices/StorageService/ServiceName", Form::List),
];
/// A listing does not tell what is in a group.
const LISTED: usize = 4;

impl AffinityGroup {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let at = |name: &str| format!("affinitygroups/{name}");
        match self {
            Self::List(output) => {
                let (columns, _) = COLUMNS.split_at(LISTED);
                let empty = "there are no affinity groups: `welkin affinity-group create` makes one";
                print_list(&client.get("affinitygroups")?, "AffinityGroup", columns, *output, empty)
            }
            Self::Show { name, output } => print_one(&client.get(&at(name))?, COLUMNS, *output),
            Self::Create { name, label, description, location } => {
                let location = location.clone().map_or_else(|| client.location(), Ok)?;
                let body = Element::new("CreateAffinityGroup")
                    .with("Name", name)
                    .with("Label", xml::encode_text(label.as_ref().unwrap_or(name)))
                    .maybe("Description", description.as_ref())
                    .with("Location", location);
                client.post("affinitygroups", body)?;
                eprintln!("made the affinity group {name}");
                Ok(())
            }
            Self::Update { name, label, description } => {
                let body = Element::new("UpdateAffinityGroup")
                    .with("Label", xml::encode_text(label))
                    .maybe("Description", description.as_ref());
                client.put(&at(name), body)?;
                eprintln!("changed the affinity group {name}");
                Ok(())
            }
            Self::Delete { name } => {
                client.delete(&at(name))?;
                eprintln!("deleted the affinity group {name}");
                Ok(())
            }
        }
    }
}
