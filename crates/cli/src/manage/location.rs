//! `welkin location`, `role-size`, `guest-os`: what a cloud offers.

use super::listing::{Column, Form, form, text};
use super::{ManageError, Output, print_list};
use crate::client::Client;

/// Verbs of `welkin location`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:\n  welkin location list\n  welkin location list --json")]
pub enum Location {
    /// List the locations where services and storage accounts can be
    List(Output),
}

/// Verbs of `welkin role-size`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:\n  welkin role-size list")]
pub enum RoleSize {
    /// List the sizes that a role's vmsize may name
    List(Output),
}

/// Verbs of `welkin guest-os`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(after_help = "Examples:\n  welkin guest-os list")]
pub enum GuestOs {
    /// List the guest OS versions that a configuration's osVersion may name
    List(Output),
}

const LOCATIONS: &[Column] = &[
    text("name", "name", "Name"),
    text("display name", "displayName", "DisplayName"),
    form("services", "services", "AvailableServices/AvailableService", Form::List),
];
const SIZES: &[Column] = &[
    text("name", "name", "Name"),
    form("cores", "cores", "Cores", Form::Number),
    form("memory (MiB)", "memoryMib", "MemoryInMb", Form::Number),
    form("local disk (MiB)", "localDiskMib", "WebWorkerResourceDiskSizeInMb", Form::Number),
];
const SYSTEMS: &[Column] = &[
    text("version", "version", "Version"),
    form("label", "label", "Label", Form::Base64),
    form("default", "isDefault", "IsDefault", Form::Flag),
    form("active", "isActive", "IsActive", Form::Flag),
    form("family", "family", "Family", Form::Number),
];

impl Location {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let Self::List(output) = self;
        print_list(&client.get("locations")?, "Location", LOCATIONS, *output, "there are no locations")
    }
}

impl RoleSize {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let Self::List(output) = self;
        print_list(&client.get("rolesizes")?, "RoleSize", SIZES, *output, "there are no sizes")
    }
}

impl GuestOs {
    /// Carries the command out.
    pub fn run(&self, client: &Client) -> Result<(), ManageError> {
        let Self::List(output) = self;
        let answer = client.get("operatingsystems")?;
        print_list(&answer, "OperatingSystem", SYSTEMS, *output, "there is no guest OS")
    }
}
