//! Who this instance is, and what it was given.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use welkin_agent_wire::role::{
    ENV_ENDPOINT_PREFIX, ENV_INSTANCE, ENV_LOCAL_PREFIX, ENV_ROLE, ENV_SETTING_PREFIX, ENV_SOCKET, ROLE_FILE,
    RoleEnvironment as Known,
};

use crate::role_socket;

/// Why the role environment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The guest agent does not answer on its socket.
    #[error("the guest agent does not answer: {0}")]
    Socket(std::io::Error),
    /// What the guest agent said cannot be read.
    #[error("the guest agent said something that cannot be read: {0}")]
    Malformed(String),
    /// The role has none of that name.
    #[error("the role has no {what} {name:?}; declare it in the service definition, or set {variable}")]
    Missing {
        /// What was asked for.
        what: &'static str,
        /// Its name.
        name: String,
        /// The environment variable that stands for it outside a VM.
        variable: String,
    },
}

/// The role environment at one moment. Settings may change while a role runs that takes changes with
/// [`on_change`](crate::on_change): read it again with [`RoleEnvironment::current`].
///
/// Outside a VM, where no guest agent answers, the environment variables alone say everything; so a
/// role runs on a developer's machine as it is.
#[derive(Debug, Clone)]
pub struct RoleEnvironment {
    known: Option<Known>,
}

impl RoleEnvironment {
    /// Reads the role environment: from the guest agent's socket, else from its file, else from the
    /// environment variables.
    ///
    /// # Errors
    /// When the guest agent is there and gives no sensible answer.
    pub fn current() -> Result<Self, EnvironmentError> {
        let json = match env::var_os(ENV_SOCKET) {
            Some(socket) => match role_socket::environment(&socket) {
                Ok(json) => json,
                Err(error) => fs::read(ROLE_FILE).map_err(|_| EnvironmentError::Socket(error))?,
            },
            None => return Ok(Self { known: None }),
        };
        let known =
            serde_json::from_slice(&json).map_err(|error| EnvironmentError::Malformed(error.to_string()))?;
        Ok(Self { known: Some(known) })
    }

    /// Whether the role runs in a VM of a cloud, rather than on a developer's machine.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.known.is_some()
    }

    /// The instance's name, `<Role>_IN_<n>`.
    #[must_use]
    pub fn instance(&self) -> String {
        let known = self.known.as_ref().map(|known| known.instance.to_string());
        known.or_else(|| env::var(ENV_INSTANCE).ok()).unwrap_or_else(|| format!("{}_IN_0", self.role()))
    }

    /// The role's name.
    #[must_use]
    pub fn role(&self) -> String {
        let known = self.known.as_ref().map(|known| known.role.to_string());
        known.or_else(|| env::var(ENV_ROLE).ok()).unwrap_or_else(|| "Role".to_owned())
    }

    /// The instance's update domain, counted from 0.
    #[must_use]
    pub fn update_domain(&self) -> u32 {
        self.known.as_ref().map_or(0, |known| known.update_domain)
    }

    /// The instance's fault domain, counted from 0.
    #[must_use]
    pub fn fault_domain(&self) -> u32 {
        self.known.as_ref().map_or(0, |known| known.fault_domain)
    }

    /// A configuration setting's value.
    ///
    /// # Errors
    /// When the role has no such setting.
    pub fn setting(&self, name: &str) -> Result<String, EnvironmentError> {
        let known = self.known.as_ref().and_then(|known| known.settings.get(name).cloned());
        or_variable(known, "setting", ENV_SETTING_PREFIX, name)
    }

    /// Where to listen for an endpoint.
    ///
    /// # Errors
    /// When the role has no such endpoint, or the variable that stands for it is no `address:port`.
    pub fn endpoint(&self, name: &str) -> Result<SocketAddr, EnvironmentError> {
        let endpoints = self.known.iter().flat_map(|known| &known.endpoints);
        let known = endpoints.into_iter().find(|endpoint| endpoint.name == name);
        let known = known.map(|endpoint| format!("{}:{}", endpoint.address, endpoint.port));
        let text = or_variable(known, "endpoint", ENV_ENDPOINT_PREFIX, name)?;
        text.parse().map_err(|_| {
            EnvironmentError::Malformed(format!("endpoint {name}: {text:?} is not address:port"))
        })
    }

    /// The folder of a local resource.
    ///
    /// # Errors
    /// When the role has no such resource.
    pub fn local_resource(&self, name: &str) -> Result<PathBuf, EnvironmentError> {
        let mut resources = self.known.iter().flat_map(|known| &known.local_resources);
        let known = resources.find(|resource| resource.name == name).map(|resource| resource.path.clone());
        or_variable(known, "local resource", ENV_LOCAL_PREFIX, name).map(PathBuf::from)
    }
}

fn or_variable(
    known: Option<String>,
    what: &'static str,
    prefix: &str,
    name: &str,
) -> Result<String, EnvironmentError> {
    let variable = variable(prefix, name);
    known.or_else(|| env::var(&variable).ok()).ok_or_else(|| EnvironmentError::Missing {
        what,
        name: name.to_owned(),
        variable,
    })
}

/// The environment variable of a setting, endpoint or resource.
fn variable(prefix: &str, name: &str) -> String {
    let word = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    prefix.chars().chain(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let environment = RoleEnvironment { known: None };
        let check = |result: Result<String, EnvironmentError>, expected: &str| {
            assert_eq!(result.unwrap_err().to_string(), expected);
        };
        check(
            environment.setting("No.Such"),
            "the role has no setting \"No.Such\"; declare it in the service definition, or set WELKIN_SETTING_NO_SUCH",
        );
        check(
            environment.endpoint("no").map(|address| address.to_string()),
            "the role has no endpoint \"no\"; declare it in the service definition, or set WELKIN_ENDPOINT_NO",
        );
    }

    #[test]
    fn a_known_environment_answers() {
        let known = serde_json::from_value(serde_json::json!({
            "deployment": "6ba7b8109dad11d180b400c04fd430c8", "service": "s", "role": "Web", "instance": "Web_IN_1",
            "update_domain": 1, "fault_domain": 0, "settings": {"Colour": "blue"},
            "endpoints": [{"name": "http", "protocol": "http", "address": "10.0.0.2", "port": 80, "public_port": 80}],
            "local_resources": [
                {"name": "cache", "path": "/local/resources/cache", "size_mib": 1, "clean_on_role_recycle": true}
            ],
            "peers": []
        }));
        let environment = RoleEnvironment { known: known.unwrap() };
        assert_eq!(environment.instance(), "Web_IN_1");
        assert_eq!(environment.setting("Colour").unwrap(), "blue");
        assert_eq!(environment.endpoint("http").unwrap().to_string(), "10.0.0.2:80");
        assert_eq!(environment.local_resource("cache").unwrap(), PathBuf::from("/local/resources/cache"));
    }
}
