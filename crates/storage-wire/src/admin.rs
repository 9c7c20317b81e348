//! What management says to the storage service of its accounts. JSON over mTLS, apart from the
//! Azure Storage protocol and its ports.
//!
//! | call | meaning |
//! |---|---|
//! | `GET /v1/accounts` | list of account names |
//! | `PUT /v1/accounts/{name}` | makes the account; 201 with [`AccountKeys`], 409 when the name is taken |
//! | `GET /v1/accounts/{name}/keys` | [`AccountKeys`]; 404 |
//! | `POST /v1/accounts/{name}/keys/{primary or secondary}` | a new key; [`AccountKeys`] |
//! | `GET /v1/accounts/{name}/settings` | [`AccountSettings`] |
//! | `PUT /v1/accounts/{name}/settings` | replaces them; 204, 400 when they cannot be |
//! | `DELETE /v1/accounts/{name}/delegation-keys` | revokes every user delegation key; 204 |
//! | `DELETE /v1/accounts/{name}` | the account and all in it; 204 |

use std::fmt;

use serde::{Deserialize, Serialize};

/// The two keys of an account, each 64 bytes in base64. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountKeys {
    /// The primary key.
    pub primary: String,
    /// The secondary key.
    pub secondary: String,
}

impl fmt::Debug for AccountKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKeys(..)")
    }
}

/// What an account's owner chooses, beside the protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountSettings {
    /// Each write of a blob keeps the state before it as a version.
    pub versioning: bool,
    /// Deleted containers can be restored for this many days.
    pub container_retention_days: Option<u32>,
    /// Names of encryption scopes that blobs may be written under.
    pub encryption_scopes: Vec<String>,
}

/// Retention of deleted containers, in days, as Azure bounds it.
const RETENTION_DAYS_MAX: u32 = 365;
/// Encryption scopes of an account.
const SCOPES_MAX: usize = 1000;

/// Why settings cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Days outside the range.
    #[error(
        "container_retention_days is {0}: deleted containers are kept for 1 to {RETENTION_DAYS_MAX} days"
    )]
    Days(u32),
    /// A name that no scope can have.
    #[error("{0:?} cannot name an encryption scope: 3 to 63 letters, digits and hyphens")]
    ScopeName(String),
    /// Too many scopes.
    #[error("an account has at most {SCOPES_MAX} encryption scopes")]
    Scopes,
}

impl AccountSettings {
    /// Whether an account can have them.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<(), SettingsError> {
        let fits = |name: &str| {
            (3..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        match self.container_retention_days {
            Some(days) if !(1..=RETENTION_DAYS_MAX).contains(&days) => return Err(SettingsError::Days(days)),
            _ => {}
        }
        if let Some(name) = self.encryption_scopes.iter().find(|name| !fits(name)) {
            return Err(SettingsError::ScopeName(name.clone()));
        }
        if self.encryption_scopes.len() > SCOPES_MAX {
            return Err(SettingsError::Scopes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let days =
            |days| AccountSettings { container_retention_days: Some(days), ..AccountSettings::default() };
        let scopes =
            |names: Vec<String>| AccountSettings { encryption_scopes: names, ..AccountSettings::default() };
        let many = |count: usize| scopes((0..count).map(|n| format!("scope-{n}")).collect());
        let named = |chars: usize| scopes(vec!["s".repeat(chars)]);
        for (settings, fits) in [
            (days(0), false),
            (days(1), true),
            (days(2), true),
            (days(364), true),
            (days(365), true),
            (days(366), false),
            (many(999), true),
            (many(1000), true),
            (many(1001), false),
            (named(2), false),
            (named(3), true),
            (named(4), true),
            (named(62), true),
            (named(63), true),
            (named(64), false),
            (scopes(vec!["a_b".to_owned()]), false),
        ] {
            assert_eq!(settings.check().is_ok(), fits, "{settings:?}");
        }
    }
}
