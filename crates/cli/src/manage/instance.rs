//! `welkin instance`: the role instances of a deployment.

use welkin_base::InstanceName;
use welkin_management_wire::Element;

use super::deployment::Which;
use super::listing::{Column, Form, form, text};
use super::wait::Wait;
use super::{ManageError, Output, print_list};
use crate::client::Client;

/// Verbs of `welkin instance`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin instance list shop
  welkin instance reboot shop Web_IN_0
  welkin instance delete shop Web_IN_2 Web_IN_3 --slot staging")]
pub enum Instance {
    /// List the role instances of a deployment
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        output: Output,
    },
    /// Restart an instance's virtual machine; its disks stay
    Reboot(One),
    /// Begin an instance's guest OS and application anew; its local storage stays
    Reimage(One),
    /// Begin an instance anew, its local storage too
    Rebuild(One),
    /// Remove instances: their roles have so many fewer
    Delete {
        #[command(flatten)]
        which: Which,
        /// The instances, such as Web_IN_2
        #[arg(required = true)]
        instances: Vec<InstanceName>,
        #[command(flatten)]
        wait: Wait,
    },
}

/// One instance.
#[derive(Debug, Clone, clap::Args)]
pub struct One {
    #[command(flatten)]
    which: Which,
    /// The instance, such as Web_IN_0
    instance: InstanceName,
    #[command(flatten)]
    wait: Wait,
}

/// What is told of an instance.
pub(super) const COLUMNS: &[Column] = &[
    text("instance", "name", "InstanceName"),
    text("role", "role", "RoleName"),
    text("status", "status", "InstanceStatus"),
    text("power", "powerState", "PowerState"),
    form("update domain", "updateDomain", "InstanceUpgradeDomain", Form::Number),
    form("fault domain", "faultDomain", "InstanceFaultDomain", Form::Number),
    text("size", "size", "InstanceSize"),
    text("address", "address", "IpAddress"),
    text("details", "details", "InstanceStateDetails"),
];

impl Instance {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        match self {
            Self::List { which, output } => {
                let answer = client.get(&which.path())?;
                print_list(
                    &answer,
                    "RoleInstanceList/RoleInstance",
                    COLUMNS,
                    *output,
                    "there are no instances",
                )
            }
            Self::Reboot(one) => one.ask(client, "comp=reboot", "rebooting"),
            Self::Reimage(one) => one.ask(client, "comp=reimage", "reimaging"),
            Self::Rebuild(one) => one.ask(client, "comp=rebuild&resources=allLocalDrives", "rebuilding"),
            Self::Delete { which, instances, wait } => {
                let names = instances.iter().map(|name| Element::of("Name", name));
                let body = Element::new("RoleInstances").children(names);
                let answer = client.post(&format!("{}/roleinstances?comp=delete", which.path()), body)?;
                let names: Vec<&str> = instances.iter().map(InstanceName::as_str).collect();
                let done = format!("removed {}", names.join(", "));
                Ok(wait.finish(client, &answer, "removing the instances", &done)?)
            }
        }
    }
}

impl One {
    fn ask(&self, client: &Client, query: &str, doing: &str) -> Result<(), ManageError> {
        let path = format!("{}/roleinstances/{}?{query}", self.which.path(), self.instance);
        let answer = client.post_empty(&path)?;
        let doing = format!("{doing} {}", self.instance);
        Ok(self.wait.finish(
            client,
            &answer,
            &doing,
            &format!("{doing}: done; `welkin status` shows its state"),
        )?)
    }
}
