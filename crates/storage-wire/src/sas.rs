//! Shared access signatures: a query that carries its own permissions, signed with an account key or with a
//! user delegation key (STORAGE, section 0.2).
//!
//! A server parses with [`Sas::of`], then [`Sas::verify`]s, merges a stored access policy, and asks
//! [`Sas::check`]. A client that wants to hand out read access to one blob calls [`blob_read_query`]:
//!
//! ```
//! use welkin_storage_wire::{sas, shared_key::AccountKey};
//! # let expiry = welkin_base::Timestamp::from_ticks(0);
//! let key = AccountKey::from_base64("c2VjcmV0")?;
//! let query = sas::blob_read_query("account", &key, "container", "a blob", expiry);
//! let url = format!("http://127.0.0.1:10000/account/container/a%20blob?{query}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod limit;
mod scope;
mod text;

use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

use crate::delegation::DelegationKey;
use crate::error::{ErrorCode, ProtocolError};
use crate::operation::{ResourceType, Service, Spec};
use crate::request::{ApiVersion, RequestHead};
use crate::shared_key::AccountKey;

use scope::Scope;

/// Permission letters that exist, for an account SAS and for a service SAS.
const PERMISSIONS: &str = "racwdxyltfmeopiu";
/// Since then accounts have signatures, and addresses and protocols are signed.
const ACCOUNT_SINCE: &str = "2015-04-05";
/// Since then a user can sign, with a delegated key.
const DELEGATION_SINCE: &str = "2018-11-09";

/// What a stored access policy says; fields that it leaves out must be in the SAS. It lies in the store as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAccessPolicy {
    /// Its name within the container, queue or table.
    pub id: String,
    /// Not valid before.
    pub start: Option<Timestamp>,
    /// Not valid from here on.
    pub expiry: Option<Timestamp>,
    /// Permission letters.
    pub permissions: Option<String>,
}

/// The keys of entities that a table SAS is limited to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// First partition key.
    pub start_partition: Option<String>,
    /// First row key, in the first partition.
    pub start_row: Option<String>,
    /// Last partition key.
    pub end_partition: Option<String>,
    /// Last row key, in the last partition.
    pub end_row: Option<String>,
}

/// A shared access signature as a request has it. Proves nothing until [`Sas::verify`] says so.
#[derive(Clone)]
pub struct Sas<'a> {
    head: &'a RequestHead,
    scope: Scope,
    permissions: Option<String>,
    start: Option<Timestamp>,
    expiry: Option<Timestamp>,
}

/// From where and how a request came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When.
    pub now: Timestamp,
    /// The peer's address.
    pub address: IpAddr,
    /// Whether over TLS.
    pub https: bool,
}

impl<'a> Sas<'a> {
    /// The SAS of a request, if it has one.
    ///
    /// # Errors
    /// When its fields cannot be understood.
    pub fn of(head: &'a RequestHead) -> Result<Option<Self>, ProtocolError> {
        if head.query.get("sig").is_none() {
            return Ok(None);
        }
        let scope = scope::of(head)?;
        let field = |name| head.query.get_filled(name);
        let version = field("sv").unwrap_or("");
        if !version.is_empty() && ApiVersion::parse(version).is_err() {
            return Err(failed("sv is no version of the protocol"));
        }
        if scope == Scope::Account && version < ACCOUNT_SINCE {
            return Err(failed("a signature of an account has an sv from 2015-04-05 on"));
        }
        let moment = |name: &'static str| field(name).map(|t| parse_moment(name, t)).transpose();
        let permissions = field("sp").map(str::to_owned);
        if permissions.as_ref().is_some_and(|p| p.chars().any(|c| !PERMISSIONS.contains(c))) {
            return Err(failed("sp has letters that are no permissions"));
        }
        Ok(Some(Self { head, scope, permissions, start: moment("st")?, expiry: moment("se")? }))
    }

    /// Whether one of the keys signed it.
    ///
    /// # Errors
    /// When the request's path names nothing that a SAS can be for.
    pub fn verify(&self, keys: &[AccountKey]) -> Result<bool, ProtocolError> {
        // A plus sign that was not percent-encoded arrives as a space, which base64 has none of.
        let signature = self.head.query.get("sig").unwrap_or("").replace(' ', "+");
        let text = text::to_sign(self.head, self.scope)?;
        Ok(keys.iter().map(|key| key.verifies(&text, &signature)).fold(false, |any, hit| any | hit))
    }

    /// The user delegation key that signed it; `None` when an account key did.
    ///
    /// # Errors
    /// When the fields of the key cannot be used, here and now.
    pub fn delegation_key(&self, now: Timestamp) -> Result<Option<DelegationKey>, ProtocolError> {
        if self.head.query.get_filled("skoid").is_none() {
            return Ok(None);
        }
        if self.scope == Scope::Account || self.head.service == Service::Table {
            return Err(failed("a user delegation key signs for blobs and queues only"));
        }
        if self.head.query.get("sv").unwrap_or("") < DELEGATION_SINCE {
            return Err(failed("a signature by a user delegation key has an sv from 2018-11-09 on"));
        }
        if self.policy_id().is_some() {
            return Err(failed("a signature by a user delegation key leans on no stored access policy"));
        }
        let key = DelegationKey::of_query(&self.head.query)?;
        key.check(self.head.service, now)?;
        Ok(Some(key))
    }

