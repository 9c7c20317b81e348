//! What management says to the storage service of its accounts. JSON over mTLS, apart from the
//! Azure Storage protocol and its ports.
//!
//! | call | meaning |
//! |---|---|
//! | `GET /v1/accounts` | list of account names |
//! | `PUT /v1/accounts/{name}` | makes the account; 201 with [`AccountKeys`], 409 when the name is taken |
//! | `GET /v1/accounts/{name}/keys` | [`AccountKeys`]; 404 |
//! | `POST /v1/accounts/{name}/keys/{primary or secondary}` | a new key; [`AccountKeys`] |
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
