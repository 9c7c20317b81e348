//! `welkin storage-account`: where blobs, tables and queues are.

use welkin_base::AccountName;
use welkin_management_wire::{Element, xml};

use super::listing::{Column, Form, form, text};
use super::place::Made;
use super::wait::Wait;
use super::{ManageError, Output, print_availability, print_list, print_one};
use crate::client::Client;

/// Verbs of `welkin storage-account`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin storage-account create pictures
  welkin storage-account keys pictures --json
  welkin storage-account regenerate-key pictures secondary")]
pub enum StorageAccount {
    /// List the storage accounts
    List(Output),
    /// Show a storage account and its endpoints
    Show {
        /// Its name
        name: AccountName,
        #[command(flatten)]
        output: Output,
    },
    /// Make a storage account
    Create {
        /// Its name: 3 to 24 lower-case letters and digits
        name: AccountName,
        #[command(flatten)]
        made: Made,
        #[command(flatten)]
        wait: Wait,
    },
    /// Change a storage account's label and description
    Update {
        /// Its name
        name: AccountName,
        /// A name for people
        #[arg(long, required_unless_present = "description")]
        label: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// Delete a storage account and all that is in it
    Delete {
        /// Its name
        name: AccountName,
    },
    /// Print both keys of a storage account: whoever has one may do everything with it
    Keys {
        /// Its name
        name: AccountName,
        #[command(flatten)]
        output: Output,
    },
    /// Make one of the keys anew; the old one is refused at once, the other key stays
    RegenerateKey {
        /// Its name
        name: AccountName,
        /// Which
        #[arg(value_parser = ["primary", "secondary"])]
        key: String,
        #[command(flatten)]
        output: Output,
    },
    /// Tell whether a name is free
    CheckName {
        /// The name
        name: String,
        #[command(flatten)]
        output: Output,
    },
}

const COLUMNS: &[Column] = &[
    text("name", "name", "ServiceName"),
    form("label", "label", "StorageServiceProperties/Label", Form::Base64),
    text("location", "location", "StorageServiceProperties/Location"),
    text("affinity group", "affinityGroup", "StorageServiceProperties/AffinityGroup"),
    text("status", "status", "StorageServiceProperties/Status"),
    form("endpoints", "endpoints", "StorageServiceProperties/Endpoints/Endpoint", Form::List),
    text("description", "description", "StorageServiceProperties/Description"),
];
const KEYS: &[Column] = &[
    text("primary", "primary", "StorageServiceKeys/Primary"),
    text("secondary", "secondary", "StorageServiceKeys/Secondary"),
];
const ACCOUNTS: &str = "services/storageservices";

impl StorageAccount {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let at = |name: &AccountName| format!("{ACCOUNTS}/{name}");
        match self {
            Self::List(output) => {
                let empty = "there are no storage accounts: `welkin storage-account create` makes one";
                print_list(&client.get(ACCOUNTS)?, "StorageService", COLUMNS, *output, empty)
            }
            Self::Show { name, output } => print_one(&client.get(&at(name))?, COLUMNS, *output),
            Self::Create { name, made, wait } => {
                let body = Element::new("CreateStorageServiceInput")
                    .with("ServiceName", name)
                    .maybe("Description", made.description.as_ref())
                    .with("Label", xml::encode_text(made.label.as_deref().unwrap_or(name.as_str())));
                let answer = client.post(ACCOUNTS, made.place(client, body)?)?;
                let done = format!("made the storage account {name}");
                Ok(wait.finish(client, &answer, "making the storage account", &done)?)
            }
            Self::Update { name, label, description } => {
                let body = Element::new("UpdateStorageServiceInput")
                    .maybe("Description", description.as_ref())
                    .maybe("Label", label.as_ref().map(|label| xml::encode_text(label)));
                client.put(&at(name), body)?;
                eprintln!("changed the storage account {name}");
                Ok(())
            }
            Self::Delete { name } => {
                client.delete(&at(name))?;
                eprintln!("deleted the storage account {name}");
                Ok(())
            }
            Self::Keys { name, output } => {
                print_one(&client.get(&format!("{}/keys", at(name)))?, KEYS, *output)
            }
            Self::RegenerateKey { name, key, output } => {
                let kind = if key == "primary" { "Primary" } else { "Secondary" };
                let body = Element::new("RegenerateKeys").with("KeyType", kind);
                let answer = client.post(&format!("{}/keys?action=regenerate", at(name)), body)?;
                print_one(&answer, KEYS, *output)
            }
            Self::CheckName { name, output } => print_availability(client, ACCOUNTS, name, *output),
        }
    }
}
