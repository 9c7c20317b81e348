//! Storage accounts, as the management API has them.

use welkin_base::{AccountName, Timestamp};

use crate::error::ApiError;
use crate::extended_property::{self, ExtendedProperties, PROPERTIES_MAX};
use crate::hosted_service::{check_texts, location};
use crate::xml::{Element, encode_text, read};

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
    pub location: String,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

/// One of an account's two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// The primary key.
    Primary,
    /// The secondary key.
    Secondary,
}

impl CreateStorageAccount {
    /// Reads the request's body. `AccountType` is taken and not kept: where copies live is the operator's choice.
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
            let location = location(fields.text("Location")?, fields.text("AffinityGroup")?)?;
            let properties = extended_property::read(fields, PROPERTIES_MAX)?;
            let extended_properties = properties.unwrap_or_default();
            Ok(Self { name, label, description, location, extended_properties })
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
    /// When it was created.
    pub created: Timestamp,
    /// Of blob, queue and table, in this order.
    pub endpoints: [String; 3],
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

impl StorageAccount {
    /// The element `StorageService`.
    #[must_use]
    pub fn element(&self) -> Element {
        let endpoints = self.endpoints.iter().map(|endpoint| Element::of("Endpoint", endpoint));
        let properties = Element::new("StorageServiceProperties")
            .with("Description", self.description.as_deref().unwrap_or(""))
            .with("Location", &self.location)
            .with("Label", encode_text(&self.label))
            .with("Status", "Created")
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
            .child(extended_property::element(&self.extended_properties))
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
