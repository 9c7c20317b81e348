//! `welkin service`: hosted services, each with a name in the cloud and two slots for deployments.

use welkin_base::ServiceName;
use welkin_management_wire::{Element, xml};

use super::listing::{Column, Form, form, text};
use super::place::Made;
use super::wait::Wait;
use super::{ManageError, Output, print_availability, print_list, print_one};
use crate::client::Client;

/// Verbs of `welkin service`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin service create shop --label \"The shop\"
  welkin service show shop --json
  welkin service delete shop --with-deployments

`welkin deploy` makes a service and its deployment in one step.")]
pub enum Service {
    /// List the hosted services
    List(Output),
    /// Show a hosted service and its deployments
    Show {
        /// Its name
        name: ServiceName,
        #[command(flatten)]
        output: Output,
    },
    /// Make a hosted service
    Create {
        /// Its name
        name: ServiceName,
        #[command(flatten)]
        made: Made,
    },
    /// Change a hosted service's label and description
    Update {
        /// Its name
        name: ServiceName,
        /// A name for people
        #[arg(long, required_unless_present = "description")]
        label: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// Delete a hosted service
    Delete {
        /// Its name
        name: ServiceName,
        /// With its deployments and their disks; without this a service that has any is kept
        #[arg(long)]
        with_deployments: bool,
        #[command(flatten)]
        wait: Wait,
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
    form("label", "label", "HostedServiceProperties/Label", Form::Base64),
    text("location", "location", "HostedServiceProperties/Location"),
    text("affinity group", "affinityGroup", "HostedServiceProperties/AffinityGroup"),
    text("status", "status", "HostedServiceProperties/Status"),
    text("created", "created", "HostedServiceProperties/DateCreated"),
    text("description", "description", "HostedServiceProperties/Description"),
    form("slots", "slots", "Deployments/Deployment/DeploymentSlot", Form::List),
    form("deployments", "deployments", "Deployments/Deployment/Name", Form::List),
];
/// A listing does not tell the deployments.
const LISTED: usize = 7;
const SERVICES: &str = "services/hostedservices";

impl Service {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let at = |name: &ServiceName| format!("{SERVICES}/{name}");
        match self {
            Self::List(output) => {
                let (columns, _) = COLUMNS.split_at(LISTED);
                let empty =
                    "there are no hosted services: `welkin deploy` or `welkin service create` makes one";
                print_list(&client.get(SERVICES)?, "HostedService", columns, *output, empty)
            }
            Self::Show { name, output } => {
                print_one(&client.get(&format!("{}?embed-detail=true", at(name)))?, COLUMNS, *output)
            }
            Self::Create { name, made } => {
                let body = Element::new("CreateHostedService")
                    .with("ServiceName", name)
                    .with("Label", xml::encode_text(made.label.as_deref().unwrap_or(name.as_str())))
                    .maybe("Description", made.description.as_ref());
                client.post(SERVICES, made.place(client, body)?)?;
                eprintln!("made the hosted service {name}");
                Ok(())
            }
            Self::Update { name, label, description } => {
                let body = Element::new("UpdateHostedService")
                    .maybe("Label", label.as_ref().map(|label| xml::encode_text(label)))
                    .maybe("Description", description.as_ref());
                client.put(&at(name), body)?;
                eprintln!("changed the hosted service {name}");
                Ok(())
            }
            Self::Delete { name, with_deployments: false, .. } => {
                client.delete(&at(name))?;
                eprintln!("deleted the hosted service {name}");
                Ok(())
            }
            Self::Delete { name, with_deployments: true, wait } => {
                let answer = client.delete(&format!("{}?comp=media", at(name)))?;
                let done = format!("deleted the hosted service {name} and its deployments");
                Ok(wait.finish(client, &answer, "deleting the hosted service", &done)?)
            }
            Self::CheckName { name, output } => print_availability(client, SERVICES, name, *output),
        }
    }
}
