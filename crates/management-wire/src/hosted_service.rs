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
    pub place: Place,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
    /// The name that the service's address is to be looked up as.
    pub reverse_dns: Option<String>,
}

/// Where a service or an account is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a location.
    Location(String),
    /// Where an affinity group is.
    AffinityGroup(String),
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
    /// The name that the service's address is to be looked up as.
    pub reverse_dns: Option<String>,
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
            let place = place(fields.text("Location")?, fields.text("AffinityGroup")?)?;
            let properties = extended_property::read(fields, PROPERTIES_MAX)?;
            let extended_properties = properties.unwrap_or_default();
            let reverse_dns = reverse_dns(fields.text("ReverseDnsFqdn")?)?;
            Ok(Self { name, label, description, place, extended_properties, reverse_dns })
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
            let reverse_dns = reverse_dns(fields.text("ReverseDnsFqdn")?)?;
            let texts = label.is_none() && description.is_none() && reverse_dns.is_none();
            if texts && extended_properties.is_none() {
                return Err(ApiError::bad_request(
                    "give a Label, a Description, ExtendedProperties or a ReverseDnsFqdn to change",
                ));
            }
            Ok(Self { label, description, extended_properties, reverse_dns })
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

/// Where a request wants something: exactly one of both is given.
pub(crate) fn place(location: Option<String>, affinity_group: Option<String>) -> Result<Place, ApiError> {
    match (location, affinity_group) {
        (Some(location), None) => Ok(Place::Location(location)),
        (None, Some(group)) => Ok(Place::AffinityGroup(group)),
        (Some(_), Some(_)) => Err(ApiError::bad_request("give a Location or an AffinityGroup, not both")),
        (None, None) => Err(ApiError::bad_request("give a Location or an AffinityGroup")),
    }
}

/// A fully qualified DNS name, with or without the dot at its end (RFC 1035, section 2.3.4).
fn reverse_dns(text: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(name) = text else { return Ok(None) };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    if name.len() <= 255 && labels.len() >= 2 && labels.into_iter().all(is_label) {
        return Ok(Some(name));
    }
    Err(ApiError::bad_request("ReverseDnsFqdn must be a fully qualified DNS name, such as www.example.org."))
}

/// The element that says where something is: its affinity group, if it is in one, or else the location, never both.
pub(crate) fn place_element(location: &str, affinity_group: Option<&str>) -> Element {
    match affinity_group {
        Some(group) => Element::of("AffinityGroup", group),
        None => Element::of("Location", location),
    }
}

/// `Description`; null where there is none (SMAPI §3).
pub(crate) fn description_element(description: Option<&str>) -> Element {
    match description {
        Some(text) => Element::of("Description", text),
        None => Element::new("Description").attribute("i:nil", "true"),
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
    /// The affinity group that it is in.
    pub affinity_group: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
    /// The name that the service's address is to be looked up as.
    pub reverse_dns: Option<String>,
}

impl HostedService {
    /// The element `HostedService` as a version of the API has it; `deployments` are added to it for `embed-detail`.
    #[must_use]
    pub fn element(&self, version: Version, deployments: Option<Vec<Element>>) -> Element {
        let properties = Element::new("HostedServiceProperties")
            .child(description_element(self.description.as_deref()))
            .child(place_element(&self.location, self.affinity_group.as_deref()))
            .with("Label", encode_text(&self.label))
            .since("2012-03-01", version, |properties| {
                properties
                    .with("Status", if self.deleting { "Deleting" } else { "Created" })
                    .with("DateCreated", self.created.to_iso_seconds())
                    .with("DateLastModified", self.modified.to_iso_seconds())
                    .child(extended_property::element(&self.extended_properties))
                    .maybe("ReverseDnsFqdn", self.reverse_dns.as_deref())
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

/// The element `AvailabilityResponse`: whether a name may be taken, and why not.
#[must_use]
pub fn availability(version: Version, reason: Option<&str>) -> Element {
    let response = Element::new("AvailabilityResponse").with("Result", reason.is_none());
    response.since("2013-03-01", version, |response| response.maybe("Reason", reason))
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
            (got.name.as_str(), got.label.as_str(), got.place),
            ("guestbook", "Guestbook", Place::Location("Earth".to_owned()))
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
            ("<Location>", "<AffinityGroup>g</AffinityGroup><Location>", "not both"),
            ("</Location>", "</Location><ReverseDnsFqdn>a b.example</ReverseDnsFqdn>", "fully qualified"),
            ("</Location>", "</Location><ReverseDnsFqdn>host</ReverseDnsFqdn>", "fully qualified"),
            ("<Name>a</Name>", "<Name>1a</Name>", "begins with a letter"),
            ("CreateHostedService", "Create", "root element must be CreateHostedService"),
        ] {
            let error = CreateHostedService::parse(GOOD.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.message.contains(message), "{from} -> {to}: {error}");
        }
    }
}
