//! Shared access signatures: a query that carries its own permissions, signed with an account key
//! (STORAGE, section 0.2).
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

mod text;

use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use welkin_base::Timestamp;

use crate::error::{ErrorCode, ProtocolError};
use crate::operation::{BlobResource, QueueResource, ResourceType, Service, Spec, TableResource};
use crate::request::RequestHead;
use crate::shared_key::AccountKey;

/// Permission letters that exist, for an account SAS and for a service SAS.
const PERMISSIONS: &str = "racwdxyltfmeopiu";

/// What a stored access policy says; fields that it leaves out must be in the SAS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// What a service SAS is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Account,
    Container,
    Blob,
    Queue,
    Table,
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
        let scope = scope_of(head)?;
        let field = |name| head.query.get_filled(name);
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
        let signature = self.head.query.get("sig").unwrap_or("");
        let text = text::to_sign(self.head, self.scope)?;
        Ok(keys.iter().map(|key| key.verifies(&text, signature)).fold(false, |any, hit| any | hit))
    }

    /// The stored access policy that it leans on.
    #[must_use]
    pub fn policy_id(&self) -> Option<&'a str> {
        self.head.query.get_filled("si")
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
        self.check_protocol(arrival.https)?;
        self.check_address(arrival.address)?;
        let letters = match self.scope {
            Scope::Account => {
                self.check_account(spec.service, spec.resource)?;
                spec.account_sas
            }
            // Listing belongs to the container, which a SAS of one blob does not cover.
            Scope::Blob if spec.resource != ResourceType::Object => "",
            _ => spec.service_sas,
        };
        let held = self.permissions.as_deref().unwrap_or("");
        match held.chars().any(|c| letters.contains(c)) {
            true => Ok(()),
            false => Err(ErrorCode::AuthorizationPermissionMismatch.into()),
        }
    }

    /// The entities that a table SAS is limited to.
    #[must_use]
    pub fn key_range(&self) -> KeyRange {
        let field = |name| self.head.query.get(name).map(str::to_owned);
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

    fn check_protocol(&self, https: bool) -> Result<(), ProtocolError> {
        match self.head.query.get_filled("spr") {
            None | Some("https,http" | "http,https") => Ok(()),
            Some("https") if https => Ok(()),
            Some("https") => Err(ErrorCode::AuthorizationProtocolMismatch.into()),
            Some(_) => Err(failed("spr is neither https nor https,http")),
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), ProtocolError> {
        let Some(range) = self.head.query.get_filled("sip") else {
            return Ok(());
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| failed("sip is no address or range"));
        let address = address.to_canonical();
        match (parse(first)?, parse(last)?) {
            (IpAddr::V4(first), IpAddr::V4(last)) if address.is_ipv4() => {
                in_range(IpAddr::V4(first), address, IpAddr::V4(last))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if address.is_ipv6() => {
                in_range(IpAddr::V6(first), address, IpAddr::V6(last))
            }
            _ => Err(ErrorCode::AuthorizationSourceIPMismatch.into()),
        }
    }
}

fn in_range(first: IpAddr, address: IpAddr, last: IpAddr) -> Result<(), ProtocolError> {
    match first <= address && address <= last {
        true => Ok(()),
        false => Err(ErrorCode::AuthorizationSourceIPMismatch.into()),
    }
}

/// What the SAS is for; the request's resource must lie in it.
fn scope_of(head: &RequestHead) -> Result<Scope, ProtocolError> {
    if head.query.get("srt").is_some() {
        return Ok(Scope::Account);
    }
    match (head.service, head.query.get("sr")) {
        (Service::Blob, Some("c")) => Ok(Scope::Container),
        (Service::Blob, Some("b")) => Ok(Scope::Blob),
        (Service::Blob, _) => Err(failed(
            "sr is neither b nor c: signatures for snapshots, versions and directories are not built",
        )),
        (Service::Queue, _) => Ok(Scope::Queue),
        (Service::Table, _) => Ok(Scope::Table),
    }
}

/// The resource within the account whose name the signature covers, as `/container` or `/container/blob`.
fn covered(head: &RequestHead, scope: Scope) -> Result<String, ProtocolError> {
    let outside = || ProtocolError::from(ErrorCode::AuthorizationFailure);
    match scope {
        Scope::Account => Ok(String::new()),
        Scope::Container | Scope::Blob => match (BlobResource::of(head)?, scope) {
            (BlobResource::Container(container) | BlobResource::Blob { container, .. }, Scope::Container) => {
                Ok(format!("/{container}"))
            }
            (BlobResource::Blob { container, blob }, Scope::Blob) => Ok(format!("/{container}/{blob}")),
            _ => Err(outside()),
        },
        Scope::Queue => match QueueResource::of(head)? {
            QueueResource::Account => Err(outside()),
            QueueResource::Queue(queue)
            | QueueResource::Messages(queue)
            | QueueResource::Message { queue, .. } => Ok(format!("/{queue}")),
        },
        Scope::Table => {
            let named = head.query.get("tn").unwrap_or("").to_ascii_lowercase();
            match TableResource::of(head)? {
                TableResource::Table(table) | TableResource::Entity { table, .. }
                    if table.to_ascii_lowercase() != named =>
                {
                    Err(outside())
                }
                TableResource::Account | TableResource::Tables | TableResource::TableEntry(_) => {
                    Err(outside())
                }
                _ => Ok(format!("/{named}")),
            }
        }
    }
}

fn failed(why: &str) -> ProtocolError {
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
