//! Storage accounts, as the management API has them.

use serde::{Deserialize, Serialize};
use welkin_base::{AccountName, Timestamp};

use crate::error::ApiError;
use crate::extended_property::{self, ExtendedProperties, PROPERTIES_MAX};
use crate::hosted_service::{Place, check_texts, description_element, place, place_element};
use crate::version::Version;
use crate::xml::{Element, Fields, encode_text, read};

/// What `CreateStorageServiceInput` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateStorageAccount {
    /// The account's name.
    pub name: AccountName,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// Where.
    pub place: Place,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

/// What `UpdateStorageServiceInput` changes; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateStorageAccount {
    /// For people.
    pub label: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The customer's own; all are replaced.
    pub extended_properties: Option<ExtendedProperties>,
}

/// The kinds of account that clients name.
const ACCOUNT_TYPES: [&str; 5] =
    ["Standard_LRS", "Standard_ZRS", "Standard_GRS", "Standard_RAGRS", "Premium_LRS"];

/// `AccountType` and `GeoReplicationEnabled` are checked and not kept: where copies live is the operator's choice.
fn check_type(fields: Fields<'_, '_>) -> Result<(), ApiError> {
    fields.flag("GeoReplicationEnabled")?;
    match fields.text("AccountType")? {
        Some(kind) if !ACCOUNT_TYPES.contains(&kind.as_str()) => {
            Err(ApiError::bad_request(format!("AccountType must be one of {}", ACCOUNT_TYPES.join(", "))))
        }
        _ => Ok(()),
    }
}

/// One of an account's two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// The primary key.
    Primary,
    /// The secondary key.
    Secondary,
}

impl CreateStorageAccount {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "CreateStorageServiceInput", |fields| {
            let name = fields.required("ServiceName")?;
            let name = AccountName::new(&name).map_err(|error| ApiError::bad_request(error.to_string()))?;
            let label = fields.required_base64("Label")?;
            let description = fields.text("Description")?;
            check_texts(Some(&label), description.as_deref())?;
            check_type(fields)?;
            let place = place(fields.text("Location")?, fields.text("AffinityGroup")?)?;
            let properties = extended_property::read(fields, PROPERTIES_MAX)?;
            let extended_properties = properties.unwrap_or_default();
            Ok(Self { name, label, description, place, extended_properties })
        })
    }
}

impl UpdateStorageAccount {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "UpdateStorageServiceInput", |fields| {
            let (label, description) = (fields.base64("Label")?, fields.text("Description")?);
            check_texts(label.as_deref(), description.as_deref())?;
            check_type(fields)?;
            let extended_properties = extended_property::read(fields, PROPERTIES_MAX)?;
            Ok(Self { label, description, extended_properties })
        })
    }
}

impl KeyType {
    /// Reads the body of "Regenerate Storage Account Keys".
    ///
    /// # Errors
    /// When it is not such a body or names neither key.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let name = read(body, "RegenerateKeys", |fields| fields.required("KeyType"))?;
        match name.to_ascii_lowercase().as_str() {
            "primary" => Ok(Self::Primary),
            "secondary" => Ok(Self::Secondary),
            _ => Err(ApiError::bad_request("KeyType must be Primary or Secondary")),
        }
    }
}

/// A storage account as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageAccount {
    /// Its address in this API.
    pub url: String,
    /// Its name.
    pub name: AccountName,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// Where.
    pub location: String,
    /// The affinity group that it is in.
    pub affinity_group: Option<String>,
    /// What is being done with it.
    pub status: Status,
    /// When it was created.
    pub created: Timestamp,
    /// Of blob, queue and table, in this order.
    pub endpoints: [String; 3],
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

/// `Status` of a storage account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Creating,
    /// It is there.
    Created,
    /// It is being deleted.
    Deleting,
}

impl StorageAccount {
    /// The element `StorageService` as a version of the API has it.
    #[must_use]
    pub fn element(&self, version: Version) -> Element {
        let endpoints = self.endpoints.iter().map(|endpoint| Element::of("Endpoint", endpoint));
        let properties = Element::new("StorageServiceProperties")
            .child(description_element(self.description.as_deref()))
            .child(place_element(&self.location, self.affinity_group.as_deref()))
            .with("Label", encode_text(&self.label))
            .with("Status", format!("{:?}", self.status))
            .child(Element::new("Endpoints").children(endpoints))
            .with("GeoReplicationEnabled", false)
            .with("GeoPrimaryRegion", &self.location)
            .with("StatusOfPrimary", "Available")
            .with("CreationTime", self.created.to_iso_seconds())
            .with("AccountType", "Standard_LRS");
        Element::new("StorageService")
            .with("Url", &self.url)
            .with("ServiceName", &self.name)
            .child(properties)
            .since("2012-03-01", version, |account| {
                account.child(extended_property::element(&self.extended_properties))
            })
    }
}

/// The element `StorageService` of the answer with both keys.
#[must_use]
pub fn keys(url: &str, primary: &str, secondary: &str) -> Element {
    let keys = Element::new("StorageServiceKeys").with("Primary", primary).with("Secondary", secondary);
    Element::new("StorageService").with("Url", url).child(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let body = "<CreateStorageServiceInput><ServiceName>abc</ServiceName><Description/>\
            <Label>YQ==</Label><Location>Earth</Location><AccountType>Standard_GRS</AccountType>\
            </CreateStorageServiceInput>";
        let got = CreateStorageAccount::parse(body.as_bytes()).unwrap();
        assert_eq!((got.name.as_str(), got.label.as_str(), got.description), ("abc", "a", None));
        let error = CreateStorageAccount::parse(body.replace("abc", "a-b").as_bytes()).unwrap_err();
        assert!(error.message.contains("3 to 24 lower-case letters"), "{error}");
        for (text, expected) in
            [("Primary", Some(KeyType::Primary)), ("secondary", Some(KeyType::Secondary)), ("Third", None)]
        {
            let body = format!("<RegenerateKeys><KeyType>{text}</KeyType></RegenerateKeys>");
            assert_eq!(KeyType::parse(body.as_bytes()).ok(), expected, "{text}");
        }
    }
}
