//! Names that people choose, each a type of its own and valid once it exists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {noun}: {rule}")]
pub struct NameError {
    noun: &'static str,
    text: String,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $noun:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The rule that every value keeps, as told to people.
            pub const RULE: &'static str = $rule;

            /// Parses a name.
            ///
            /// # Errors
            /// When the text breaks [`Self::RULE`].
            pub fn new(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let text = text.chars().take(MAX_ECHO_CHARS).collect();
                    Err(NameError { noun: $noun, text, rule: $rule })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

/// An error echoes at most this much of what it was given.
const MAX_ECHO_CHARS: usize = 80;

name!(
    /// A storage account's name; the first label of its host name.
    AccountName,
    "storage account name",
    "3 to 24 lower-case letters and digits",
    |t| (3..=24).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
);

name!(
    /// A hosted service's name; a DNS label.
    ServiceName,
    "hosted service name",
    "1 to 63 letters, digits and hyphens, beginning and ending with a letter or digit",
    is_dns_label
);

name!(
    /// A deployment's name, unique in its hosted service.
    DeploymentName,
    "deployment name",
    "1 to 63 letters, digits, hyphens, underscores and points, beginning with a letter or digit",
    |t| is_word(t, 63, b"-_.")
);

name!(
    /// A role's name, as the service definition has it.
    RoleName,
    "role name",
    "1 to 63 letters, digits, hyphens, underscores and points, beginning with a letter or digit",
    |t| is_word(t, 63, b"-_.")
);

name!(
    /// A role instance's name within its deployment: `<Role>_IN_<n>`.
    InstanceName,
    "role instance name",
    "1 to 80 letters, digits, hyphens, underscores and points, beginning with a letter or digit",
    |t| is_word(t, 80, b"-_.")
);

name!(
    /// A node's name; a DNS label.
    NodeName,
    "node name",
    "1 to 63 letters, digits and hyphens, beginning and ending with a letter or digit",
    is_dns_label
);

impl InstanceName {
    /// The name of a role's `index`-th instance (SERVICEMODEL, "Placement": `<Role>_IN_<n>`).
    #[must_use]
    pub fn of(role: &RoleName, index: u32) -> Self {
        Self(format!("{role}_IN_{index}"))
    }
}

fn is_dns_label(text: &str) -> bool {
    is_word(text, 63, b"-") && !text.ends_with('-')
}

fn is_word(text: &str, length_max: usize, also: &[u8]) -> bool {
    text.len() <= length_max
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_names() {
        for (text, valid) in [
            ("abc", true),
            ("devstoreaccount1", true),
            ("0ab", true),
            ("Abc", false),
            ("a-b", false),
            ("äbc", false),
        ] {
            assert_eq!(AccountName::new(text).is_ok(), valid, "{text}");
        }
        for (chars, valid) in
            [(0, false), (2, false), (3, true), (4, true), (23, true), (24, true), (25, false)]
        {
            assert_eq!(AccountName::new(&"a".repeat(chars)).is_ok(), valid, "{chars}");
        }
    }

    #[test]
    fn service_names() {
        for (text, valid) in
            [("guestbook", true), ("a-b", true), ("-a", false), ("a-", false), ("", false), ("a/b", false)]
        {
            assert_eq!(ServiceName::new(text).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn instance_name_of_role() {
        let role = RoleName::new("Web").unwrap();
        assert_eq!(InstanceName::of(&role, 2).as_str(), "Web_IN_2");
    }
}
