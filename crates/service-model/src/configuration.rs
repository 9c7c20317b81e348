//! The service configuration (`.cscfg`): counts, settings and thumbprints of a service's roles.
//!
//! Source: SERVICEMODEL, "ServiceConfiguration".

use std::fmt;

use roxmltree::Node;
use welkin_base::RoleName;

use crate::certificate::{self, Certificate};
use crate::network_configuration::{self, NetworkConfiguration};
use crate::problem::{Position, Problem, Problems, SourceFile};
use crate::xml::{self, Reader, Shape, children, echo, members};

/// Namespace of a service configuration.
pub const NAMESPACE: &str = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration";
/// Instances of one role, at most: the names `<Role>_IN_<n>` and the plan stay small enough to push whole.
pub const INSTANCES_PER_ROLE_MAX: u32 = 1_000;
/// Guest OS families of the classic API (1 = Windows Server 2008 SP2 … 6 = 2019).
const OS_FAMILIES: std::ops::RangeInclusive<u32> = 1..=6;
/// Computer name prefix, in characters, at most (`schema-cscfg-role`, "vmName").
const VM_NAME_CHARS_MAX: usize = 10;

/// A service configuration that is right in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfiguration {
    /// The service's name, as in the definition.
    pub service_name: String,
    /// `osFamily`.
    pub os_family: u32,
    /// `osVersion`: a guest OS version, or `*` for the newest.
    pub os_version: String,
    /// The roles, in the order of the file.
    pub roles: Vec<RoleConfiguration>,
    /// `<NetworkConfiguration>`.
    pub network: NetworkConfiguration,
    /// What has no effect here, for people.
    pub warnings: Vec<Problem>,
}

/// A role, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleConfiguration {
    /// Its name.
    pub name: RoleName,
    /// `vmName`: prefix of the instances' computer names.
    pub vm_name: Option<String>,
    /// `Instances count`.
    pub instance_count: u32,
    /// Values of settings, with the place of each.
    pub settings: Vec<(String, SettingValue, Position)>,
    /// Thumbprints.
    pub certificates: Vec<Certificate>,
    /// Where the file has it.
    pub position: Position,
}

/// The value of a setting. It may be a key, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingValue(String);

impl SettingValue {
    /// The value itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SettingValue {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

const ROOT: Shape = Shape {
    attributes: &["serviceName", "osFamily", "osVersion", "schemaVersion"],
    once: &["NetworkConfiguration"],
    many: &["Role"],
};
const ROLE: Shape = Shape {
    attributes: &["name", "vmName"],
    once: &["Instances", "ConfigurationSettings", "Certificates"],
    many: &[],
};
const INSTANCES: Shape = Shape::leaf(&["count"]);
const SETTINGS: Shape = Shape::list(&["Setting"]);
const SETTING: Shape = Shape::leaf(&["name", "value"]);

impl ServiceConfiguration {
    /// Parses the text of a `.cscfg`.
    ///
    /// # Errors
    /// Every problem of the text, each with line and column.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let root = ("ServiceConfiguration", NAMESPACE);
        let (mut configuration, warnings) = xml::read(SourceFile::Configuration, text, root, read)?;
        configuration.warnings = warnings;
        Ok(configuration)
    }
}

fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, root: Node<'d, 'i>) -> ServiceConfiguration {
    reader.shape(root, &ROOT);
    let mut roles: Vec<RoleConfiguration> = Vec::new();
    for node in children(root, "Role") {
        let Some(role) = read_role(reader, node) else { continue };
        if roles.iter().any(|other| other.name == role.name) {
            reader.problem(node, format!("role {} is configured twice; remove one", role.name));
        }
        roles.push(role);
    }
    let network = children(root, "NetworkConfiguration").next();
    let network = network.map(|node| network_configuration::read(reader, node)).unwrap_or_default();
    let os_version = root.attribute("osVersion").unwrap_or("*").trim();
    if os_version != "*" && !os_version.is_empty() && !os_version.contains("GUEST-OS-") {
        reader.bad_value(root, "osVersion", "\"*\" or the name of a guest OS version");
    }
    ServiceConfiguration {
        service_name: reader.required(root, "serviceName").to_owned(),
        os_family: reader.number(root, "osFamily", OS_FAMILIES).unwrap_or(1),
        os_version: if os_version.is_empty() { "*" } else { os_version }.to_owned(),
        roles,
        network,
        warnings: Vec::new(),
    }
}

fn read_role<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> Option<RoleConfiguration> {
    reader.shape(node, &ROLE);
    let instance_count = match children(node, "Instances").next() {
        Some(instances) => {
            reader.shape(instances, &INSTANCES);
            reader.required(instances, "count");
            reader.number(instances, "count", 1..=INSTANCES_PER_ROLE_MAX)
        }
        None => {
            reader.problem(node, String::from("<Role> needs <Instances count=\"1\" />"));
            None
        }
    };
    let vm_name = node.attribute("vmName");
    if vm_name.is_some_and(|name| !is_computer_name(name)) {
        reader.bad_value(node, "vmName", "1 to 10 letters, digits and hyphens");
    }
    let settings = read_settings(reader, node);
    let certificates = certificate::read_thumbprints(reader, node);
    let name = reader.required(node, "name");
    let parsed = RoleName::new(name);
    if parsed.is_err() && !name.is_empty() {
        reader.bad_value(node, "name", RoleName::RULE);
    }
    Some(RoleConfiguration {
        name: parsed.ok()?,
        vm_name: vm_name.map(str::to_owned),
        instance_count: instance_count.unwrap_or(1),
        settings,
        certificates,
        position: reader.position(node),
    })
}

fn is_computer_name(name: &str) -> bool {
    (1..=VM_NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn read_settings<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    role: Node<'d, 'i>,
) -> Vec<(String, SettingValue, Position)> {
    for list in children(role, "ConfigurationSettings") {
        reader.shape(list, &SETTINGS);
    }
    let mut settings: Vec<(String, SettingValue, Position)> = Vec::new();
    for node in members(role, "ConfigurationSettings", "Setting") {
        reader.shape(node, &SETTING);
        let name = reader.label(node, "name");
        let Some(value) = node.attribute("value") else {
            reader.problem(node, format!("setting {} needs value=; it may be empty", echo(&name)));
            continue;
        };
        if settings.iter().any(|(other, _, _)| *other == name) {
            reader.problem(node, format!("setting {} is given twice; remove one", echo(&name)));
        }
        settings.push((name, SettingValue::from(value), reader.position(node)));
    }
    settings
}
