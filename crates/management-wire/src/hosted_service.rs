//! Hosted services.

use welkin_base::{ServiceName, Timestamp};

use crate::error::ApiError;
use crate::extended_property::{self, ExtendedProperties, PROPERTIES_MAX};
use crate::version::Version;
use crate::xml::{Element, encode_text, read};

/// A label in characters, at most (SMAPI §6, "Limits").
pub const LABEL_CHARS_MAX: usize = 100;
/// A description in characters, at most (SMAPI §6, "Limits").
pub const DESCRIPTION_CHARS_MAX: usize = 1024;

/// What `CreateHostedService` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateHostedService {
    /// The service's name.
    pub name: ServiceName,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// Where.
    pub location: String,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

/// What `UpdateHostedService` changes; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateHostedService {
    /// For people.
    pub label: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The customer's own; all are replaced.
    pub extended_properties: Option<ExtendedProperties>,
}

impl CreateHostedService {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "CreateHostedService", |fields| {
            let name = fields.required("ServiceName")?;
            let name = ServiceName::new(&name).map_err(|error| ApiError::bad_request(error.to_string()))?;
            let label = fields.required_base64("Label")?;
            let description = fields.text("Description")?;
            check_texts(Some(&label), description.as_deref())?;
            let location = location(fields.text("Location")?, fields.text("AffinityGroup")?)?;
            let properties = extended_property::read(fields, PROPERTIES_MAX)?;
            let extended_properties = properties.unwrap_or_default();
            Ok(Self { name, label, description, location, extended_properties })
        })
    }
}

impl UpdateHostedService {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "UpdateHostedService", |fields| {
            let label = fields.base64("Label")?;
            let description = fields.text("Description")?;
            check_texts(label.as_deref(), description.as_deref())?;
            let extended_properties = extended_property::read(fields, PROPERTIES_MAX)?;
            if label.is_none() && description.is_none() && extended_properties.is_none() {
                return Err(ApiError::bad_request(
                    "give a Label, a Description or ExtendedProperties to change",
                ));
            }
            Ok(Self { label, description, extended_properties })
        })
    }
}

/// Checks a label and a description.
pub(crate) fn check_texts(label: Option<&str>, description: Option<&str>) -> Result<(), ApiError> {
    let limits = [("Label", label, LABEL_CHARS_MAX), ("Description", description, DESCRIPTION_CHARS_MAX)];
    for (name, text, chars_max) in limits {
        if text.is_some_and(|text| text.chars().count() > chars_max) {
            return Err(ApiError::bad_request(format!("{name} has more than {chars_max} characters")));
        }
    }
    Ok(())
}

/// The location of a request. Affinity groups need an operation that is not built.
pub(crate) fn location(location: Option<String>, affinity_group: Option<String>) -> Result<String, ApiError> {
    match (location, affinity_group) {
        (Some(location), None) => Ok(location),
        (None, Some(_)) => {
            Err(ApiError::bad_request("there are no affinity groups: give a Location instead"))
        }
        _ => Err(ApiError::bad_request("give a Location")),
    }
}

/// A hosted service as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedService {
    /// Its address in this API.
    pub url: String,
    /// Its name.
    pub name: ServiceName,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// Where.
    pub location: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

impl HostedService {
    /// The element `HostedService` as a version of the API has it; `deployments` are added to it for `embed-detail`.
    #[must_use]
    pub fn element(&self, version: Version, deployments: Option<Vec<Element>>) -> Element {
        let properties = Element::new("HostedServiceProperties")
            .with("Description", self.description.as_deref().unwrap_or(""))
            .with("Location", &self.location)
            .with("Label", encode_text(&self.label))
            .since("2012-03-01", version, |properties| {
                properties
                    .with("Status", "Created")
                    .with("DateCreated", self.created.to_iso_seconds())
                    .with("DateLastModified", self.modified.to_iso_seconds())
                    .child(extended_property::element(&self.extended_properties))
            });
        let service = Element::new("HostedService")
            .with("Url", &self.url)
            .with("ServiceName", &self.name)
            .child(properties);
        match deployments {
            Some(deployments) => service.child(Element::new("Deployments").children(deployments)),
            None => service,
        }
    }
}

/// The element `AvailabilityResponse`: whether a name may be taken.
#[must_use]
pub fn availability(reason: Option<&str>) -> Element {
    Element::new("AvailabilityResponse").with("Result", reason.is_none()).maybe("Reason", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "<CreateHostedService xmlns=\"http://schemas.microsoft.com/windowsazure\">\
        <ServiceName>guestbook</ServiceName><Label>R3Vlc3Rib29r</Label><Description>d</Description>\
        <Location>Earth</Location><ExtendedProperties><ExtendedProperty><Name>a</Name><Value>1</Value>\
        </ExtendedProperty></ExtendedProperties></CreateHostedService>";

    #[test]
    fn a_request_is_read() {
        let got = CreateHostedService::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(
            (got.name.as_str(), got.label.as_str(), got.location.as_str()),
            ("guestbook", "Guestbook", "Earth")
        );
        assert_eq!(got.extended_properties.get("a").map(String::as_str), Some("1"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = "QUFB".repeat(40);
        for (from, to, message) in [
            ("guestbook", "guest book", "not a valid hosted service name"),
            ("guestbook", "", "ServiceName is missing"),
            ("R3Vlc3Rib29r", "Guestbook!", "not base64"),
            ("R3Vlc3Rib29r", long.as_str(), "more than 100 characters"),
            ("<Location>Earth</Location>", "", "give a Location"),
            ("<Location>Earth</Location>", "<AffinityGroup>g</AffinityGroup>", "no affinity groups"),
            ("<Name>a</Name>", "<Name>1a</Name>", "begins with a letter"),
            ("CreateHostedService", "Create", "root element must be CreateHostedService"),
        ] {
            let error = CreateHostedService::parse(GOOD.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.message.contains(message), "{from} -> {to}: {error}");
        }
    }
}