    /// The user who alone may use it, with a bearer token (`sduoid`).
    #[must_use]
    pub fn only_for_user(&self) -> Option<&'a str> {
        self.head.query.get_filled("sduoid")
    }

    /// The stored access policy that it leans on.
    #[must_use]
    pub fn policy_id(&self) -> Option<&'a str> {
        match self.scope {
            Scope::Account => None,
            _ => self.head.query.get_filled("si"),
        }
    }

    /// Whether it may create but not overwrite.
    #[must_use]
    pub fn only_creates(&self) -> bool {
        self.permissions.as_deref().is_some_and(|p| p.contains('c') && !p.contains('w'))
    }

    /// Fills what the SAS leaves to its stored access policy.
    ///
    /// # Errors
    /// When the policy is gone, or both say the same field.
    pub fn with_policy(mut self, policy: Option<&StoredAccessPolicy>) -> Result<Self, ProtocolError> {
        let policy = policy.ok_or_else(|| failed("the stored access policy does not exist"))?;
        let both = |a: bool, b: bool| a && b;
        if both(self.start.is_some(), policy.start.is_some())
            || both(self.expiry.is_some(), policy.expiry.is_some())
            || both(self.permissions.is_some(), policy.permissions.is_some())
        {
            return Err(failed("a field is both in the SAS and in its stored access policy"));
        }
        self.start = self.start.or(policy.start);
        self.expiry = self.expiry.or(policy.expiry);
        self.permissions = self.permissions.or_else(|| policy.permissions.clone());
        Ok(self)
    }

    /// Whether it permits the operation, here and now.
    ///
    /// # Errors
    /// Says what it lacks.
    pub fn check(&self, spec: Spec, arrival: Arrival) -> Result<(), ProtocolError> {
        let expiry = self.expiry.ok_or_else(|| failed("se, the time of expiry, is missing"))?;
        if arrival.now >= expiry {
            return Err(failed("the shared access signature expired"));
        }
        if self.start.is_some_and(|start| arrival.now < start) {
            return Err(failed("the shared access signature is not valid yet"));
        }
        let field = |name| self.head.query.get_filled(name);
        limit::check_protocol(field("spr"), arrival.https)?;
        limit::check_address(field("sip"), arrival.address)?;
        let letters = match self.scope {
            Scope::Account => {
                self.check_account(spec.service, spec.resource)?;
                spec.account_sas
            }
            // Listing belongs to the container, which a SAS of one blob does not cover.
            Scope::Blob | Scope::Snapshot | Scope::Version if spec.resource != ResourceType::Object => "",
            Scope::Snapshot | Scope::Version if spec.writes && spec.service_sas != "d" => "",
            _ => spec.service_sas,
        };
        let held = self.permissions.as_deref().unwrap_or("");
        let mut needed = limit::more_letters(self.head, spec, letters);
        match needed.all(|letters| held.chars().any(|c| letters.contains(c))) {
            true => Ok(()),
            false => Err(ErrorCode::AuthorizationPermissionMismatch.into()),
        }
    }

    /// The entities that a table SAS is limited to.
    #[must_use]
    pub fn key_range(&self) -> KeyRange {
        let field = |name| match self.scope {
            Scope::Table => self.head.query.get_filled(name).map(str::to_owned),
            _ => None,
        };
        KeyRange {
            start_partition: field("spk"),
            start_row: field("srk"),
            end_partition: field("epk"),
            end_row: field("erk"),
        }
    }

    fn check_account(&self, service: Service, resource: ResourceType) -> Result<(), ProtocolError> {
        let field = |name| self.head.query.get(name).unwrap_or("");
        if !field("ss").contains(service.sas_letter()) {
            return Err(ErrorCode::AuthorizationServiceMismatch.into());
        }
        if !field("srt").contains(resource.sas_letter()) {
            return Err(ErrorCode::AuthorizationResourceTypeMismatch.into());
        }
        Ok(())
    }
}

pub(crate) fn failed(why: &str) -> ProtocolError {
    ProtocolError::from(ErrorCode::AuthenticationFailed).with_detail("AuthenticationErrorDetail", why)
}

/// Parses a date and time, a date with minutes, or a date; all in UTC.
pub(crate) fn parse_moment(name: &'static str, text: &str) -> Result<Timestamp, ProtocolError> {
    let full = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        17 => text.replace('Z', ":00Z"),
        _ => text.to_owned(),
    };
    Timestamp::parse_rfc3339(&full).map_err(|_| failed(&format!("{name} is no date and time")))
}

/// The version of the protocol whose form [`blob_read_query`] signs.
const MADE_VERSION: &str = "2021-10-04";

/// A query that lets anyone who has it read one blob until `expiry`.
#[must_use]
pub fn blob_read_query(
    account: &str,
    key: &AccountKey,
    container: &str,
    blob: &str,
    expiry: Timestamp,
) -> String {
    let expiry = expiry.to_iso_seconds();
    let text = text::blob_read(account, container, blob, &expiry, MADE_VERSION);
    let encode = |value: &str| utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    format!("sv={MADE_VERSION}&se={}&sr=b&sp=r&sig={}", encode(&expiry), encode(&key.sign(&text)))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
