//! The role environment as environment variables and as a file, for programs that know
//! nothing of Welkin.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::{io, io::Write};

use welkin_agent_wire::guest::GuestGoal;
use welkin_agent_wire::role::{
    ENV_CERTIFICATE_PREFIX, ENV_DEPLOYMENT, ENV_ENDPOINT_PREFIX, ENV_INSTANCE, ENV_LOCAL_PREFIX, ENV_ROLE,
    ENV_SETTING_PREFIX, ENV_SOCKET, ROLE_FILE, ROLE_SOCKET, RoleEnvironment,
};

use crate::certificate::path_of;
use crate::error::{Doing, GuestError};
use crate::process::{APP, PATH, ROLE_UID};
use crate::resource::TEMPORARY;

/// The folder of [`ROLE_FILE`] and [`ROLE_SOCKET`].
pub const FOLDER: &str = "/run/welkin";

/// Writes [`ROLE_FILE`] whole or not at all. Its settings may be secrets: only root and the role read it.
///
/// # Errors
/// When the file cannot be written.
pub fn publish(json: &str) -> Result<(), GuestError> {
    let next = format!("{ROLE_FILE}.next");
    let write = || -> io::Result<()> {
        fs::create_dir_all(FOLDER)?;
        let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&next);
        let mut file = options?;
        chown(&next, Some(0), Some(ROLE_UID))?;
        file.write_all(json.as_bytes())?;
        fs::rename(&next, ROLE_FILE)
    };
    write().doing(|| format!("write {ROLE_FILE}"))
}

/// Every variable of the role and its tasks. What the service definition names wins over what the
/// role environment says, and a task's own variables over both.
pub fn variables(goal: &GuestGoal, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = from_environment(&goal.environment);
    let certificates = goal.certificates.iter();
    all.extend(certificates.map(|named| (key(ENV_CERTIFICATE_PREFIX, &named.name), path_of(&named.name))));
    all.extend(goal.variables.0.clone());
    all.extend(own.clone());
    all.retain(|name, value| is_variable(name, value));
    all
}

fn from_environment(environment: &RoleEnvironment) -> BTreeMap<String, String> {
    let fixed = [
        // A command line may name a file of the application alone, as the classic service takes it.
        ("PATH", format!("{PATH}:{APP}")),
        ("HOME", TEMPORARY.to_owned()),
        ("TMPDIR", TEMPORARY.to_owned()),
        ("RoleRoot", APP.to_owned()),
        (ENV_SOCKET, ROLE_SOCKET.to_owned()),
        (ENV_INSTANCE, environment.instance.to_string()),
        (ENV_ROLE, environment.role.to_string()),
        (ENV_DEPLOYMENT, environment.deployment.to_string()),
    ];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
    let settings =
        environment.settings.iter().map(|(name, value)| (key(ENV_SETTING_PREFIX, name), value.clone()));
    let endpoints = environment.endpoints.iter().map(|endpoint| {
        (key(ENV_ENDPOINT_PREFIX, &endpoint.name), format!("{}:{}", endpoint.address, endpoint.port))
    });
    let resources = environment
        .local_resources
        .iter()
        .map(|resource| (key(ENV_LOCAL_PREFIX, &resource.name), resource.path.clone()));
    fixed.into_iter().chain(settings).chain(endpoints).chain(resources).collect()
}

fn key(prefix: &str, name: &str) -> String {
    let word = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    prefix.chars().chain(word).collect()
}

/// A name with `=` or a zero byte in either would not arrive as it was meant.
fn is_variable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::{is_variable, key};

    #[test]
    fn variable_names_are_upper_case_words() {
        let check = |name, expected: &str| assert_eq!(key("WELKIN_SETTING_", name), expected);
        check("StorageConnectionString", "WELKIN_SETTING_STORAGECONNECTIONSTRING");
        check("Microsoft.Plugins.Level-1", "WELKIN_SETTING_MICROSOFT_PLUGINS_LEVEL_1");
        check("größe", "WELKIN_SETTING_GR__E");
    }

    #[test]
    fn odd_variables_are_left_out() {
        assert!(is_variable("A", "b=c"));
        assert!(!is_variable("", "b"));
        assert!(!is_variable("A=B", "c"));
        assert!(!is_variable("A", "b\0"));
    }
}
