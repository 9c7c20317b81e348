//! User delegation keys: what a user who has a bearer token signs shared access signatures with
//! (STORAGE, sections 0.2 and 1).
//!
//! A key's value is the HMAC-SHA256 of its fields and of the user's roles with a secret of the account. So no key is
//! stored, what it signs permits no more than the user might do when it was made, and a new secret revokes all keys.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::Node;
use welkin_base::Timestamp;

use crate::bearer::Roles;
use crate::error::{ErrorCode, ProtocolError};
use crate::operation::Service;
use crate::query::Query;
use crate::sas::{failed, parse_moment};
use crate::shared_key::AccountKey;
use crate::xml::{self, Xml};

/// A key is valid for this long at most (STORAGE, section 1).
const VALIDITY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The fields of a user delegation key, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationKey {
    /// The user's id: `skoid`.
    pub object_id: String,
    /// The id of the user's tenant: `sktid`.
    pub tenant_id: String,
    /// Not valid before: `skt`.
    pub start: Timestamp,
    /// Not valid from here on: `ske`.
    pub expiry: Timestamp,
    /// The letter of the service: `sks`.
    pub service: char,
    /// The version of the protocol with which it was made: `skv`.
    pub version: String,
    /// The tenant of the one user who may use what it signs: `skdutid`.
    pub delegated_tenant_id: Option<String>,
}

/// What the body of Get User Delegation Key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Not valid before.
    pub start: Timestamp,
    /// Not valid from here on.
    pub expiry: Timestamp,
    /// The tenant of the one user who may use what the key signs.
    pub delegated_tenant_id: Option<String>,
}

impl KeyInfo {
    /// Reads the body of Get User Delegation Key.
    ///
    /// # Errors
    /// When it is no `KeyInfo`, or its times cannot be.
    pub fn parse(body: &[u8], now: Timestamp) -> Result<Self, ProtocolError> {
        let value = |_| ProtocolError::from(ErrorCode::InvalidXmlNodeValue);
        let info = xml::read(body, "KeyInfo", |root| {
            let text = |name: &str| {
                let found = root.children().find(|n: &Node<'_, '_>| n.has_tag_name(name));
                found.and_then(|n| n.text()).map(str::trim).filter(|text| !text.is_empty())
            };
            let start = text("Start").map(|text| parse_moment("Start", text)).transpose().map_err(value)?;
            let expiry = text("Expiry").ok_or(ErrorCode::MissingRequiredXmlNode)?;
            Ok(Self {
                start: start.unwrap_or(now),
                expiry: parse_moment("Expiry", expiry).map_err(value)?,
                delegated_tenant_id: text("DelegatedUserTid").map(str::to_owned),
            })
        })?;
        if info.expiry <= info.start || info.expiry <= now || info.expiry.since(now) > VALIDITY_MAX {
            let why = "The key ends after it starts, in the future, and within seven days.";
            return Err(ProtocolError::saying(ErrorCode::InvalidXmlNodeValue, why));
        }
        Ok(info)
    }
}

impl DelegationKey {
    /// The key that a shared access signature says it is signed with.
    ///
    /// # Errors
    /// When a field is missing, or a time is none.
    pub(crate) fn of_query(query: &Query) -> Result<Self, ProtocolError> {
        let field = |name: &'static str| {
            query.get_filled(name).ok_or_else(|| failed(&format!("{name} is missing, with skoid given")))
        };
        let moment = |name: &'static str| field(name).and_then(|text| parse_moment(name, text));
        let mut letters = field("sks")?.chars();
        let (Some(service), None) = (letters.next(), letters.next()) else {
            return Err(failed("sks is not the letter of a service"));
        };
        Ok(Self {
            object_id: field("skoid")?.to_owned(),
            tenant_id: field("sktid")?.to_owned(),
            start: moment("skt")?,
            expiry: moment("ske")?,
            service,
            version: field("skv")?.to_owned(),
            delegated_tenant_id: query.get_filled("skdutid").map(str::to_owned),
        })
    }

    /// Whether it may be used for the service, now.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn check(&self, service: Service, now: Timestamp) -> Result<(), ProtocolError> {
        if self.service != service.sas_letter() {
            return Err(ErrorCode::AuthorizationServiceMismatch.into());
        }
        if now >= self.expiry {
            return Err(failed("the user delegation key expired"));
        }
        if now < self.start {
            return Err(failed("the user delegation key is not valid yet"));
        }
        Ok(())
    }

    /// Its value: what signatures are made with.
    #[must_use]
    pub fn value(&self, account: &str, roles: Roles, secret: &[u8]) -> AccountKey {
        let lines = [
            account,
            &self.object_id,
            &self.tenant_id,
            &self.start.to_iso_seconds(),
            &self.expiry.to_iso_seconds(),
            &self.service.to_string(),
            &self.version,
            self.delegated_tenant_id.as_deref().unwrap_or(""),
            &roles.bits().to_string(),
        ];
        AccountKey::from_bytes(AccountKey::from_bytes(secret.to_vec()).mac(&lines.join("\n")))
    }

    /// Writes the answer of Get User Delegation Key.
    #[must_use]
    pub fn write(&self, value: &AccountKey) -> String {
        let mut xml = Xml::new();
        xml.element("UserDelegationKey", |xml| {
            xml.text("SignedOid", &self.object_id);
            xml.text("SignedTid", &self.tenant_id);
            xml.text("SignedStart", &self.start.to_iso_seconds());
            xml.text("SignedExpiry", &self.expiry.to_iso_seconds());
            xml.text("SignedService", &self.service.to_string());
            xml.text("SignedVersion", &self.version);
            xml.optional("SignedDelegatedUserTid", self.delegated_tenant_id.as_deref());
            xml.text("Value", &STANDARD.encode(value.bytes()));
        });
        xml.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_infos() {
        let now = Timestamp::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
        for (body, expected) in [
            (
                "<KeyInfo><Start>2030-01-01T00:00:00Z</Start><Expiry>2030-01-08T00:00:00Z</Expiry></KeyInfo>",
                "",
            ),
            ("<KeyInfo><Expiry>2030-01-02</Expiry></KeyInfo>", ""),
            ("<KeyInfo><Expiry>2030-01-08T00:00:01Z</Expiry></KeyInfo>", "InvalidXmlNodeValue"),
            ("<KeyInfo><Expiry>2029-01-08T00:00:01Z</Expiry></KeyInfo>", "InvalidXmlNodeValue"),
            ("<KeyInfo><Expiry>soon</Expiry></KeyInfo>", "InvalidXmlNodeValue"),
            ("<KeyInfo/>", "MissingRequiredXmlNode"),
            ("<Other/>", "InvalidXmlDocument"),
            ("", "InvalidXmlDocument"),
        ] {
            let code = KeyInfo::parse(body.as_bytes(), now).err().map_or("", |error| error.code().as_str());
            assert_eq!(code, expected, "{body}");
        }
    }
}
