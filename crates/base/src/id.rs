//! Ids that the system makes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{InstanceName, NameError};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 32 hexadecimal digits, with or without dashes.
    #[error("{0:?} is not an id: expected a GUID, such as 6ba7b810-9dad-11d1-80b4-00c04fd430c8")]
    NotGuid(String),
    /// Not `<deployment id>/<instance name>`.
    #[error("{0:?} is not an instance id: expected <deployment id>/<instance name>")]
    NotInstance(String),
    /// The instance part is not an instance name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// A subscription's id: a GUID in lower case with dashes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionId(String);

/// A deployment's private id: 32 lower-case hexadecimal digits, new for each deployment
/// that is created (SMAPI: `PrivateID`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeploymentId(String);

/// One role instance in the whole cloud: `<deployment id>/<instance name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    deployment: DeploymentId,
    name: InstanceName,
}

fn hex_digits(text: &str) -> Result<String, IdError> {
    let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let plain = text.len() == 32 || text.len() == 36;
    if plain && digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(IdError::NotGuid(text.chars().take(80).collect()))
    }
}

impl SubscriptionId {
    /// Parses a GUID with or without dashes, in any case.
    ///
    /// # Errors
    /// When the text is not a GUID.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let d = hex_digits(text)?;
        Ok(Self(format!("{}-{}-{}-{}-{}", &d[..8], &d[8..12], &d[12..16], &d[16..20], &d[20..])))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DeploymentId {
    /// Parses a GUID with or without dashes, in any case.
    ///
    /// # Errors
    /// When the text is not a GUID.
    pub fn new(text: &str) -> Result<Self, IdError> {
        hex_digits(text).map(Self)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InstanceId {
    /// The instance `name` of `deployment`.
    #[must_use]
    pub fn new(deployment: DeploymentId, name: InstanceName) -> Self {
        Self { deployment, name }
    }

    /// The deployment that the instance belongs to.
    #[must_use]
    pub fn deployment(&self) -> &DeploymentId {
        &self.deployment
    }

    /// The instance's name within its deployment.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        &self.name
    }
}

impl FromStr for InstanceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (deployment, name) =
            text.split_once('/').ok_or_else(|| IdError::NotInstance(text.chars().take(80).collect()))?;
        Ok(Self { deployment: DeploymentId::new(deployment)?, name: InstanceName::new(name)? })
    }
}

macro_rules! text_forms {
    ($type:ident) => {
        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_forms!(SubscriptionId);
text_forms!(DeploymentId);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.deployment, self.name)
    }
}

macro_rules! via_string {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.to_string()
            }
        }
    };
}
via_string!(SubscriptionId);
via_string!(DeploymentId);
via_string!(InstanceId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_ids_are_canonical() {
        let id = SubscriptionId::new("6BA7B8109DAD11D180B400C04FD430C8").unwrap();
        assert_eq!(id.as_str(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
        assert!(SubscriptionId::new("6ba7b810").is_err());
        assert!(SubscriptionId::new("zba7b8109dad11d180b400c04fd430c8").is_err());
    }

    #[test]
    fn instance_id_round_trips() {
        let text = "6ba7b8109dad11d180b400c04fd430c8/Web_IN_0";
        let id: InstanceId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.name().as_str(), "Web_IN_0");
        assert!("Web_IN_0".parse::<InstanceId>().is_err());
    }
}
