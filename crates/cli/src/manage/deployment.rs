//! `welkin deployment`: what runs in the two slots of a hosted service.

mod change;
mod show;

use std::path::PathBuf;

use welkin_base::{AccountName, DeploymentName, RoleName, ServiceName};

use super::wait::Wait;
use super::{ManageError, Output};
use crate::client::Client;

/// Verbs of `welkin deployment`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:
  welkin deployment create shop --slot staging --package shop.cspkg --configuration shop.cscfg
  welkin deployment swap shop
  welkin deployment configure shop --configuration shop.cscfg
  welkin deployment upgrade shop --package shop.cspkg --configuration shop.cscfg --mode manual
  welkin deployment walk shop 0
  welkin deployment rollback shop")]
pub enum Deployment {
    /// List the deployments of a hosted service, or of all
    List {
        /// The hosted service [default: all]
        service: Option<ServiceName>,
        #[command(flatten)]
        output: Output,
    },
    /// Show a deployment and its instances
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        output: Output,
    },
    /// Print a deployment's service configuration
    Configuration(Which),
    /// Make a deployment from a package; `welkin deploy` makes its service too, and waits for its instances
    Create(Create),
    /// Change a deployment's configuration: instance counts, settings, certificates
    Configure(Configure),
    /// Put another package in the place of the one that runs, one update domain after the other
    Upgrade(Upgrade),
    /// Update the next update domain, when the mode is manual
    Walk {
        #[command(flatten)]
        which: Which,
        /// The domain, from 0 on and in order
        domain: u32,
        #[command(flatten)]
        wait: Wait,
    },
    /// Go back to what ran before the update that is in progress
    Rollback {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        update: Update,
        #[command(flatten)]
        wait: Wait,
    },
    /// Exchange the deployments of the two slots: what was staged is in production, at the same address
    Swap {
        /// The hosted service
        service: ServiceName,
        #[command(flatten)]
        wait: Wait,
    },
    /// Start a deployment's instances
    Start(Asked),
    /// Stop a deployment's instances; the deployment stays
    Stop(Asked),
    /// Delete a deployment
    Delete(Asked),
    /// List what happened to a deployment's instances
    Events(Events),
}

/// What becomes of a package or configuration of which something has no effect here.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Warnings {
    /// Fail when something of the package or the configuration has no effect, instead of telling it
    #[arg(long)]
    pub warnings_as_errors: bool,
}

/// A deployment: by its slot, or by its name.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The hosted service
    pub service: ServiceName,
    /// The slot
    #[arg(long, default_value = "production", value_parser = ["production", "staging"])]
    pub slot: String,
    /// The deployment's name, instead of its slot
    #[arg(long = "deployment", value_name = "NAME", conflicts_with = "slot")]
    pub name: Option<DeploymentName>,
}

impl Which {
    /// Its path in the management API.
    pub fn path(&self) -> String {
        match &self.name {
            Some(name) => format!("services/hostedservices/{}/deployments/{name}", self.service),
            None => format!("services/hostedservices/{}/deploymentslots/{}", self.service, self.slot),
        }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the deployment {name} of {}", self.service),
            None => write!(f, "the {} deployment of {}", self.slot, self.service),
        }
    }
}

/// A deployment that something is done with.
#[derive(Debug, Clone, clap::Args)]
pub struct Asked {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    wait: Wait,
}

/// How an update goes through a deployment.
#[derive(Debug, Clone, clap::Args)]
pub struct Update {
    /// auto: one update domain after the other; manual: each by `welkin deployment walk`; simultaneous: all at once
    #[arg(long, default_value = "auto", value_parser = ["auto", "manual", "simultaneous"])]
    mode: String,
    /// Also where local data is lost, as by another VM size
    #[arg(long)]
    force: bool,
}

/// Where a package is.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Source {
    /// The service package (.cspkg); it is uploaded, and removed when the cloud has it (not with --no-wait)
    #[arg(long, value_name = "FILE", required_unless_present = "package_url")]
    package: Option<PathBuf>,
    /// The URL of a package that is in the cloud's blob storage
    #[arg(long, value_name = "URL", conflicts_with = "package")]
    package_url: Option<String>,
    /// The service configuration (.cscfg)
    #[arg(long, value_name = "FILE")]
    configuration: PathBuf,
    /// The storage account that the package is uploaded to
    #[arg(long)]
    account: Option<AccountName>,
    /// A name for people [default: the deployment's name or the date]
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    warnings: Warnings,
}

/// Arguments of `welkin deployment create`.
#[derive(Debug, Clone, clap::Args)]
pub struct Create {
    /// The hosted service
    service: ServiceName,
    /// The slot
    #[arg(long, default_value = "production", value_parser = ["production", "staging"])]
    slot: String,
    /// The deployment's name [default: made from the date]
    #[arg(long)]
    name: Option<DeploymentName>,
    #[command(flatten)]
    source: Source,
    /// Leave the instances stopped; `welkin deployment start` starts them
    #[arg(long)]
    stopped: bool,
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `welkin deployment configure`.
#[derive(Debug, Clone, clap::Args)]
pub struct Configure {
    #[command(flatten)]
    which: Which,
    /// The service configuration (.cscfg)
    #[arg(long, value_name = "FILE")]
    configuration: PathBuf,
    /// auto: one update domain after the other; manual: each by `welkin deployment walk`; simultaneous: all at once
    #[arg(long, default_value = "auto", value_parser = ["auto", "manual", "simultaneous"])]
    mode: String,
    #[command(flatten)]
    warnings: Warnings,
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `welkin deployment upgrade`.
#[derive(Debug, Clone, clap::Args)]
pub struct Upgrade {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    update: Update,
    /// Upgrade only this role
    #[arg(long)]
    role: Option<RoleName>,
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `welkin deployment events`.
#[derive(Debug, Clone, clap::Args)]
pub struct Events {
    #[command(flatten)]
    which: Which,
    /// From this day or moment on (UTC) [default: a day ago]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this day or moment (UTC) [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Deployment {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        match self {
            Self::List { service, output } => show::list(client, service.as_ref(), *output),
            Self::Show { which, output } => show::one(client, which, *output),
            Self::Configuration(which) => show::configuration(client, which),
            Self::Events(events) => show::events(client, events),
            Self::Create(create) => change::create(client, create),
            Self::Configure(configure) => change::configure(client, configure),
            Self::Upgrade(upgrade) => change::upgrade(client, upgrade),
            Self::Walk { which, domain, wait } => change::walk(client, which, *domain, *wait),
            Self::Rollback { which, update, wait } => change::rollback(client, which, update, *wait),
            Self::Swap { service, wait } => change::swap(client, service, *wait),
            Self::Start(asked) => change::status(client, asked, "Running"),
            Self::Stop(asked) => change::status(client, asked, "Suspended"),
            Self::Delete(asked) => change::delete(client, asked),
        }
    }
}
