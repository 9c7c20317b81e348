//! Affinity groups: what is to be near each other. A cloud of one location has it all near, so a group is a name that services
//! and accounts share.

use welkin_base::Timestamp;

use crate::error::ApiError;
use crate::hosted_service::check_texts;
use crate::version::Version;
use crate::xml::{Element, encode_text, read};

/// A name in characters, at most: that of a DNS label, as for the services in it.
const NAME_CHARS_MAX: usize = 63;

/// Checks an affinity group's name.
///
/// # Errors
/// `BadRequest` when it is none.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let word = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if word && name.len() <= NAME_CHARS_MAX {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "an affinity group's name has at most {NAME_CHARS_MAX} letters, digits and hyphens, and begins with no hyphen"
    )))
}

/// What `CreateAffinityGroup` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateAffinityGroup {
    /// The group's name.
    pub name: String,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// Where.
    pub location: String,
}

/// What `UpdateAffinityGroup` says: all of it is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateAffinityGroup {
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
}

impl CreateAffinityGroup {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "CreateAffinityGroup", |fields| {
            let (name, label) = (fields.required("Name")?, fields.required_base64("Label")?);
            check_name(&name)?;
            let description = fields.text("Description")?;
            check_texts(Some(&label), description.as_deref())?;
            Ok(Self { name, label, description, location: fields.required("Location")? })
        })
    }
}

impl UpdateAffinityGroup {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "UpdateAffinityGroup", |fields| {
            let (label, description) = (fields.required_base64("Label")?, fields.text("Description")?);
            check_texts(Some(&label), description.as_deref())?;
            Ok(Self { label, description })
        })
    }
}

/// What is in an affinity group: address and name of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Hosted services.
    pub services: Vec<(String, String)>,
    /// Storage accounts.
    pub accounts: Vec<(String, String)>,
}

/// An affinity group as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffinityGroup {
    /// Its name.
    pub name: String,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// Where.
    pub location: String,
    /// When it was created.
    pub created: Timestamp,
}

impl AffinityGroup {
    /// The element `AffinityGroup`; its members are in it when it is asked for alone.
    #[must_use]
    pub fn element(&self, version: Version, members: Option<&Members>) -> Element {
        let group = Element::new("AffinityGroup")
            .with("Name", &self.name)
            .with("Label", encode_text(&self.label))
            .with("Description", self.description.as_deref().unwrap_or(""))
            .with("Location", &self.location);
        let group = match members {
            Some(members) => group
                .child(list("HostedServices", "HostedService", &members.services))
                .child(list("StorageServices", "StorageService", &members.accounts)),
            None => group,
        };
        group.since("2012-03-01", version, |group| {
            // None of those that the classic service names, such as `PersistentVMRole`.
            group.child(Element::new("Capabilities")).with("CreatedTime", self.created.to_iso_seconds())
        })
    }
}

fn list(name: &'static str, item: &'static str, members: &[(String, String)]) -> Element {
    let member =
        |(url, name): &(String, String)| Element::new(item).with("Url", url).with("ServiceName", name);
    Element::new(name).children(members.iter().map(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(64);
        for (name, valid) in [
            ("group-1", true),
            ("1", true),
            ("-a", false),
            ("a b", false),
            ("", false),
            (&long, false),
            ("é", false),
        ] {
            assert_eq!(check_name(name).is_ok(), valid, "{name}");
        }
    }

    #[test]
    fn bodies() {
        let body = "<CreateAffinityGroup><Name>g</Name><Label>YQ==</Label><Description>d</Description>\
            <Location>Earth</Location></CreateAffinityGroup>";
        let got = CreateAffinityGroup::parse(body.as_bytes()).unwrap();
        assert_eq!((got.name.as_str(), got.label.as_str(), got.location.as_str()), ("g", "a", "Earth"));
        for (from, to) in
            [("<Name>g</Name>", ""), ("YQ==", "!"), (">Earth<", "><"), ("<Name>g<", "<Name>g/<")]
        {
            assert!(CreateAffinityGroup::parse(body.replace(from, to).as_bytes()).is_err(), "{from} {to}");
        }
        let update = "<UpdateAffinityGroup><Label>YQ==</Label></UpdateAffinityGroup>";
        assert_eq!(UpdateAffinityGroup::parse(update.as_bytes()).unwrap().label, "a");
        assert!(UpdateAffinityGroup::parse(b"<UpdateAffinityGroup/>").is_err());
    }
}
