//! What role code sees of the world: the role environment.
//!
//! The GA gives it to the role three ways: as JSON over the local socket `ROLE_SOCKET`
//! (`GET /v1/environment`), as a file (`ROLE_FILE`), and as environment variables, for
//! programs that know nothing of Welkin.
//!
//! A role that waits in `GET /v1/changes` is offered each [`EnvironmentChange`] and answers
//! `POST /v1/changes/<number>/accept` or `…/restart`. One that does not wait there is started again when its
//! settings change: its environment variables would stay as they were.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use welkin_base::{DeploymentId, InstanceName, RoleName};

/// The Unix socket inside the guest where the role environment is served (HTTP/1.1).
pub const ROLE_SOCKET: &str = "/run/welkin/role.sock";
/// The same environment as a JSON file.
pub const ROLE_FILE: &str = "/run/welkin/environment.json";
/// Environment variable that names the role socket.
pub const ENV_SOCKET: &str = "WELKIN_ROLE_SOCKET";
/// Environment variables `WELKIN_SETTING_<NAME>`: one for each configuration setting; in the
/// name every byte that is not a letter or digit becomes `_`, and letters upper case.
pub const ENV_SETTING_PREFIX: &str = "WELKIN_SETTING_";
/// Environment variables `WELKIN_ENDPOINT_<NAME>`: `address:port` to listen on.
pub const ENV_ENDPOINT_PREFIX: &str = "WELKIN_ENDPOINT_";
/// Environment variables `WELKIN_LOCAL_<NAME>`: the folder of a local resource.
pub const ENV_LOCAL_PREFIX: &str = "WELKIN_LOCAL_";
/// Environment variables `WELKIN_CERTIFICATE_<NAME>`: the file with a certificate and its chain, in PEM.
pub const ENV_CERTIFICATE_PREFIX: &str = "WELKIN_CERTIFICATE_";
/// The folder of those files. Private keys are in no file: [`ROLE_SOCKET`] signs with them.
pub const CERTIFICATE_FOLDER: &str = "/run/welkin/certificates";
/// A message that the role has signed, in bytes, at most. A TLS handshake signs less than 200.
pub const SIGNED_BYTES_MAX: usize = 64 << 10;
/// Environment variables `WELKIN_INSTANCE`, `WELKIN_ROLE`, `WELKIN_DEPLOYMENT`.
pub const ENV_INSTANCE: &str = "WELKIN_INSTANCE";
/// See [`ENV_INSTANCE`].
pub const ENV_ROLE: &str = "WELKIN_ROLE";
/// See [`ENV_INSTANCE`].
pub const ENV_DEPLOYMENT: &str = "WELKIN_DEPLOYMENT";

/// The customer's values by name: settings, or variables. They may hold keys and passwords, so `Debug` shows the names.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(pub BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl std::ops::Deref for Values {
    type Target = BTreeMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<(String, String)> for Values {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl From<BTreeMap<String, String>> for Values {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }
}

impl<'a> IntoIterator for &'a Values {
    type Item = (&'a String, &'a String);
    type IntoIter = std::collections::btree_map::Iter<'a, String, String>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// The role environment of one instance (SERVICEMODEL, "RoleEnvironment API concepts").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEnvironment {
    /// The deployment's private id.
    pub deployment: DeploymentId,
    /// The hosted service's name.
    pub service: String,
    /// The instance's role.
    pub role: RoleName,
    /// The instance's name, `<Role>_IN_<n>`.
    pub instance: InstanceName,
    /// Counted from 0.
    pub update_domain: u32,
    /// Counted from 0.
    pub fault_domain: u32,
    /// Settings by name, as the service configuration has them.
    pub settings: Values,
    /// Where this instance listens.
    pub endpoints: Vec<Endpoint>,
    /// Folders that the role may write to.
    pub local_resources: Vec<LocalResource>,
    /// Instances of the deployment that declare an internal endpoint, this one included.
    pub peers: Vec<Peer>,
}

/// A change of the role environment that is offered to a role which runs (SERVICEMODEL §4, "Events"). The role environment
/// is the new one already; the role takes it as it runs, or is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentChange {
    /// Names the change in the role's answer.
    pub number: u64,
    /// Names of settings that came, went or have another value.
    pub settings: Vec<String>,
    /// Whether other instances came, went or moved.
    pub topology: bool,
}

/// An endpoint of an instance: the address and port to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The endpoint's name in the service definition.
    pub name: String,
    /// `http`, `https`, `tcp`, `udp` or `any`.
    pub protocol: String,
    /// The instance's own address.
    pub address: Ipv4Addr,
    /// The port to listen on (`localPort`).
    pub port: u16,
    /// The port of the load-balanced endpoint, for input endpoints.
    pub public_port: Option<u16>,
}

/// A folder on C that the role owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalResource {
    /// The resource's name in the service definition.
    pub name: String,
    /// Absolute path inside the guest.
    pub path: String,
    /// The size that the service definition asks for.
    pub size_mib: u32,
    /// Whether the folder is emptied each time the role starts.
    pub clean_on_role_recycle: bool,
}

/// Another instance, as far as its internal endpoints make it visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The peer's role.
    pub role: RoleName,
    /// The peer's name.
    pub instance: InstanceName,
    /// The peer's internal endpoints.
    pub endpoints: Vec<Endpoint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_and_not_shown() {
        let values: Values = [("Password".to_owned(), "hunter2".to_owned())].into_iter().collect();
        assert_eq!(serde_json::to_string(&values).unwrap(), r#"{"Password":"hunter2"}"#);
        assert_eq!(format!("{values:?}"), r#"{"Password"}"#);
    }
}
