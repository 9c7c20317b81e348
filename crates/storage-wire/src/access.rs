//! Stored access policies of a container, queue or table, as the XML of its access control list.

use roxmltree::Node;
use welkin_base::Timestamp;

use crate::error::{ErrorCode, ProtocolError};
use crate::sas::StoredAccessPolicy;
use crate::xml::{self, Xml};

/// Stored access policies of one container, queue or table (STORAGE, section 0.2).
pub const POLICIES_MAX: usize = 5;
/// Length of a policy's id.
const POLICY_ID_CHARS_MAX: usize = 64;

/// Reads the body of Set Container ACL, Set Queue ACL, or Set Table ACL.
///
/// # Errors
/// When it is no list of policies, or there are too many.
pub fn parse(body: &[u8]) -> Result<Vec<StoredAccessPolicy>, ProtocolError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    xml::read(body, "SignedIdentifiers", |root| {
        let policies: Result<Vec<_>, _> =
            root.children().filter(Node::is_element).map(parse_policy).collect();
        let policies = policies?;
        let mut ids: Vec<&str> = policies.iter().map(|policy| policy.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        if policies.len() > POLICIES_MAX || ids.len() != policies.len() {
            return Err(ErrorCode::InvalidXmlDocument.into());
        }
        Ok(policies)
    })
}

fn parse_policy(node: Node<'_, '_>) -> Result<StoredAccessPolicy, ProtocolError> {
    let text = |name: &str| {
        let found = node.descendants().find(|child| child.has_tag_name(name));
        found.and_then(|child| child.text()).map(str::trim).filter(|text| !text.is_empty())
    };
    let id = text("Id").ok_or_else(|| ProtocolError::from(ErrorCode::MissingRequiredXmlNode))?;
    if id.chars().count() > POLICY_ID_CHARS_MAX {
        return Err(ErrorCode::InvalidXmlNodeValue.into());
    }
    let moment = |name: &'static str| -> Result<Option<Timestamp>, ProtocolError> {
        let parse = |text| crate::sas::parse_moment(name, text);
        text(name).map(parse).transpose().map_err(|_| ErrorCode::InvalidXmlNodeValue.into())
    };
    Ok(StoredAccessPolicy {
        id: id.to_owned(),
        start: moment("Start")?,
        expiry: moment("Expiry")?,
        permissions: text("Permission").map(str::to_owned),
    })
}

/// Writes the answer of Get Container ACL, Get Queue ACL, or Get Table ACL.
#[must_use]
pub fn write(policies: &[StoredAccessPolicy]) -> String {
    let mut xml = Xml::new();
    xml.element("SignedIdentifiers", |xml| {
        for policy in policies {
            xml.element("SignedIdentifier", |xml| {
                xml.text("Id", &policy.id);
                xml.element("AccessPolicy", |xml| {
                    xml.optional("Start", policy.start.map(Timestamp::to_iso7).as_deref());
                    xml.optional("Expiry", policy.expiry.map(Timestamp::to_iso7).as_deref());
                    xml.optional("Permission", policy.permissions.as_deref());
                });
            });
        }
    });
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_is_read() {
        let policy = StoredAccessPolicy {
            id: "p".to_owned(),
            start: None,
            expiry: Some(Timestamp::from_ticks(7)),
            permissions: Some("rl".to_owned()),
        };
        let policies = vec![policy.clone()];
        assert_eq!(parse(write(&policies).as_bytes()).unwrap(), policies);
        let many: Vec<_> =
            (0..=POLICIES_MAX).map(|n| StoredAccessPolicy { id: n.to_string(), ..policy.clone() }).collect();
        assert!(parse(write(&many[1..]).as_bytes()).is_ok());
        assert!(parse(write(&many).as_bytes()).is_err());
        assert!(parse(write(&[policy.clone(), policy]).as_bytes()).is_err());
    }
}
